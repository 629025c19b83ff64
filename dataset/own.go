package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

type reader func(ctx context.Context, path string, options Options) (*Set, error)

// readerOf chooses a reader by what a path is and how its name ends.
func readerOf(path string) (reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, reason(err))
	}
	name := strings.ToLower(path)
	switch {
	case info.IsDir():
		return readFolder, nil
	case strings.HasSuffix(name, ".npz"):
		return readNPZ, nil
	case strings.HasSuffix(name, ".parquet"):
		return readParquet, nil
	case isImage(name):
		return readImage, nil
	}
	if stem := strings.TrimSuffix(name, ".gz"); strings.HasSuffix(stem, ".csv") || strings.HasSuffix(stem, ".tsv") {
		return readTable, nil
	}
	return nil, fmt.Errorf("dataset: %s: want a folder or a .csv, .tsv, .csv.gz, .tsv.gz, .parquet, .npz, .png or .jpg file", path)
}

// reason is why a file could not be reached, without the system call and the path, which the message names already.
func reason(err error) error {
	if fault, ok := errors.AsType[*fs.PathError](err); ok {
		return fault.Err
	}
	return err
}

func readTable(_ context.Context, path string, options Options) (*Set, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(path)
	if data, err = unpack(name, data); err != nil {
		return nil, err
	}
	return parseTable(path, data, strings.HasSuffix(strings.TrimSuffix(name, ".gz"), ".tsv"), options)
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("dataset: %s: more than %d bytes", path, maxFile)
	}
	return data, nil
}

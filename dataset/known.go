package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Known is a public data set that [Load] reads by name. It is read from files that are checked against their sha256.
type Known struct {
	// Name is what Load takes; Title is what a report calls the set.
	Name, Title string
	// Licence says who made the set and under what terms.
	Licence string
	// Files are paths below the data folder and their sha256; none for an embedded set.
	Files []File
	// sizes are the defaults of those splits that the set lacks.
	sizes Sizes
	read  func(*source) (*parts, error)
}

// File is one file of a known set.
type File struct {
	Path, SHA256 string
}

// Names lists the known sets.
func Names() []string {
	var names []string
	for _, k := range KnownSets() {
		names = append(names, k.Name)
	}
	return names
}

func find(name string) (*Known, bool) {
	for _, k := range KnownSets() {
		if k.Name == name {
			return &k, true
		}
	}
	return nil, false
}

// maxFile bounds what one file may unpack to: the largest known set has 180 MB.
const maxFile = 1 << 30

// source opens the files of a known set.
type source struct {
	ctx   context.Context
	dir   string
	known *Known
	seed  uint64
}

// open reads file i of the set whole, checks its sha256 and unpacks it if its name ends in .gz.
func (s *source) open(i int) ([]byte, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	file := s.known.Files[i]
	path := filepath.Join(s.dir, filepath.FromSlash(file.Path))
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dataset: %s is not at %s: name the folder that holds %s (%s): %w",
			s.known.Name, path, file.Path, s.known.Title, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", s.known.Name, err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != file.SHA256 {
		return nil, fmt.Errorf("dataset: %s: sha256 is %s, want %s: the file is damaged or another version", path, got, file.SHA256)
	}
	return unpack(path, data)
}

func (s *source) path(i int) string { return s.known.Files[i].Path }

// unpack returns what data holds, decompressed if path ends in .gz.
func unpack(path string, data []byte) ([]byte, error) {
	if !strings.HasSuffix(path, ".gz") {
		return data, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	if len(raw) > maxFile {
		return nil, fmt.Errorf("dataset: %s: unpacks to more than %d bytes", path, maxFile)
	}
	return raw, nil
}

//go:embed data/digits.csv.gz
var digitsFile []byte

var digitNames = strings.Fields("0 1 2 3 4 5 6 7 8 9")

// readDigits reads the embedded set: 64 counts of 0 to 16 and the label in a row.
func readDigits(*source) (*parts, error) {
	raw, err := unpack("digits.csv.gz", digitsFile)
	if err != nil {
		return nil, err
	}
	s := &Set{Name: "digits", Dims: []int{8, 8, 1}, Classes: digitNames}
	err = eachLine(raw, func(line int, text string) error {
		cells := strings.Split(text, ",")
		if len(cells) != 65 {
			return fmt.Errorf("dataset: digits.csv: line %d: %d columns, want 65", line, len(cells))
		}
		for c, cell := range cells[:64] {
			v, err := parseNumber(cell)
			if err != nil {
				return fmt.Errorf("dataset: digits.csv: line %d, column %d: %w", line, c+1, err)
			}
			s.Values = append(s.Values, v/16)
		}
		label, err := classIndex(cells[64], s.Classes)
		if err != nil {
			return fmt.Errorf("dataset: digits.csv: line %d: %w", line, err)
		}
		s.Labels = append(s.Labels, label)
		return nil
	})
	return &parts{pool: s}, err
}

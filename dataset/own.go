package dataset

import (
	"context"
	"fmt"
)

type reader func(ctx context.Context, path string, options Options) (*Set, error)

func readerOf(path string) (reader, error) {
	return nil, fmt.Errorf("dataset: %s: want a folder or a .csv, .tsv, .csv.gz, .tsv.gz, .parquet or .npz file", path)
}

package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"
)

// readParquet reads a flat Parquet file: columns of strings, booleans and numbers, none of them nested or repeated.
func readParquet(ctx context.Context, path string, options Options) (*Set, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return parseParquet(ctx, path, data, options)
}

func parseParquet(ctx context.Context, path string, data []byte, options Options) (s *Set, err error) {
	// The library panics on some damaged files. Nothing outlives this call but its results.
	defer func() {
		if fault := recover(); fault != nil {
			s, err = nil, fmt.Errorf("dataset: %s: damaged Parquet file: %v", path, fault)
		}
	}()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	var header []string
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return nil, fmt.Errorf("dataset: %s: column %q is nested or repeated, want flat columns", path, clip(field.Name()))
		}
		header = append(header, field.Name())
	}
	t, err := newTable(path, "row", header, options)
	if err != nil {
		return nil, err
	}
	for _, group := range file.RowGroups() {
		if err := t.addGroup(ctx, group); err != nil {
			return nil, err
		}
	}
	if len(t.labels) == 0 {
		return nil, fmt.Errorf("dataset: %s: no rows", path)
	}
	return t.finish(), nil
}

func (t *table) addGroup(ctx context.Context, group parquet.RowGroup) (err error) {
	rows := group.Rows()
	defer func() { err = errors.Join(err, rows.Close()) }()
	buffer := make([]parquet.Row, 256)
	cells := make([]string, len(t.header))
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			clear(cells)
			for _, value := range row {
				cells[value.Column()] = cell(value)
			}
			if err := t.add(len(t.labels)+1, cells); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || n == 0 {
			return fmt.Errorf("dataset: %s: row %d: %w", t.path, len(t.labels)+1, errors.Join(err, io.ErrUnexpectedEOF))
		}
	}
}

// cell writes a value as it would stand in a CSV file; what is missing is empty.
func cell(v parquet.Value) string {
	if v.IsNull() {
		return ""
	}
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		return strconv.FormatInt(int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.FormatInt(v.Int64(), 10)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'g', -1, 32)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	}
	return string(v.ByteArray())
}

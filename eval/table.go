package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/renameio/v2"
	"github.com/parquet-go/parquet-go"

	"github.com/layarun/layarun/exit"
)

// TableVersion is the format version that [WriteTable] writes and [ReadTable] accepts.
const TableVersion = 1

// tableKey is the key of the header among the Parquet file's metadata.
const tableKey = "layarun.table"

// header is everything of a score table that does not grow with its samples, as JSON in the file's metadata.
type header struct {
	Version int      `json:"version"`
	Samples int      `json:"samples"`
	Bundle  string   `json:"bundle"`
	Split   string   `json:"split"`
	Exits   []int    `json:"exits"`
	Reads   []int    `json:"reads"`
	Classes []string `json:"classes"`
	MACs    []int64  `json:"macs"`
	Plain   []int64  `json:"plain_macs,omitempty"`
	Alpha   bool     `json:"alpha"`  // rows have alpha, one weight per read
	Digest  string   `json:"sha256"` // of the header without this field, then of the rows: see digest
}

// row is one sample. Lists are flat: logits [exit][class], scores [exit][gate]. Bytes of floats are split into streams,
// since signs and exponents compress and mantissas do not.
type row struct {
	Label  int32     `parquet:"label"`
	Logits []float32 `parquet:"logits,list" parquet-element:",split"`
	Scores []float32 `parquet:"scores,list" parquet-element:",split"`
	Alpha  []float32 `parquet:"alpha,list" parquet-element:",split"`
}

// WriteTable writes a valid score table as one Parquet file, compressed by zstd. Logits, scores and alpha keep every bit, so
// decisions from the file are the decisions of the run that made it. The file appears whole or not at all.
func WriteTable(path string, t *exit.Table) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	rows := flatten(t)
	h := header{
		Version: TableVersion, Samples: len(rows), Bundle: t.Bundle, Split: t.Split,
		Exits: t.Exits, Reads: t.Reads, Classes: t.Classes, MACs: t.MACs, Plain: t.Plain,
		Alpha: t.Alpha != nil,
	}
	var err error
	if h.Digest, err = digest(h, rows); err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	defer file.Cleanup() // nothing left to do once the file has taken its place
	w := parquet.NewGenericWriter[row](file, parquet.Compression(&parquet.Zstd), parquet.KeyValueMetadata(tableKey, string(data)))
	_, err = w.Write(rows)
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("eval: %s: %w", path, err)
	}
	return nil
}

// ReadTable reads what [WriteTable] wrote, bit for bit. A file that is truncated, altered or of another version is an error
// that names it.
func ReadTable(path string) (*exit.Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("eval: score table: %w", err)
	}
	h, rows, err := readRows(data)
	if err != nil {
		return nil, fmt.Errorf("eval: %s: not a score table, or damaged: %w", path, err)
	}
	t, err := unflatten(h, rows)
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", path, err)
	}
	return t, nil
}

// readRows parses a file and checks its digest. The Parquet reader panics on some damaged files; those panics are errors of
// the input, so they are turned into errors here.
func readRows(data []byte) (h header, rows []row, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("parquet: %v", p)
		}
	}()
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return h, nil, err
	}
	text, ok := file.Lookup(tableKey)
	if !ok {
		return h, nil, fmt.Errorf("metadata has no %q", tableKey)
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil {
		return h, nil, fmt.Errorf("metadata %q: %w", tableKey, err)
	}
	if h.Version != TableVersion {
		return h, nil, fmt.Errorf("version is %d, want %d", h.Version, TableVersion)
	}
	r := parquet.NewGenericReader[row](file)
	defer r.Close()
	for {
		batch := make([]row, 1024)
		n, err := r.Read(batch)
		rows = append(rows, batch[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return h, nil, fmt.Errorf("row %d: %w", len(rows), err)
		}
	}
	if len(rows) != h.Samples {
		return h, nil, fmt.Errorf("%d rows, want %d", len(rows), h.Samples)
	}
	sum, err := digest(h, rows)
	if err == nil && sum != h.Digest {
		err = fmt.Errorf("sha256 is %s, want %s", sum, h.Digest)
	}
	return h, rows, err
}

package result

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// Slim is the table as it is committed: labels, scores and answers keep every bit, so every decision and every figure
// here is that of the whole table, but of the logits only the answer is left, a 1 among zeros (NaN where there was
// none). A table of 150 classes becomes thirty times smaller.
func Slim(t *exit.Table) *exit.Table {
	slim := *t
	slim.Logits = make([][][]float32, len(t.Logits))
	for i, exits := range t.Logits {
		slim.Logits[i] = make([][]float32, len(exits))
		for k, logits := range exits {
			answer := make([]float32, len(logits))
			if first := exit.Argmax(logits); first >= 0 {
				answer[first] = 1
			} else {
				answer[0] = float32(math.NaN())
			}
			slim.Logits[i][k] = answer
		}
	}
	return &slim
}

// ReadTables reads the score tables of a run; the test table must be there.
func ReadTables(folder, name string, seed uint64) (Tables, error) {
	var t Tables
	for split, table := range map[string]**exit.Table{"validation": &t.Validation, "calibration": &t.Calibration, "test": &t.Test} {
		read, err := eval.ReadTable(TablePath(folder, name, seed, split))
		if errors.Is(err, fs.ErrNotExist) && split != "test" {
			continue
		}
		if err != nil {
			return t, err
		}
		*table = read
	}
	return t, t.validate()
}

func (t Tables) validate() error {
	for split, table := range map[string]*exit.Table{"validation": t.Validation, "calibration": t.Calibration} {
		if table == nil {
			continue
		}
		if table.Bundle != t.Test.Bundle || !slices.Equal(table.Exits, t.Test.Exits) {
			return fmt.Errorf("result: the %s table is of bundle %.12s with exits %v, the test table of %.12s with %v, want one network",
				split, table.Bundle, table.Exits, t.Test.Bundle, t.Test.Exits)
		}
	}
	if (t.Validation == nil) != (t.Calibration == nil) {
		return errors.New("result: one of the validation and calibration tables is missing, want both or neither")
	}
	return nil
}

// WriteTables writes the slim form of the tables that are there. Attention is only kept on the test split: nothing else is
// reported of it.
func WriteTables(folder, name string, seed uint64, t Tables) error {
	for split, table := range map[string]*exit.Table{"validation": t.Validation, "calibration": t.Calibration, "test": t.Test} {
		if table == nil {
			continue
		}
		slim := Slim(table)
		if split != "test" {
			slim.Alpha = nil
		}
		if err := eval.WriteTable(TablePath(folder, name, seed, split), slim); err != nil {
			return err
		}
	}
	return nil
}

// Package result is what the programs under benchmarks share: the result file of an experiment, the figures that follow
// from its score tables, the comparison of the two, and the Markdown made of them.
//
// A result file has two kinds of number. Figures are computed from score tables, so that anybody can compute them again
// without the weights; that is what verify does. Everything else (timings, memory, the environment) was measured once and
// is only ever copied.
package result

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/strict"
)

// Schema is the version of result files.
const Schema = "layarun.benchmark/1"

// Result is one experiment: one recipe, trained once per seed. It lies in results/<name>.json.
type Result struct {
	Schema      string      `json:"schema"`
	Name        string      `json:"name"`
	Data        string      `json:"data"`
	Environment Environment `json:"environment"`
	// Samples of the test split were timed, drawn at random, so many times over; 0 where nothing was timed.
	Samples     int   `json:"timed_samples,omitempty"`
	Repetitions int   `json:"repetitions,omitempty"`
	Runs        []Run `json:"runs"` // one per seed, ascending
}

// Run is one trained network.
type Run struct {
	Seed   uint64 `json:"seed"`
	Bundle string `json:"bundle"` // digest of the weights
	// Epochs were trained; Best is the one whose weights were kept.
	Epochs  int     `json:"epochs"`
	Best    int     `json:"best_epoch"`
	Figures Figures `json:"figures"`
	// Latency is measured, not computed; nil where it was not. The full network comes first.
	Latency []Latency `json:"latency,omitempty"`
}

// Tables are the score tables of a run. Validation and Calibration are nil for networks without early exits and for
// protocols without a calibration split.
type Tables struct {
	Validation, Calibration, Test *exit.Table
}

// Load reads a result file. Unknown fields and other versions are errors.
func Load(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := strict.Decode(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("%s: schema is %q, want %q", path, r.Schema, Schema)
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &r, nil
}

// validate checks that the runs can stand in one table: there is one, and all have the same exits and policies.
func (r *Result) validate() error {
	if len(r.Runs) == 0 {
		return errors.New("runs is empty, want at least one")
	}
	first := r.Runs[0].Figures
	if len(first.Forced) == 0 {
		return errors.New("run 0 has no figures")
	}
	for i, run := range r.Runs {
		f := run.Figures
		if len(f.Forced) != len(first.Forced) || len(f.Certified) != len(first.Certified) || len(f.Alpha) != len(first.Alpha) ||
			(f.Oracle == nil) != (first.Oracle == nil) || (run.Latency == nil) != (r.Runs[0].Latency == nil) {
			return fmt.Errorf("run %d has other exits, policies or timings than run 0, want one kind of network", i)
		}
		if slices.ContainsFunc(f.Certified, func(c Certified) bool { return c.Policy.Certificate == nil }) {
			return fmt.Errorf("run %d has a certified policy without certificate", i)
		}
	}
	return nil
}

// SaveJSON writes a value as indented JSON; the file appears whole or not at all.
func SaveJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return renameio.WriteFile(path, append(text, '\n'), 0o644)
}

// Path is where the result of an experiment lies below the folder of the benchmarks.
func Path(folder, name string) string { return filepath.Join(folder, "results", name+".json") }

// TablePath is where the score table of a run on one split lies below the folder of the benchmarks.
func TablePath(folder, name string, seed uint64, split string) string {
	return filepath.Join(folder, "tables", fmt.Sprintf("%s-%d-%s.parquet", name, seed, split))
}

// DataDir is the folder of the known data sets.
func DataDir() string { return cmp.Or(os.Getenv("LAYARUN_DATA"), "../shared/data") }

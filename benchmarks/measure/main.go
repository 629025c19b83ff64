// Command measure makes the result of one experiment from its trained networks, one bundle per seed:
//
//	go run ./benchmarks/measure -name fashion-resnet runs/fashion-resnet-1/bundle runs/fashion-resnet-2/bundle
//
// It scores the splits, writes the score tables, calibrates, times the full network against the certified policies, and
// writes results/<name>.json. It runs in the root of the repository, on an otherwise idle machine.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/train"
)

// folder is where the benchmarks lie, seen from the root of the repository.
const folder = "benchmarks"

// measurement is what the command line asks for.
type measurement struct {
	name, dataDir string
	latency       eval.LatencyOptions
	device        *compile.Device
}

func main() {
	// 256 samples at once are a queue that never runs dry: the runtime fills its batches of up to 32 from it.
	m := measurement{latency: eval.LatencyOptions{Samples: 512, Batches: []int{1, 8, 32, 256}, Repetitions: 9}}
	flag.StringVar(&m.name, "name", "", "name of the experiment")
	flag.StringVar(&m.dataDir, "data-dir", result.DataDir(), "folder of the known data sets")
	backend := flag.String("backend", "auto", "backend, as layarun takes it")
	flag.Parse()
	if m.name == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: measure -name experiment bundle …")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := m.run(ctx, *backend, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func (m *measurement) run(ctx context.Context, backend string, bundles []string) error {
	var err error
	if m.device, err = compile.OpenDevice(backend); err != nil {
		return err
	}
	defer m.device.Close()
	r := result.Result{Schema: result.Schema, Name: m.name, Environment: result.Here(m.device)}
	for _, dir := range bundles {
		b, err := bundle.Open(dir)
		if err != nil {
			return err
		}
		if b.Data == nil {
			return fmt.Errorf("%s does not say which data it was made with", dir)
		}
		run, err := m.network(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		if run.Latency != nil {
			r.Samples, r.Repetitions = m.latency.Samples, m.latency.Repetitions
		}
		r.Data = b.Data.Name
		r.Runs = append(r.Runs, run)
	}
	slices.SortFunc(r.Runs, func(a, b result.Run) int { return cmp.Compare(a.Seed, b.Seed) })
	for i := range r.Runs[1:] {
		if r.Runs[i].Seed == r.Runs[i+1].Seed {
			return fmt.Errorf("two bundles have the seed %d", r.Runs[i].Seed)
		}
	}
	return result.SaveJSON(result.Path(folder, m.name), r)
}

// network makes the run of one bundle, and writes its score tables.
func (m *measurement) network(ctx context.Context, b *bundle.Bundle) (result.Run, error) {
	run := result.Run{Seed: uint64(b.Train["seed"]), Bundle: b.Digest(), Epochs: int(b.Train["epochs"]), Best: int(b.Train["best_epoch"])}
	splits, err := m.splits(ctx, b)
	if err != nil {
		return run, err
	}
	b.Policies = nil // those of this measurement come below
	tables, err := m.score(ctx, b, splits)
	if err != nil {
		return run, err
	}
	if err := result.WriteTables(folder, m.name, run.Seed, tables); err != nil {
		return run, err
	}
	if run.Figures, err = result.Compute(tables); err != nil {
		return run, err
	}
	say("%s, seed %d: accuracy %.4f", m.name, run.Seed, run.Figures.Forced[len(run.Figures.Forced)-1].Accuracy)
	if len(run.Figures.Certified) > 0 {
		run.Latency, err = m.time(ctx, b, run.Figures.Certified, splits.Test)
	}
	return run, err
}

// splits loads the data of a bundle and checks that it is the data it was made with.
func (m *measurement) splits(ctx context.Context, b *bundle.Bundle) (*dataset.Splits, error) {
	s, err := train.Load(ctx, b.Data.Source, b.Fit, m.dataDir)
	if err != nil {
		return nil, err
	}
	want := []string{b.Data.Validation, b.Data.Calibration, b.Data.Test}
	for i, set := range []*dataset.Set{s.Validation, s.Calibration, s.Test} {
		if got := set.Digest(); got != want[i] {
			return nil, fmt.Errorf("a split of %s has digest %.12s, the bundle was made with %.12s: the data has changed", b.Data.Name, got, want[i])
		}
	}
	return s, nil
}

// score makes the score tables: the test split's, and where there is something to certify the other two.
func (m *measurement) score(ctx context.Context, b *bundle.Bundle, s *dataset.Splits) (t result.Tables, err error) {
	r, err := layarun.New(b, m.device, layarun.Options{})
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if t.Test, err = eval.Score(ctx, r, s.Test, nil); err != nil {
		return t, err
	}
	if s.Calibration.Len() == 0 || len(t.Test.Exits) == 1 {
		return t, nil
	}
	if t.Validation, err = eval.Score(ctx, r, s.Validation, nil); err != nil {
		return t, err
	}
	t.Calibration, err = eval.Score(ctx, r, s.Calibration, nil)
	return t, err
}

// time lets the full network and the policies over all exits take turns.
func (m *measurement) time(ctx context.Context, b *bundle.Bundle, certified []result.Certified, test *dataset.Set) (rows []result.Latency, err error) {
	rows = []result.Latency{{Eps: 0}}
	queries := []layarun.Request{{Policy: exit.Full().Name}}
	for _, c := range certified {
		if c.Exits == result.AllExits {
			b.Policies = append(b.Policies, c.Policy)
			rows = append(rows, result.Latency{Eps: c.Eps})
			queries = append(queries, layarun.Request{Policy: c.Policy.Name})
		}
	}
	r, err := layarun.Tune(ctx, b, m.device, layarun.Options{}, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	m.latency.Samples = min(m.latency.Samples, test.Len())
	inputs, err := eval.NewInputs(r, eval.Draw(test, m.latency.Samples, 1))
	if err != nil {
		return nil, err
	}
	var candidates []eval.Candidate
	for _, q := range queries {
		candidates = append(candidates, inputs.Candidate(q.Policy, q))
	}
	timings, err := eval.Latency(ctx, candidates, m.latency)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		rows[i].Timings = timings[i]
		for _, t := range timings[i] {
			say("  target %g, batch %d: %.3f ms a sample, %.2f times as fast as the full network", rows[i].Eps, t.Batch, t.MS.Median, t.SpeedUp.Median)
		}
	}
	return rows, nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

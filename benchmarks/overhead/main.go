// Command overhead measures what it costs to run a network with exits, all of them switched off, instead of one plain
// executable of the whole network (compile.Network.Logits, its last answer, weights as parameters). The ways take turns.
// It writes results/overhead.json and runs in the root of the repository, on an otherwise idle machine:
//
//	go run ./benchmarks/overhead
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// folder is where the benchmarks lie, seen from the root of the repository.
const folder = "benchmarks"

// batches are the sizes that are measured.
var batches = []int{1, 8, 32}

func main() {
	o := workload.Options{Folder: folder}
	networks := flag.String("networks", "convnet,encoder", "networks to measure")
	flag.IntVar(&o.Samples, "samples", 128, "samples per pass")
	repetitions := flag.Int("repetitions", 15, "passes of each kind")
	flag.StringVar(&o.DataDir, "data-dir", result.DataDir(), "folder of the known data sets")
	out := flag.String("out", result.Path(folder, "overhead"), "result file")
	backend := flag.String("backend", "auto", "backend, as layarun takes it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, *backend, strings.Split(*networks, ","), *repetitions, *out); err != nil {
		fmt.Fprintln(os.Stderr, "overhead:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o workload.Options, backend string, networks []string, repetitions int, out string) (err error) {
	if o.Device, err = compile.OpenDevice(backend); err != nil {
		return err
	}
	defer o.Device.Close()
	graphs, err := o.Device.Graphs()
	if err != nil {
		return err
	}
	r := result.Overhead{Schema: result.OverheadSchema, Environment: result.Here(o.Device), Samples: o.Samples}
	if graphs != o.Device { // it runs the plain executables
		r.Environment.Backend += ", " + graphs.Name
		r.Environment.Plugin = result.Here(graphs).Plugin
	}
	for _, name := range networks {
		w, err := workload.Open(ctx, name, o)
		if err != nil {
			return err
		}
		n, err := network(ctx, w, o.Device, graphs, repetitions)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := n.Table().Print(os.Stdout); err != nil {
			return err
		}
		r.Networks = append(r.Networks, n)
	}
	return result.SaveJSON(out, r)
}

// network measures one network at every batch size.
func network(ctx context.Context, w *workload.Workload, device, graphs *compile.Device, repetitions int) (n result.OverheadNetwork, err error) {
	n = result.OverheadNetwork{Name: w.Name, About: w.About}
	engine, err := w.Engine(device)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	r, err := w.Runtime(device)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	p, err := newPlain(w, graphs, engine.Network())
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, batch := range batches {
		ways := []eval.Candidate{p.candidate(1)}
		if parts := engine.Workers(); parts > 1 && batch >= parts {
			ways = append(ways, p.candidate(parts))
		}
		ways = append(ways, engineOnly(w, engine, batch), w.Candidate(r, exit.Full().Name))
		point, err := point(ctx, w, batch, repetitions, ways)
		if err != nil {
			return n, err
		}
		n.Points = append(n.Points, point)
	}
	return n, nil
}

// trial is how many passes decide which plain way is the faster, the one that the runtime is compared with.
const trial = 3

// point lets the ways take turns at one batch size: the plain ones, engine and runtime.
func point(ctx context.Context, w *workload.Workload, batch, repetitions int, ways []eval.Candidate) (result.OverheadPoint, error) {
	p := result.OverheadPoint{Batch: batch}
	o := eval.LatencyOptions{Samples: w.Len(), Batches: []int{batch}, Repetitions: trial}
	plain := len(ways) - 2
	timings, err := eval.Latency(ctx, ways[:plain], o)
	if err != nil {
		return p, err
	}
	swapped := plain > 1 && timings[1][0].MS.Median < timings[0][0].MS.Median
	if swapped { // the first is what eval.Latency compares the others with
		ways[0], ways[1] = ways[1], ways[0]
	}
	o.Repetitions = repetitions
	if timings, err = eval.Latency(ctx, ways, o); err != nil {
		return p, err
	}
	if swapped {
		timings[0], timings[1] = timings[1], timings[0]
	}
	p.Plain, p.Engine = timings[0][0].MS, timings[plain][0].MS
	if plain > 1 {
		p.Split = &timings[1][0].MS
	}
	p.Runtime, p.Ratio = timings[plain+1][0].MS, timings[plain+1][0].SpeedUp
	if timings, err = eval.Latency(ctx, ways[plain:], o); err != nil {
		return p, err
	}
	p.EngineRatio = timings[1][0].SpeedUp
	return p, nil
}

// engineOnly runs the engine's segments in one go, without the scheduler: the batch in as many parts as there are workers,
// where it has so many samples, each in batches of the largest size.
func engineOnly(w *workload.Workload, e *compile.Engine, batch int) eval.Candidate {
	parts := min(e.Workers(), batch)
	return eval.Candidate{Name: "engine", Compiled: e.Executables, Predict: func(_ context.Context, from, to int) error {
		var group errgroup.Group
		for i := range parts {
			group.Go(func() error { return engineRun(w, e, from+(to-from)*i/parts, from+(to-from)*(i+1)/parts) })
		}
		return group.Wait()
	}}
}

func engineRun(w *workload.Workload, e *compile.Engine, from, to int) error {
	last, largest := len(e.Depths())-1, slices.Max(e.Buckets()[0])
	for ; from < to; from += largest {
		batch, err := w.Samples(e, from, min(largest, to-from))
		if err != nil {
			return err
		}
		if _, err := e.Run(0, last, batch); err != nil {
			return err
		}
		for _, s := range batch {
			e.Release(s)
		}
	}
	return nil
}

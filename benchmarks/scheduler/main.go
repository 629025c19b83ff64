//go:build linux

// Command scheduler measures what the scheduler adds to a sample where segments cost nothing, the throughput of a runtime
// with 1 to 512 callers, and its memory under a mixed load. It writes results/scheduler.json and runs in the root of the
// repository, on an otherwise idle machine:
//
//	go run ./benchmarks/scheduler
//	go run ./benchmarks/scheduler -memory 1m -out /tmp/scheduler.json   # a short run
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
)

const (
	// folder is where the benchmarks lie, seen from the root of the repository.
	folder = "benchmarks"
	// network is the smallest, for which the scheduler weighs most.
	network = "mlp"
	samples = 512
)

// plan is what the command line asks for.
type plan struct {
	repetitions  int
	turn, memory time.Duration // of one repetition; of the mixed load, 0 leaves it out
	backend, out string
}

func main() {
	var p plan
	flag.IntVar(&p.repetitions, "repetitions", 7, "turns of each kind")
	flag.DurationVar(&p.turn, "turn", time.Second, "length of one turn")
	flag.DurationVar(&p.memory, "memory", 10*time.Minute, "length of the mixed load under which memory is watched; 0 leaves it out")
	flag.StringVar(&p.out, "out", result.Path(folder, "scheduler"), "result file")
	flag.StringVar(&p.backend, "backend", "auto", "backend, as layarun takes it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "scheduler:", err)
		os.Exit(1)
	}
}

func (p plan) run(ctx context.Context) (err error) {
	device, err := compile.OpenDevice(p.backend)
	if err != nil {
		return err
	}
	defer device.Close()
	s := &result.Scheduler{Schema: result.SchedulerSchema, Environment: result.Here(device)}
	if s.Moves, err = p.moves(ctx); err != nil {
		return err
	}
	if err := s.MoveTable().Print(os.Stdout); err != nil {
		return err
	}
	w, err := workload.Open(ctx, network, workload.Options{Device: device, Folder: folder, Samples: samples})
	if err != nil {
		return err
	}
	s.Network = w.About
	r, err := w.Runtime(device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Compile(ctx, nil); err != nil {
		return err
	}
	if err := p.load(ctx, w, r, s); err != nil {
		return err
	}
	if err := result.SaveJSON(p.out, s); err != nil {
		return err
	}
	if !s.Flat() {
		return errors.New("memory grows under a mixed load, want it flat")
	}
	return nil
}

// load measures throughput and memory of the runtime and prints both.
func (p plan) load(ctx context.Context, w *workload.Workload, r *layarun.Runtime, s *result.Scheduler) (err error) {
	if s.Throughput, err = p.throughput(ctx, w, r); err != nil {
		return err
	}
	if err := s.ThroughputTable().Print(os.Stdout); err != nil {
		return err
	}
	if p.memory == 0 {
		return nil
	}
	if s.Memory, err = watch(ctx, w, r, p.memory); err != nil {
		return err
	}
	return s.MemoryTable().Print(os.Stdout)
}

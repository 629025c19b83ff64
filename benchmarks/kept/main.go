// Command kept measures how much of what exits save arrives at the clock, for batches of several sizes and a stream of
// single requests, against an oracle (package oracle) that knows every exit beforehand and pays the measured time of each
// batch and nothing else. It also counts how often an answer depends on batch mates. It writes results/kept.json and
// runs in the root of the repository, on an otherwise idle machine:
//
//	go run ./benchmarks/kept
//	go run ./benchmarks/kept -networks encoder -batches 8,16 -stream 0 -same 0 -out /tmp/kept.json   # a part of it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/same"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
)

// folder is where the benchmarks lie, seen from the root of the repository.
const folder = "benchmarks"

// plan is what the command line asks for.
type plan struct {
	options              workload.Options
	networks             []string
	batches              []int
	callers              int // of the stream; 0 leaves it out
	repetitions, samples int
	same                 int // samples whose answers are compared; 0 compares none
	out                  string
}

func main() {
	p := plan{options: workload.Options{Folder: folder}}
	networks := flag.String("networks", strings.Join(workload.Names, ","), "networks to measure")
	batches := flag.String("batches", "1,4,8,16,64", "sizes of arriving batches")
	flag.IntVar(&p.callers, "stream", 32, "callers of the stream of single requests; 0 leaves it out")
	flag.IntVar(&p.samples, "samples", 512, "samples per pass")
	flag.IntVar(&p.repetitions, "repetitions", 7, "passes of each kind")
	flag.IntVar(&p.same, "same", 10000, "test samples whose answers are compared between ways of arriving; 0 compares none")
	flag.StringVar(&p.options.DataDir, "data-dir", result.DataDir(), "folder of the known data sets")
	flag.StringVar(&p.out, "out", result.Path(folder, "kept"), "result file")
	backend := flag.String("backend", "auto", "backend, as layarun takes it")
	flag.Parse()
	p.networks = strings.Split(*networks, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if p.batches, err = numbers(*batches); err == nil {
		err = p.run(ctx, *backend)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "kept:", err)
		os.Exit(1)
	}
}

// numbers reads "1,4,8"; "" is none.
func numbers(list string) (all []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		if word == "" {
			continue
		}
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("batches are %q, want sizes of at least 1, as 1,4,8", list)
		}
		all = append(all, n)
	}
	return all, nil
}

func (p *plan) run(ctx context.Context, backend string) (err error) {
	if p.options.Device, err = compile.OpenDevice(backend); err != nil {
		return err
	}
	defer p.options.Device.Close()
	k := result.Kept{Schema: result.KeptSchema, Environment: result.Here(p.options.Device), Repetitions: p.repetitions}
	var faults []error
	for _, name := range p.networks {
		n, err := p.network(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if n.Same != nil {
			faults = append(faults, n.Same.Err())
		}
		k.Networks = append(k.Networks, n)
	}
	return errors.Join(append(faults, result.SaveJSON(p.out, k))...)
}

// network measures one network and prints its tables.
func (p *plan) network(ctx context.Context, name string) (n result.KeptNetwork, err error) {
	o := p.options
	o.Samples = p.samples
	w, err := workload.Open(ctx, name, o)
	if err != nil {
		return n, err
	}
	n = result.KeptNetwork{Name: w.Name, About: w.About, Samples: w.Len()}
	r, err := w.Runtime(p.options.Device)
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := p.measure(ctx, w, r, &n); err != nil {
		return n, err
	}
	for _, t := range []result.Table{n.Table(), n.CostTable()} {
		if err := t.Print(os.Stdout); err != nil {
			return n, err
		}
	}
	if p.same == 0 || w.Name != compared {
		return n, nil
	}
	o.Samples = p.same
	if w, err = workload.Open(ctx, name, o); err != nil {
		return n, err
	}
	if n.Same, err = same.Check(ctx, w, p.options.Device, doubled(w.Buckets)); err != nil {
		return n, err
	}
	return n, n.Same.Table().Print(os.Stdout)
}

// doubled are the powers of two among batch sizes, but for 1.
func doubled(sizes []int) []int {
	var some []int
	for _, n := range sizes {
		if n > 1 && n&(n-1) == 0 {
			some = append(some, n)
		}
	}
	return some
}

// left answers every sample with the policy and returns the index in exits of the depth at which each leaves.
func left(ctx context.Context, w *workload.Workload, r *layarun.Runtime, exits []int) ([]int, error) {
	answers, err := workload.Predict(ctx, r, w.Request(0, w.Len(), w.Policy.Name))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, a := range answers {
		all = append(all, slices.Index(exits, a.ExitDepth))
	}
	return all, nil
}

// saving is the MACs of the full network with exits off ÷ the mean MACs of samples that leave at these exits.
func saving(w *workload.Workload, r *layarun.Runtime, exits, left []int) float64 {
	full := r.MACs(exits[len(exits)-1], w.Length(), false)
	var spent float64
	for _, i := range left {
		spent += float64(r.MACs(exits[i], w.Length(), true))
	}
	return float64(full) * float64(len(left)) / spent
}

// compared is the network whose answers are compared: the one that was trained.
const compared = "convnet"

// off is the policy of the reference.
var off = exit.Full().Name

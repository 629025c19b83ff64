package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/serve"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	policies         []string
	callers, batches []int
	rates            []float64
	seconds          float64
	textColumn       string
	load             eval.LoadOptions // its loads and turn follow from the flags
	budget           eval.Budget
}

func newBenchCmd(a *app) *cobra.Command {
	o := benchOptions{load: eval.DefaultLoadOptions(), batches: []int{1}}
	o.seconds = o.load.Turn.Seconds()
	for _, l := range o.load.Loads {
		o.callers = append(o.callers, l.Callers)
	}
	cmd := &cobra.Command{
		Use:   "bench BUNDLE [DATA]",
		Short: "Measure throughput and latency under load, and what fits a budget",
		Long: `Put the network under load as a service would be, at full depth and by each policy of the bundle: throughput, latency,
how much time the policy saves, how many cores are busy, and how full the batches are. The batch sizes are those that
serve chooses; nothing compiles while times are taken.

In a closed loop each of --callers sends its next request when it has the answer to the last. With --rate requests come
at random times instead, whether the last are answered or not; latency then counts from the time at which a request was
due, and a policy that cannot keep up is said so. --rate leaves the closed loops out unless --callers is given too.
Every load is run with requests of each size in --batch. Policies take turns of --seconds in rounds; figures are medians
over the rounds, the least and the greatest in parentheses. The network between client and server is not part of it, nor
is tokenisation; processor time includes sending the requests.

A budget, --p99 or --throughput or both, asks which policies keep to it, and under which loads; the exit code is 3 if
there is none.

DATA is a file or folder as for predict, or the name of a known data set, whose test split is taken. Without it, that
of the data that the network was trained on.`,
		Example: `  layarun bench runs/digits/bundle
  layarun bench runs/mine/bundle tickets.csv --callers 16 --p99 20ms
  layarun bench runs/mine/bundle --rate 200,400 --seconds 10 --p99 50ms
  layarun bench runs/mine/bundle --callers 1 --batch 8,32 --policy fast --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return a.bench(cmd.Context(), args[0], strings.Join(args[1:], ""), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.policies, "policy", nil, "policies to measure beside full depth (default all of the bundle)")
	f.IntSliceVar(&o.callers, "callers", o.callers, "numbers of callers who send requests back to back")
	f.Float64SliceVar(&o.rates, "rate", nil, "requests per second that come at random times")
	f.IntSliceVar(&o.batches, "batch", o.batches, "samples in a request")
	f.IntVar(&o.load.Samples, "samples", o.load.Samples, "samples to send over and over, drawn with a fixed seed; all if there are fewer")
	f.IntVar(&o.load.Rounds, "rounds", o.load.Rounds, "rounds of each load")
	f.Float64Var(&o.seconds, "seconds", o.seconds, "how long a turn lasts; much longer than a request takes")
	f.DurationVar(&o.budget.P99, "p99", 0, "budget: greatest 99th percentile of latency")
	f.Float64Var(&o.budget.Throughput, "throughput", 0, "budget: least samples per second")
	f.StringVar(&o.textColumn, "text-column", "", "column of texts in a table (default that of training, else text)")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

// check reports flags that cannot be and makes loads of the others.
func (o *benchOptions) check(given func(flag string) bool) error {
	positive := func(flag string, values []int) error {
		if len(values) == 0 || slices.Min(values) < 1 {
			return usageError("--%s is %v, want numbers of at least 1", flag, values)
		}
		return nil
	}
	err := cmp.Or(positive("callers", o.callers), positive("batch", o.batches),
		positive("samples", []int{o.load.Samples}), positive("rounds", []int{o.load.Rounds}))
	if err != nil {
		return err
	}
	if most := slices.Max(o.batches); most > o.load.Samples {
		return usageError("--batch is %d, want at most --samples, %d", most, o.load.Samples)
	}
	if !(o.seconds > 0 && o.seconds <= time.Hour.Seconds()) {
		return usageError("--seconds is %v, want more than 0 and at most an hour", o.seconds)
	}
	if given("p99") && o.budget.P99 <= 0 {
		return usageError("--p99 is %v, want more than 0s", o.budget.P99)
	}
	if given("throughput") && !(o.budget.Throughput > 0 && o.budget.Throughput <= math.MaxFloat64) {
		return usageError("--throughput is %v, want more than 0", o.budget.Throughput)
	}
	o.load.Turn = time.Duration(o.seconds * float64(time.Second))
	return o.makeLoads(given)
}

// makeLoads crosses callers and rates with the sizes of requests.
func (o *benchOptions) makeLoads(given func(flag string) bool) error {
	o.load.Loads = nil
	for _, batch := range o.batches {
		if !given("rate") || given("callers") {
			for _, n := range o.callers {
				o.load.Loads = append(o.load.Loads, eval.Load{Callers: n, Batch: batch})
			}
		}
		for _, rate := range o.rates {
			l := eval.Load{Rate: rate, Batch: batch}
			if rate == 0 || l.Validate() != nil {
				return usageError("--rate is %v, want more than 0 and at most a million requests per second", rate)
			}
			o.load.Loads = append(o.load.Loads, l)
		}
	}
	return nil
}

// benched is what bench found.
type benched struct {
	Model   string       `json:"model"`
	Digest  string       `json:"digest"`
	Machine eval.Machine `json:"machine"`
	Backend string       `json:"backend"`
	tuned
	Data    string        `json:"data"`
	Samples int           `json:"samples"`
	Rounds  int           `json:"rounds"`
	Turn    float64       `json:"turn_seconds"`
	Loads   []eval.Loaded `json:"loads"`
	Budget  *keepsBudget  `json:"budget,omitempty"`
}

func (a *app) bench(ctx context.Context, dir, data string, o benchOptions) (err error) {
	var set *dataset.Set
	b, r, err := a.openRuntimeWith(dir, func(b *bundle.Bundle, device *compile.Device) (_ *layarun.Runtime, err error) {
		if err := o.choosePolicies(b); err != nil {
			return nil, err
		}
		if set, err = a.benchSamples(ctx, b, data, o); err != nil {
			return nil, err
		}
		return a.tune(ctx, b, device, serve.DefaultOptions().MaxSamples)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	t, err := a.warm(ctx, r.Runtime)
	if err != nil {
		return err
	}
	o.load.Samples = set.Len()
	report := benched{
		Model: b.Name, Digest: r.Digest(), Machine: eval.ThisMachine(commit()), Backend: r.Backend(), tuned: t,
		Data: set.Name, Samples: set.Len(), Rounds: o.load.Rounds, Turn: o.seconds,
	}
	if report.Loads, err = a.underLoad(ctx, r.Runtime, set, o); err != nil {
		return err
	}
	report.Budget = newKeepsBudget(o.budget, report.Loads)
	if err := a.showBenched(report); err != nil {
		return err
	}
	return report.Budget.missed()
}

// choosePolicies fills in all policies of the bundle, or reports a name that is none of them.
func (o *benchOptions) choosePolicies(b *bundle.Bundle) error {
	full := exit.Full().Name
	names := []string{full}
	for _, p := range b.Policies {
		names = append(names, p.Name)
	}
	chosen := []string{full} // always first: what the others are compared with
	for _, name := range o.policies {
		if !slices.Contains(names, name) {
			return usageError("--policy is %q, want one of %s", name, strings.Join(names, ", "))
		}
		if !slices.Contains(chosen, name) {
			chosen = append(chosen, name)
		}
	}
	if len(o.policies) == 0 {
		chosen = names
	}
	o.policies = chosen
	return nil
}

// underLoad measures every policy.
func (a *app) underLoad(ctx context.Context, r *layarun.Runtime, set *dataset.Set, o benchOptions) ([]eval.Loaded, error) {
	inputs, err := eval.NewInputs(r, set)
	if err != nil {
		return nil, err
	}
	var candidates []eval.Candidate
	for _, name := range o.policies {
		candidates = append(candidates, inputs.Candidate(name, layarun.Request{Policy: name}))
	}
	bar := a.progress("under load", false)
	defer bar.Finish()
	o.load.Progress = func(done, total int) { bar.Set(int64(done), int64(total)) }
	return eval.UnderLoad(ctx, candidates, o.load)
}

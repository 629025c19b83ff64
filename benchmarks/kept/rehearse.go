package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

// rehearsal is a network for the scheduler in which a batch takes its measured time and nothing else: no copies, no
// launches, no noise. Batches beside each other slow each other down as those of the measurement did. A sample is its
// index.
type rehearsal struct {
	costs   *oracle.Costs
	workers int
	left    []int // the segment after which each sample leaves
	active  atomic.Int32
}

func (r *rehearsal) Depths() []int {
	depths := make([]int, r.costs.Segments())
	for i := range depths {
		depths[i] = i
	}
	return depths
}

func (r *rehearsal) Buckets() [][]int { return [][]int{r.costs.Buckets} }
func (r *rehearsal) Workers() int     { return r.workers }
func (r *rehearsal) Go(task func())   { go task() }
func (r *rehearsal) Release(int)      {}

func (r *rehearsal) Run(first, last int, batch []int) ([]exit.Scores, error) {
	bucket, _ := slices.BinarySearch(r.costs.Buckets, len(batch))
	for segment := first; segment <= last; segment++ {
		r.pass(segment, bucket)
	}
	scores := make([]exit.Scores, len(batch))
	for i, sample := range batch {
		if r.left[sample] <= last {
			scores[i] = exit.Scores{1, 1, 1}
		}
	}
	return scores, nil
}

// pass takes as long as a batch takes, at every moment at the speed that it has beside those that run then. It keeps its
// core, since a sleep is too coarse, but lets callers in.
func (r *rehearsal) pass(segment, bucket int) {
	r.active.Add(1)
	defer r.active.Add(-1)
	now := time.Now()
	for todo := 1.0; todo > 0; runtime.Gosched() {
		before := now
		now = time.Now()
		width, found := slices.BinarySearch(r.costs.Widths, int(r.active.Load()))
		if !found {
			width = len(r.costs.Widths) - 1
		}
		todo -= now.Sub(before).Seconds() * 1000 / r.costs.Times[width][segment][bucket]
	}
}

// rehearse returns the ms per sample that the scheduler takes for samples that arrive as point says, where batches take the
// times of costs.
func rehearse(ctx context.Context, costs *oracle.Costs, workers int, left []int, point result.KeptPoint) (ms float64, err error) {
	r := &rehearsal{costs: costs, workers: workers, left: left}
	s, err := schedule.New(r, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	depths := r.Depths()
	policy := exit.Policy{Gate: exit.MaxProb, Exits: depths[:len(depths)-1]}
	policy.Thresholds = slices.Repeat([]exit.Threshold{1}, len(policy.Exits))
	rule, err := schedule.NewRule(policy, depths, 0, depths[len(depths)-1])
	if err != nil {
		return 0, err
	}
	candidate, batch := eval.Candidate{Name: "rehearsal", Compiled: func() int { return 0 }, Predict: func(ctx context.Context, from, to int) error {
		var jobs []schedule.Job[int]
		for sample := from; sample < to; sample++ {
			jobs = append(jobs, schedule.Job[int]{State: sample, Rule: rule})
		}
		return s.Do(ctx, jobs, func(int, schedule.Result[int]) {})
	}}, point.Batch
	if point.Callers > 0 {
		candidate, batch = stream(candidate, point.Callers), len(left)
	}
	timings, err := eval.Latency(ctx, []eval.Candidate{candidate},
		eval.LatencyOptions{Samples: len(left), Batches: []int{batch}, Repetitions: 1})
	if err != nil {
		return 0, err
	}
	return timings[0][0].MS.Median, nil
}

package compile

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Cost is the measured time of a batch through the whole network in one launch.
type Cost struct {
	Batch int           `json:"batch"`
	Time  time.Duration `json:"ns"`
}

// perSample is the time per sample.
func (c Cost) perSample() float64 { return float64(c.Time) / float64(c.Batch) }

// How batch sizes are measured and chosen.
const (
	costRounds = 3                     // all sizes are timed so often
	costRuns   = 1                     // fewest timed runs of a worker at a size in a round
	costTime   = 50 * time.Millisecond // least time a worker spends on a size in a round
	saturated  = 1.05                  // a size this close to the best time per sample is as good
	padding    = 1.1                   // a size is worth having if the next would take so much longer for its batch
)

// Costs measures the time of a batch of every bucket, of the longest length, with as many batches side by side as there
// are workers: what a batch takes when the device is busy. Sizes come in ascending order; those are left out from which on
// larger ones bring nothing per sample. It must come before the first Run.
//
// The time of a size is the least over rounds through all of them: whatever else keeps the machine busy for a moment then
// does not make the sizes look bad that were being timed.
func (e *Engine) Costs(ctx context.Context, progress func(done, total int)) ([]Cost, error) {
	e.Fuse(e.depths[len(e.depths)-1:])
	return costsOf(e.buckets, func(bucket, round int) (time.Duration, error) { return e.cost(ctx, bucket, round == 0) }, progress)
}

// costsOf goes through the sizes in rounds and keeps the least time of each; measure times a size.
func costsOf(buckets []int, measure func(bucket, round int) (time.Duration, error), progress func(done, total int)) ([]Cost, error) {
	var costs []Cost
	for round := range costRounds {
		for i, bucket := range buckets {
			if i == len(costs) && i > 0 && flat(costs) {
				break
			}
			took, err := measure(bucket, round)
			if err != nil {
				return nil, err
			}
			if i == len(costs) {
				costs = append(costs, Cost{bucket, took})
			}
			costs[i].Time = min(costs[i].Time, took)
			if progress != nil {
				progress(round*len(buckets)+i+1, costRounds*len(buckets))
			}
		}
	}
	return costs, nil
}

// flat reports whether sizes up to four times the best have brought nothing over it. Twice would not do: two sizes near
// each other differ by less than their noise.
func flat(costs []Cost) bool {
	best := slices.MinFunc(costs, cheaper)
	return costs[len(costs)-1].Batch >= 4*best.Batch
}

func cheaper(a, b Cost) int {
	if a.perSample() < b.perSample() {
		return -1
	}
	return 1
}

// cost is the median time of a batch of the given size while every worker runs one. The first run of a worker does not
// count if it compiles.
func (e *Engine) cost(ctx context.Context, bucket int, compiles bool) (time.Duration, error) {
	var mu sync.Mutex
	var times []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for range e.workers {
		compiles := compiles // by each worker
		group.Go(func() error {
			var own []time.Duration
			for start := time.Now(); len(own) < costRuns || time.Since(start) < costTime; {
				if err := ctx.Err(); err != nil {
					return err
				}
				took, err := e.timeBatch(bucket)
				if err != nil {
					return err
				}
				if compiles {
					compiles, start = false, time.Now()
					continue
				}
				own = append(own, took)
			}
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// timeBatch takes a batch of samples like any other through the whole network.
func (e *Engine) timeBatch(n int) (time.Duration, error) {
	var batch []*Sample
	for range n {
		s, err := e.blank()
		if err != nil {
			return 0, err
		}
		batch = append(batch, s)
	}
	start := time.Now()
	_, err := e.Run(0, len(e.depths)-1, batch)
	took := time.Since(start)
	if err != nil {
		return 0, err // Run has released them
	}
	for _, s := range batch {
		e.Release(s)
	}
	return took, nil
}

// blank is a sample of the longest length that says nothing. What a sample holds does not change the time it takes.
func (e *Engine) blank() (*Sample, error) {
	if !e.network.Sequences() {
		return e.NewSample(make([]float32, e.network.Backbone.Input().Size(0)), 0)
	}
	return e.NewSequence(make([]int32, e.lengths[len(e.lengths)-1]), 0)
}

// KeepBuckets chooses the batch sizes that are worth compiling from measured costs, which ascend in size: 1; the
// smallest size whose time per sample is close to the best, as the largest, since small batches answer sooner and can be
// shared out; and between them those that save time over padding a batch to the next.
func KeepBuckets(costs []Cost) []int {
	best := slices.MinFunc(costs, cheaper)
	largest := slices.IndexFunc(costs, func(c Cost) bool { return c.perSample() <= best.perSample()*saturated })
	keep := []int{costs[largest].Batch}
	next := costs[largest]
	for i := largest - 1; i >= 0; i-- {
		if i == 0 || float64(next.Time) >= padding*float64(costs[i].Time) {
			next = costs[i]
			keep = append(keep, next.Batch)
		}
	}
	slices.Sort(keep)
	return keep
}

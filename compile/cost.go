package compile

import (
	"context"
	"runtime"
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
	padding    = 1.1                   // a size is worth having if the next takes so much longer for its batch, and so dear may a power of two be
)

// Costs measures for each lane the time of a batch of every bucket, with as many batches side by side as there are
// workers: what a batch takes when the device is busy. Sizes come in ascending order; those are left out from which on
// larger ones bring nothing per sample, and those that brought nothing for the lane before, whose samples are shorter and
// fill a batch less. It must come before the first Run.
//
// The time of a size is the least over rounds through all of the lane: whatever else keeps the machine busy for a moment
// then does not make the sizes look bad that were being timed.
func (e *Engine) Costs(ctx context.Context, progress func(done, total int)) ([][]Cost, error) {
	e.Fuse(e.depths[len(e.depths)-1:])
	return costsOf(e.buckets, func(lane int, buckets []int, i int, first bool) (time.Duration, error) {
		if chunk := runtime.GOMAXPROCS(0); first && i%chunk == 0 {
			if err := e.compileFull(ctx, lane, buckets[i:min(i+chunk, len(buckets))]); err != nil {
				return 0, err
			}
		}
		return e.cost(ctx, lane, buckets[i], first)
	}, progress)
}

// compileFull compiles the executables of the whole network for batches of a lane, side by side.
func (e *Engine) compileFull(ctx context.Context, lane int, buckets []int) error {
	if e.native != nil {
		return nil
	}
	var programs []program
	for _, bucket := range buckets {
		p, err := e.program(form{span{0, len(e.depths) - 1}, bucket, e.lengths[lane]})
		if err != nil {
			return err
		}
		programs = append(programs, p)
	}
	return compileAll(ctx, programs, nil)
}

// costsOf goes through the sizes of each lane in rounds and keeps the least time of each; measure times size i of a lane's,
// and first says that nothing of that size has run yet.
func costsOf(lanes [][]int, measure func(lane int, buckets []int, i int, first bool) (time.Duration, error),
	progress func(done, total int)) ([][]Cost, error) {
	total := 0
	for _, buckets := range lanes {
		total += costRounds * len(buckets)
	}
	all := make([][]Cost, len(lanes))
	before := 0 // for the lanes that are done
	for lane, buckets := range lanes {
		if lane > 0 {
			shorter := all[lane-1]
			buckets = upTo(buckets, shorter[worthwhile(shorter)].Batch)
		}
		var costs []Cost
		for round := range costRounds {
			for i, bucket := range buckets {
				if i == len(costs) && i > 0 && flat(costs) {
					break
				}
				took, err := measure(lane, buckets, i, i == len(costs))
				if err != nil {
					return nil, err
				}
				if i == len(costs) {
					costs = append(costs, Cost{bucket, took})
				}
				costs[i].Time = min(costs[i].Time, took)
				if progress != nil {
					progress(before+round*len(buckets)+i+1, total)
				}
			}
		}
		all[lane] = costs
		before += costRounds * len(lanes[lane])
	}
	return all, nil
}

// upTo are the buckets that are not larger than most, but at least one.
func upTo(buckets []int, most int) []int {
	n := 1
	for n < len(buckets) && buckets[n] <= most {
		n++
	}
	return buckets[:n]
}

// flat reports whether sizes up to four times the best have brought nothing over it. Twice would not do: two sizes near
// each other differ by less than their noise.
func flat(costs []Cost) bool {
	best := slices.MinFunc(costs, cheaper)
	return costs[len(costs)-1].Batch >= 4*best.Batch
}

// worthwhile is the index of the smallest size whose time per sample is close to the best, or the next power of two if that is not much
// dearer: callers send 8, 16 or 32 samples, which batches of at most 6 or 12 would leave with a remainder.
func worthwhile(costs []Cost) int {
	best := slices.MinFunc(costs, cheaper)
	at := slices.IndexFunc(costs, func(c Cost) bool { return c.perSample() <= best.perSample()*saturated })
	for i, c := range costs[at:] {
		if c.Batch&(c.Batch-1) == 0 && c.perSample() <= best.perSample()*padding {
			return at + i
		}
	}
	return at
}

func cheaper(a, b Cost) int {
	if a.perSample() < b.perSample() {
		return -1
	}
	return 1
}

// cost is the median time of a batch of a lane of the given size while every worker runs one. What a worker runs first is
// left out where nothing of that size has run before.
func (e *Engine) cost(ctx context.Context, lane, bucket int, first bool) (time.Duration, error) {
	var mu sync.Mutex
	var times []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for range e.workers {
		first := first // of each worker
		group.Go(func() error {
			var own []time.Duration
			for start := time.Now(); len(own) < costRuns || time.Since(start) < costTime; {
				if err := ctx.Err(); err != nil {
					return err
				}
				took, err := e.timeBatch(lane, bucket)
				if err != nil {
					return err
				}
				if first {
					first, start = false, time.Now()
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

// timeBatch takes a batch of n samples of a lane through the whole network.
func (e *Engine) timeBatch(lane, n int) (time.Duration, error) {
	var batch []*Sample
	for range n {
		s, err := e.blank(lane)
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

// blank is a sample of a lane that says nothing. What a sample holds does not change the time it takes.
func (e *Engine) blank(lane int) (*Sample, error) {
	if !e.network.Sequences() {
		return e.NewSample(make([]float32, e.network.Backbone.Input().Size(0)), 0)
	}
	return e.NewSequence(make([]int32, e.lengths[lane]), 0)
}

// KeepBuckets chooses the batch sizes of a lane that are worth compiling from measured costs, which ascend in size: 1; as
// the largest the smallest size whose time per sample is close to the best, or the next power of two, since small batches
// answer sooner and can be shared out; and between them those that save time over padding a batch to the next.
func KeepBuckets(costs []Cost) []int {
	largest := worthwhile(costs)
	next := costs[largest]
	keep := []int{next.Batch}
	for i := largest - 1; i >= 0; i-- {
		if i == 0 || float64(next.Time) >= padding*float64(costs[i].Time) {
			next = costs[i]
			keep = append(keep, next.Batch)
		}
	}
	slices.Sort(keep)
	return keep
}

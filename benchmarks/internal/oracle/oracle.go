// Package oracle bounds from below the time that any scheduler needs for given samples on given kernels: one that knows
// beforehand where each sample leaves, and pays the measured time of every batch it runs and nothing else. It is plain Go.
//
// # What is paid
//
// [Costs] holds t_k(i, b), the time of a batch of bucket b in segment i while k batches run side by side, for k = 1 and
// for as many as there are workers. A batch of m samples is padded to whichever bucket b ≥ m is cheapest.
//
// # Why it is a bound
//
// Let a batches be active at an instant dt, and let each of them be charged dt/a: the charges add up to the time. A batch
// is done when ∫ dt/t_a = 1, so its charge is at least min_a t_a/a. At most n samples are under way, every other active
// batch holds one of them at least, so a batch of m samples never has more than n - m others beside it:
//
//	w(i, m, n) = min over k ≤ n-m+1 of t_k(i, m)/k
//
// A segment that s samples pass costs at least the cheapest way to cut s into batches (dynamic programming over w), and
// all segments together their sum: the bound by work. Besides, a sample passes its segments one after another, which takes at
// least the sum of its smallest times: the bound by the longest path. Each forgets the other: while the last sample runs at the
// speed that it has alone, nothing else is done, and while others run it has not that speed. So let the charges be λ dt/a for each
// active batch and (1-λ) dt more for the one that holds the sample that stays longest. They add up to the time at most, for any λ
// from 0 to 1, and a batch with that sample is charged at least
//
//	v(i, m, n) = min over k ≤ n-m+1 of t_k(i, m) (λ/k + 1 - λ)
//
// and one without it λ w(i, m, n). [Costs.Arrival] is the largest of these bounds over some λ: work alone is λ = 1, the path
// alone λ = 0.
//
// # Where it is generous
//
// Survivors of a segment wait for each other at no cost; workers are never idle for want of a batch; batches that run
// beside each other slow each other down as batches of the same segment and bucket do; between 1 and all workers no other
// number of batches is taken to be better. So the bound may lie below what any scheduler can reach.
package oracle

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Costs are measured times of one batch in one segment, in any unit.
type Costs struct {
	Buckets []int `json:"buckets"` // batch sizes, ascending
	// Widths are the numbers k of batches that ran side by side, ascending from 1.
	Widths []int `json:"widths"`
	// Times is [width][segment][bucket].
	Times [][][]float64 `json:"times"`
}

// Validate reports the first fault with its place.
func (c *Costs) Validate() error {
	if len(c.Buckets) == 0 || c.Buckets[0] < 1 || !ascending(c.Buckets) {
		return fmt.Errorf("oracle: buckets are %v, want positive sizes in ascending order", c.Buckets)
	}
	if len(c.Widths) == 0 || c.Widths[0] != 1 || !ascending(c.Widths) {
		return fmt.Errorf("oracle: widths are %v, want ascending numbers from 1", c.Widths)
	}
	if len(c.Times) != len(c.Widths) {
		return fmt.Errorf("oracle: times of %d widths, want %d", len(c.Times), len(c.Widths))
	}
	for k, segments := range c.Times {
		if len(segments) == 0 || len(segments) != len(c.Times[0]) {
			return fmt.Errorf("oracle: times of width %d are for %d segments, want %d and at least one", c.Widths[k], len(segments), len(c.Times[0]))
		}
		for i, times := range segments {
			if len(times) != len(c.Buckets) {
				return fmt.Errorf("oracle: segment %d has %d times at width %d, want %d", i, len(times), c.Widths[k], len(c.Buckets))
			}
			if slices.ContainsFunc(times, func(t float64) bool { return !(t > 0) || math.IsInf(t, 0) }) {
				return fmt.Errorf("oracle: times of segment %d at width %d are %v, want positive numbers", i, c.Widths[k], times)
			}
		}
	}
	return nil
}

func ascending(v []int) bool {
	for i := range v[1:] {
		if v[i+1] <= v[i] {
			return false
		}
	}
	return true
}

// Segments is how many there are.
func (c *Costs) Segments() int { return len(c.Times[0]) }

// errExits is a sample that leaves after a segment that is not there.
var errExits = errors.New("oracle: a sample leaves after no segment of the network")

// Arrival bounds the time from the arrival of a batch, with nothing else under way, to its last answer. left is the index
// of the segment after which each of its samples leaves. The costs must be valid.
func (c *Costs) Arrival(left []int) (float64, error) {
	passing, err := c.passing(left)
	if err != nil {
		return 0, err
	}
	var sums [steps + 1]float64 // by λ
	for i, n := range passing {
		if n == 0 {
			continue
		}
		others := c.cut(i, n-1, len(left))
		for step := range sums {
			work, least := float64(step)/steps, math.Inf(1)
			for m := 1; m <= min(n, c.largest()); m++ { // the batch of the sample that stays longest
				least = min(least, c.charge(i, m, len(left), work)+work*others[n-m])
			}
			sums[step] += least
		}
	}
	return slices.Max(sums[:]), nil
}

// steps is into how many parts the range of λ is divided.
const steps = 60

// Stream bounds the time for samples of which never more than inFlight are under way, each call for one sample being
// awaited by its caller before the next. Every segment is paid at the cheapest rate per sample; how batches of that size
// would come together is not asked.
func (c *Costs) Stream(left []int, inFlight int) (float64, error) {
	passing, err := c.passing(left)
	if err != nil {
		return 0, err
	}
	if inFlight < 1 {
		return 0, fmt.Errorf("oracle: %d samples in flight, want at least 1", inFlight)
	}
	var work, paths float64
	for i, n := range passing {
		rate := math.Inf(1)
		for m := 1; m <= min(inFlight, c.largest()); m++ {
			rate = min(rate, c.charge(i, m, inFlight, 1)/float64(m))
		}
		work += float64(n) * rate
		paths += float64(n) * c.pass(i, inFlight)
	}
	return max(work, paths/float64(inFlight)), nil
}

// passing counts the samples that pass each segment.
func (c *Costs) passing(left []int) ([]int, error) {
	n := make([]int, c.Segments())
	for j, last := range left {
		if last < 0 || last >= len(n) {
			return nil, fmt.Errorf("%w: sample %d after segment %d of %d", errExits, j, last, len(n))
		}
		for i := range last + 1 {
			n[i]++
		}
	}
	return n, nil
}

// cut is what it costs at least to take 0 to n samples through segment i in batches, with inFlight samples under way.
func (c *Costs) cut(i, n, inFlight int) []float64 {
	best := make([]float64, n+1)
	charges := make([]float64, min(n, c.largest())+1)
	for m := 1; m < len(charges); m++ {
		charges[m] = c.charge(i, m, inFlight, 1)
	}
	for s := 1; s <= n; s++ {
		best[s] = math.Inf(1)
		for m := 1; m <= min(s, len(charges)-1); m++ {
			best[s] = min(best[s], charges[m]+best[s-m])
		}
	}
	return best
}

// charge is v(i, m, n) of the package comment for λ = work, and with λ = 1 w(i, m, n): the least share of the time that a batch
// of m samples takes up.
func (c *Costs) charge(i, m, inFlight int, work float64) float64 {
	least := math.Inf(1)
	for at, k := range c.Widths {
		if k > inFlight-m+1 {
			break
		}
		least = min(least, c.time(at, i, m)*(work/float64(k)+1-work))
	}
	return least
}

// time is that of a batch of m samples in its cheapest bucket.
func (c *Costs) time(width, i, m int) float64 {
	from, _ := slices.BinarySearch(c.Buckets, m)
	return slices.Min(c.Times[width][i][from:])
}

// pass is the least time in which one sample can pass segment i, with inFlight samples under way.
func (c *Costs) pass(i, inFlight int) float64 {
	least := math.Inf(1)
	for at, k := range c.Widths {
		if k <= inFlight {
			least = min(least, c.time(at, i, 1))
		}
	}
	return least
}

func (c *Costs) largest() int { return c.Buckets[len(c.Buckets)-1] }

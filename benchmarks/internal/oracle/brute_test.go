package oracle_test

import (
	"math"
	"slices"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
)

// search tries every schedule of two workers for a few samples.
type search struct{ *oracle.Costs }

// batch is under way: its samples, and the share of its work that is left.
type batch struct {
	segment, bucket int
	samples         []int
	left            float64
}

// moment is the state of a schedule: the segment each sample waits for (-1 while it runs or has left), where each
// leaves, and what runs.
type moment struct {
	at, last []int
	running  []batch
}

func start(c *oracle.Costs, left []int) moment { return moment{at: make([]int, len(left)), last: left} }

// best is the least time at which all samples can be done, from this moment at time now; bound cuts the search short.
func (s search) best(m moment, now, bound float64) float64 {
	if now >= bound {
		return bound
	}
	waiting := slices.ContainsFunc(m.at, func(i int) bool { return i >= 0 })
	if !waiting && len(m.running) == 0 {
		return now
	}
	if len(m.running) < 2 {
		for i := range s.Segments() {
			for _, samples := range s.choices(m, i) {
				for b, size := range s.Buckets {
					if size >= len(samples) {
						bound = s.best(m.begin(batch{i, b, samples, 1}), now, bound)
					}
				}
			}
		}
	}
	if len(m.running) > 0 { // start nothing more until one is done
		next, elapsed := s.advance(m)
		bound = s.best(next, now+elapsed, bound)
	}
	return bound
}

// choices are the sets of samples that can make a batch of segment i.
func (s search) choices(m moment, i int) [][]int {
	var all [][]int
	for set := 1; set < 1<<len(m.at); set++ {
		var samples []int
		for j, at := range m.at {
			if set>>j&1 == 1 && at == i {
				samples = append(samples, j)
			} else if set>>j&1 == 1 {
				samples = nil
				break
			}
		}
		if len(samples) > 0 && len(samples) <= s.Buckets[len(s.Buckets)-1] {
			all = append(all, samples)
		}
	}
	return all
}

func (m moment) begin(b batch) moment {
	m.at, m.running = slices.Clone(m.at), append(slices.Clone(m.running), b)
	for _, j := range b.samples {
		m.at[j] = -1
	}
	return m
}

// advance lets the batches run, each at the speed that it has beside the others, until the first is done.
func (s search) advance(m moment) (moment, float64) {
	times := s.Times[len(m.running)-1]
	elapsed, first := math.Inf(1), 0
	for i, b := range m.running {
		if t := b.left * times[b.segment][b.bucket]; t < elapsed {
			elapsed, first = t, i
		}
	}
	next := moment{at: slices.Clone(m.at), last: m.last}
	for i, b := range m.running {
		if i != first {
			b.left -= elapsed / times[b.segment][b.bucket]
			next.running = append(next.running, b)
			continue
		}
		for _, j := range b.samples {
			if b.segment < m.last[j] {
				next.at[j] = b.segment + 1
			}
		}
	}
	return next, elapsed
}

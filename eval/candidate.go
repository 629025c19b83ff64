package eval

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/layarun/layarun"
)

// Candidate is one way to answer samples, to be timed.
type Candidate struct {
	Name string
	// Predict answers the samples from..to-1 as one arriving batch and returns when all are answered.
	Predict func(ctx context.Context, from, to int) error
	// Compiled is how many executables have been compiled so far; nil if Predict never compiles.
	Compiled func() int
	// Work is what has been done so far; nil if nobody counts.
	Work func() Work
}

// Work counts what was done to answer samples, by a runtime and all who use it. Of two readings the difference counts.
type Work struct {
	Answers int64         // samples answered
	Depths  int64         // sum of the depths at which they left
	Batches int64         // batches run, a segment or several in one go at a time
	Rows    int64         // samples in them
	Padding int64         // rows that filled them up to a bucket
	CPU     time.Duration // processor time of this process, on all cores; 0 where the system does not tell
}

// Candidate times the runtime of the inputs, with the policy and limits of q.
func (in *Inputs) Candidate(name string, q layarun.Request) Candidate {
	return Candidate{Name: name, Compiled: in.runtime.Executables, Work: in.work, Predict: func(ctx context.Context, from, to int) error {
		samples := in.Request(from, to)
		q := q // candidates may be timed from several goroutines
		q.Values, q.Tokens = samples.Values, samples.Tokens
		answers, err := in.runtime.Predict(ctx, q)
		for _, a := range answers {
			err = errors.Join(err, a.Err)
		}
		return err
	}}
}

// work reads the counters of the runtime and of the process.
func (in *Inputs) work() Work {
	stats := in.runtime.Stats()
	w := Work{CPU: cpuTime()}
	for i, depth := range stats.Depths {
		w.Answers += stats.Exits[i]
		w.Depths += stats.Exits[i] * int64(depth)
		w.Batches += stats.Batches[i]
		w.Rows += stats.Rows[i]
		w.Padding += stats.Padding[i]
	}
	return w
}

func (c Candidate) compiled() int {
	if c.Compiled == nil {
		return 0
	}
	return c.Compiled()
}

func (c Candidate) work() Work {
	if c.Work == nil {
		return Work{}
	}
	return c.Work()
}

// since is what was done after an earlier reading.
func (w Work) since(before Work) Work {
	return Work{w.Answers - before.Answers, w.Depths - before.Depths, w.Batches - before.Batches, w.Rows - before.Rows,
		w.Padding - before.Padding, w.CPU - before.CPU}
}

// plus is what was done in two turns.
func (w Work) plus(more Work) Work {
	return Work{w.Answers + more.Answers, w.Depths + more.Depths, w.Batches + more.Batches, w.Rows + more.Rows,
		w.Padding + more.Padding, w.CPU + more.CPU}
}

// takingTurns yields rounds, from -1, which warms up, and in each of them every candidate. The first turn goes round, so
// that drifts of the machine meet all of them alike.
func takingTurns(rounds, candidates int) iter.Seq2[int, int] {
	return func(yield func(round, candidate int) bool) {
		for turn := range (rounds + 1) * candidates {
			round := turn/candidates - 1
			if !yield(round, (turn+round+1)%candidates) {
				return
			}
		}
	}
}

// uncompiled is a measurement during which nothing was compiled. One that compiled something does not count and is made
// again: how many samples are left at an exit, and so which batch sizes are needed, may differ from one to the next.
func uncompiled[T any](c Candidate, measure func() (T, error)) (T, error) {
	for {
		before := c.compiled()
		measured, err := measure()
		if err != nil || c.compiled() == before {
			return measured, err
		}
	}
}

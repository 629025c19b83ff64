package schedule_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/layarun/layarun/exit"
)

// state is the fake's handle: which sample it is and how many segments it has passed.
type state struct {
	id     string
	scores []float64 // maximum probability after each segment
	lane   int
	passed int
	gone   bool // released, or lost in a batch that failed
}

// fake is a network without tensors. It checks that every sample passes every segment once, in order, in batches of one
// lane that fit, and is released once.
type fake struct {
	depths  []int
	buckets [][]int // by lane
	workers int     // 0 is 1
	// finish, if set, holds up each batch until a value is received; an error fails the batch.
	finish chan error
	// hold, if set, does the same for one batch.
	hold func(batch []*state) error
	// started is called when a batch starts.
	started func(first, last int, batch []*state)

	tasks atomic.Int32 // workers that Go has started

	mu     sync.Mutex
	live   int // states that are not gone
	faults []string
}

func (f *fake) Depths() []int    { return f.depths }
func (f *fake) Buckets() [][]int { return f.buckets }
func (f *fake) Workers() int     { return max(f.workers, 1) }
func (f *fake) Go(task func())   { f.tasks.Add(1); go task() }

func (f *fake) enter(id string, lane int, scores ...float64) *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live++
	return &state{id: id, lane: lane, scores: scores}
}

func (f *fake) Release(s *state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.gone {
		f.fault("%s after %d segments was released twice", s.id, s.passed)
	}
	s.gone = true
	f.live--
}

func (f *fake) Run(first, last int, batch []*state) ([]exit.Scores, error) {
	if f.started != nil {
		f.started(first, last, batch)
	}
	scores := f.run(first, last, batch)
	var err error
	switch {
	case f.hold != nil:
		err = f.hold(batch)
	case f.finish != nil:
		err = <-f.finish
	}
	if err != nil {
		for _, s := range batch {
			f.Release(s)
		}
		return nil, err
	}
	return scores, nil
}

func (f *fake) run(first, last int, batch []*state) []exit.Scores {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(batch) == 0 || len(batch) > slices.Max(f.buckets[batch[0].lane]) || last < first {
		f.fault("segments %d to %d ran %d samples", first, last, len(batch))
	}
	scores := make([]exit.Scores, len(batch))
	for i, s := range batch {
		if s.gone || s.passed != first {
			f.fault("%s ran segment %d after %d segments, gone %v", s.id, first, s.passed, s.gone)
		}
		if s.lane != batch[0].lane {
			f.fault("%s of lane %d shares a batch with lane %d", s.id, s.lane, batch[0].lane)
		}
		s.passed = last + 1
		p := float32(s.scores[last])
		scores[i] = exit.Scores{p, p, p}
	}
	return scores
}

func (f *fake) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// check returns what the fake saw go wrong, and states that were never given up.
func (f *fake) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.faults) > 0 || f.live != 0 {
		return fmt.Errorf("%d states were not given up; faults: %q", f.live, f.faults)
	}
	return nil
}

// sure is a policy on the maximum probability with one threshold for all exits but the last of depths.
func sure(threshold float64, depths ...int) exit.Policy {
	p := exit.Policy{Name: "sure", Gate: exit.MaxProb}
	for _, d := range depths[:len(depths)-1] {
		p.Exits = append(p.Exits, d)
		p.Thresholds = append(p.Thresholds, exit.Threshold(threshold))
	}
	return p
}

package schedule_test

import (
	"fmt"
	"slices"
	"sync"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

// state is the fake's handle: which sample it is and how many segments it has passed. Each handle is used once.
type state struct {
	id     string
	scores []float64 // maximum probability after each segment
	lane   int
	passed int
	gone   bool // consumed by Run or released
}

// fake is a network without tensors. It checks that every sample passes every segment in order, each handle once, in
// batches of one lane that fit.
type fake struct {
	depths, buckets []int
	// finish, if set, holds up each batch until a value is received; an error fails the batch.
	finish chan error
	// started is called when a batch starts.
	started func(segment int, batch []*state, answer bool)

	mu     sync.Mutex
	live   int // handles that are neither consumed nor released
	faults []string
}

func (f *fake) Depths() []int  { return f.depths }
func (f *fake) Buckets() []int { return f.buckets }

func (f *fake) enter(id string, lane int, scores ...float64) *state {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live++
	return &state{id: id, lane: lane, scores: scores}
}

func (f *fake) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *fake) use(s *state) {
	if s.gone {
		f.fault("%s after %d segments was used twice", s.id, s.passed)
	}
	s.gone = true
	f.live--
}

func (f *fake) Release(s *state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.use(s)
}

func (f *fake) Run(segment int, batch []*state, answer bool) ([]schedule.Output[*state], error) {
	if f.started != nil {
		f.started(segment, batch, answer)
	}
	f.mu.Lock()
	if len(batch) == 0 || len(batch) > slices.Max(f.buckets) {
		f.fault("segment %d ran %d samples", segment, len(batch))
	}
	out := make([]schedule.Output[*state], len(batch))
	for i, s := range batch {
		f.use(s)
		if s.passed != segment {
			f.fault("%s ran segment %d after %d segments", s.id, segment, s.passed)
		}
		if s.lane != batch[0].lane {
			f.fault("%s of lane %d shares a batch with lane %d", s.id, s.lane, batch[0].lane)
		}
		next := *s
		next.passed, next.gone = segment+1, false
		out[i] = schedule.Output[*state]{State: &next, Scores: exit.Scores{1, 1, 1}} // wrong unless asked
		if answer {
			p := float32(s.scores[segment])
			out[i].Scores = exit.Scores{p, p, p}
		}
	}
	f.mu.Unlock()
	if f.finish != nil {
		if err := <-f.finish; err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.live += len(batch)
	f.mu.Unlock()
	return out, nil
}

// check returns what the fake saw go wrong, and handles that were never given up.
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

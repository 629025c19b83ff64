package schedule_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/layarun/layarun/schedule"
)

// watched counts how many functions wait for its end.
type watched struct {
	context.Context
	waiting atomic.Int64
}

// AfterFunc is what package context calls for a context that is not its own.
func (w *watched) AfterFunc(f func()) (stop func() bool) {
	w.waiting.Add(1)
	inner := context.AfterFunc(w.Context, f)
	return func() bool { w.waiting.Add(-1); return inner() }
}

// Value hides the context within, which package context would use instead.
func (w *watched) Value(any) any { return nil }

// A context may outlive millions of calls: none leaves anything behind in it.
func TestContextIsLetGo(t *testing.T) {
	net := &fake{depths: []int{3}, buckets: [][]int{{1}}}
	s := start(t, net, 0)
	ctx := &watched{Context: t.Context()}
	for i := range 3 {
		job := []schedule.Job[*state]{{State: net.enter(fmt.Sprint(i), 0, 1)}}
		if err := s.Do(ctx, job, func(int, schedule.Result[*state]) {}); err != nil {
			t.Error(err)
		}
	}
	if n := ctx.waiting.Load(); n != 0 {
		t.Errorf("%d of 3 finished calls still watch the context", n)
	}
	finished(t, s, net)
}

// An idle scheduler holds no state of a sample that it has delivered: states stand for device memory.
func TestStatesAreLetGo(t *testing.T) {
	net := &fake{depths: []int{0, 3}, buckets: [][]int{{1, 4}}}
	s := start(t, net, 0)
	var states []weak.Pointer[state]
	net.started = func(_, _ int, batch []*state) {
		for _, s := range batch {
			states = append(states, weak.Make(s))
		}
	}
	rule, err := schedule.NewRule(sure(1, 0, 3), net.depths, 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		var jobs []schedule.Job[*state]
		for i := range 9 {
			jobs = append(jobs, schedule.Job[*state]{State: net.enter(fmt.Sprint(i), 0, 0, 1), Rule: rule})
		}
		err := s.Do(t.Context(), jobs, func(_ int, r schedule.Result[*state]) { states = append(states, weak.Make(r.State)) })
		if err != nil {
			t.Error(err)
		}
	}()
	if len(states) != 3*9 { // before each of two segments, and at the end
		t.Fatalf("%d states were seen, want 27", len(states))
	}
	runtime.GC()
	for i, p := range states {
		if p.Value() != nil {
			t.Errorf("state %d of %d is still held", i, len(states))
		}
	}
	finished(t, s, net)
}

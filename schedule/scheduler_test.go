package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/layarun/layarun/schedule"
)

func start(t testing.TB, net *fake, capacity int) *schedule.Scheduler[*state] {
	t.Helper()
	s, err := schedule.New(net, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// finished closes s, which must have nothing to give up, and checks what the network saw.
func finished(t testing.TB, s *schedule.Scheduler[*state], net *fake) {
	t.Helper()
	if err := s.Close(context.Background()); err != nil {
		t.Error("close:", err)
	}
	if err := net.check(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		depths   []int
		buckets  [][]int
		capacity int
		want     string
	}{
		{nil, [][]int{{1}}, 0, "depths are [], want at least one"},
		{[]int{-1, 2}, [][]int{{1}}, 0, "depths are [-1 2]"},
		{[]int{0, 2, 2}, [][]int{{1}}, 0, "depths are [0 2 2]"},
		{[]int{2}, nil, 0, "there are no buckets"},
		{[]int{2}, [][]int{{1}, nil}, 0, "buckets of lane 1 are [], want at least one"},
		{[]int{2}, [][]int{{0, 1}}, 0, "buckets of lane 0 are [0 1]"},
		{[]int{2}, [][]int{{1, 4}, {4, 1}}, 0, "buckets of lane 1 are [4 1]"},
		{[]int{2}, [][]int{{1}}, -1, "capacity is -1, want at least 1"},
	} {
		s, err := schedule.New(&fake{depths: c.depths, buckets: c.buckets}, c.capacity)
		if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got error %v, want %q", err, c.want)
		}
	}
}

// Do takes more jobs than there is room for, and nil rules go to the last depth.
func TestDoMoreThanRoom(t *testing.T) {
	net := &fake{depths: []int{0, 3}, buckets: [][]int{{1, 4}}}
	s := start(t, net, 5)
	jobs := make([]schedule.Job[*state], 23)
	for i := range jobs {
		jobs[i].State = net.enter(fmt.Sprint(i), 0, 1, 1)
	}
	seen := make([]int, len(jobs))
	err := s.Do(t.Context(), jobs, func(i int, r schedule.Result[*state]) {
		seen[i]++
		if r.Err != nil || r.Depth != 3 || r.Forced || r.State.id != fmt.Sprint(i) || r.State.gone {
			t.Errorf("job %d: %+v", i, r)
		}
	})
	if err != nil {
		t.Error(err)
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("job %d was delivered %d times", i, n)
		}
	}
	if err := s.Do(t.Context(), nil, nil); err != nil {
		t.Error("no jobs:", err)
	}
	finished(t, s, net)
}

// When the context ends, Do delivers the rest, inside or not, with its error and returns it.
func TestDoCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &fake{depths: []int{0, 3}, buckets: [][]int{{2}}, finish: make(chan error)}
		s := start(t, net, 3)
		rule, err := schedule.NewRule(sure(1, 0, 3), net.depths, 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		var jobs []schedule.Job[*state]
		for i := range 6 { // 2 run, 1 waits inside, 3 outside
			jobs = append(jobs, schedule.Job[*state]{State: net.enter(fmt.Sprint(i), 0, 0, 1), Rule: rule})
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := make([]error, len(jobs))
		done := make(chan error)
		go func() {
			done <- s.Do(ctx, jobs, func(i int, r schedule.Result[*state]) { got[i] = errors.Join(got[i], r.Err) })
		}()
		synctest.Wait()
		cancel()
		net.finish <- nil
		if err := <-done; err != context.Canceled {
			t.Error("Do returned", err)
		}
		for i, err := range got {
			if err == nil || err.Error() != "context canceled" {
				t.Errorf("job %d: got %v, want one cancellation", i, err)
			}
		}
		finished(t, s, net)
	})
}

// All samples of this Do are inside when the context ends, so the error comes from the worker.
func TestDoCancelledInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &fake{depths: []int{3}, buckets: [][]int{{1}}, finish: make(chan error)}
		s := start(t, net, 0)
		jobs := []schedule.Job[*state]{{State: net.enter("a", 0, 1)}, {State: net.enter("b", 0, 1)}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		var got []string
		go func() {
			done <- s.Do(ctx, jobs, func(i int, r schedule.Result[*state]) { got = append(got, fmt.Sprint(i, " ", r.Err)) })
		}()
		synctest.Wait()
		cancel()
		net.finish <- nil
		if err := <-done; err != context.Canceled || fmt.Sprint(got) != "[0 <nil> 1 context canceled]" {
			t.Errorf("Do returned %v and delivered %v", err, got)
		}
		finished(t, s, net)
	})
}

// Who asks for one sample runs it without waking anybody, and leaves others to others: its call ends with its own answer.
func TestCallerWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &fake{depths: []int{0, 3}, buckets: [][]int{{1, 2}}, finish: make(chan error)}
		s := start(t, net, 0)
		rule, err := schedule.NewRule(sure(1, 0, 3), net.depths, 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		do := func(names ...string) chan error {
			var jobs []schedule.Job[*state]
			for _, name := range names {
				jobs = append(jobs, schedule.Job[*state]{State: net.enter(name, 0, 0, 1), Rule: rule})
			}
			done := make(chan error, 1)
			go func() { done <- s.Do(t.Context(), jobs, func(int, schedule.Result[*state]) {}) }()
			synctest.Wait()
			return done
		}
		alone := do("a")
		if n := net.tasks.Load(); n != 0 {
			t.Errorf("%d workers were started for one sample, want none", n)
		}
		others := do("b", "c")
		for range 2 + 1 { // both segments of a, and the first of the others between them or after
			net.finish <- nil
			synctest.Wait()
		}
		if n := net.tasks.Load(); n != 1 {
			t.Errorf("%d workers were started, want one, for who asked for two samples", n)
		}
		select {
		case err := <-alone:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("a call has not ended though its sample has its answer")
		}
		net.finish <- nil
		if err := <-others; err != nil {
			t.Error(err)
		}
		finished(t, s, net)
	})
}

func TestAfterClose(t *testing.T) {
	net := &fake{depths: []int{3}, buckets: [][]int{{1}}}
	s := start(t, net, 0)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := s.Close(cancelled); err != nil { // there was nothing to give up
			t.Error("close:", err)
		}
	}
	job := []schedule.Job[*state]{{State: net.enter("a", 0, 1)}}
	never := func(int, schedule.Result[*state]) { t.Error("delivered after Close") }
	if n, err := s.Submit(t.Context(), job, never); n != 0 || !errors.Is(err, schedule.ErrClosed) {
		t.Errorf("Submit: %d, %v", n, err)
	}
	for _, do := range []func(context.Context, []schedule.Job[*state], func(int, schedule.Result[*state])) error{s.Do, s.TryDo} {
		var got error
		if err := do(t.Context(), job, func(_ int, r schedule.Result[*state]) { got = r.Err }); err != got || !errors.Is(err, schedule.ErrClosed) {
			t.Errorf("%v, delivered %v", err, got)
		}
		job[0].State = net.enter("b", 0, 1)
	}
	net.Release(job[0].State)
	finished(t, s, net)
}

// Where a worker is at work, one more is started for who asks for one sample: it does not run it itself.
func TestSecondCallerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := &fake{depths: []int{3}, buckets: [][]int{{1}}, workers: 2, finish: make(chan error)}
		s := start(t, net, 0)
		done := make(chan error)
		for i := range 2 {
			job := []schedule.Job[*state]{{State: net.enter(fmt.Sprint(i), 0, 1)}}
			go func() { done <- s.Do(t.Context(), job, func(int, schedule.Result[*state]) {}) }()
			synctest.Wait()
			if n := net.tasks.Load(); int(n) != i {
				t.Errorf("%d workers were started for %d callers, want one for all but the first", n, i+1)
			}
		}
		for range 2 {
			net.finish <- nil
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		finished(t, s, net)
	})
}

// What panics while a caller works ends the process, as on any other worker's goroutine, whatever that caller recovers from.
func TestPanicEndsTheProcess(t *testing.T) {
	const inner = "LAYARUN_TEST_PANIC"
	if os.Getenv(inner) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestPanicEndsTheProcess$")
		again.Env = append(os.Environ(), inner+"=1")
		if out, err := again.CombinedOutput(); err == nil || !strings.Contains(string(out), "panic: a bug") {
			t.Errorf("the process ended with %v:\n%s", err, out)
		}
		return
	}
	net := &fake{depths: []int{3}, buckets: [][]int{{1}}}
	s := start(t, net, 0)
	defer func() { t.Log(recover()) }()
	job := []schedule.Job[*state]{{State: net.enter("a", 0, 1)}}
	t.Log(s.Do(t.Context(), job, func(int, schedule.Result[*state]) { panic("a bug") }))
}

// A stream of easy samples keeps segment 0 full for ever; one hard sample among them must get through every segment.
// Never more than queue 0 and the hard sample's wait, so by the package comment each of its three further segments begins
// after at most 4*2 batches of others, and the last ends within 1 + 3*(8+1) batches.
func TestHardSampleAmongEasyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		depths := []int{0, 1, 2, 3}
		easy, err := schedule.NewRule(sure(.5, depths...), depths, 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		net := &fake{depths: depths, buckets: [][]int{{1, 4}}, finish: make(chan error)}
		batches := 0
		net.started = func(int, int, []*state) { batches++ }
		s := start(t, net, 64)
		ctx, stop := context.WithCancel(t.Context())
		arrived := false
		first := []schedule.Job[*state]{{State: net.enter("hard", 0, 0, 0, 0, 0), Rule: easy}}
		if _, err := s.Submit(ctx, first, func(_ int, r schedule.Result[*state]) { arrived = r.Err == nil && r.Depth == 3 }); err != nil {
			t.Fatal(err)
		}
		streamed := make(chan struct{})
		go func() {
			defer close(streamed)
			for {
				job := schedule.Job[*state]{State: net.enter("easy", 0, 1), Rule: easy}
				if _, err := s.Submit(ctx, []schedule.Job[*state]{job}, func(int, schedule.Result[*state]) {}); err != nil {
					net.Release(job.State)
					return
				}
			}
		}()
		synctest.Wait() // the room is full
		for !arrived && batches < 100 {
			net.finish <- nil
			synctest.Wait()
		}
		if !arrived || batches > 1+3*9+1 { // the batch that started after the hard sample had left is counted too
			t.Errorf("after %d batches: arrived %v", batches, arrived)
		}
		stop()
		<-streamed
		close(net.finish)
		finished(t, s, net)
	})
}

// Many callers at once, for the race detector: each gets the answers to its own samples, with the depth its own scores
// ask for.
func TestManyCallers(t *testing.T) {
	depths := []int{0, 2, 4}
	rule, err := schedule.NewRule(sure(.5, depths...), depths, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, workers := range []int{1, 3} {
		manyCallers(t, rule, &fake{depths: depths, buckets: [][]int{{1, 2, 8}, {1, 3}}, workers: workers})
	}
}

func manyCallers(t *testing.T, rule *schedule.Rule, net *fake) {
	depths := net.depths
	s := start(t, net, 16)
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(caller), 1))
			for round := range 30 {
				var jobs []schedule.Job[*state]
				var wants []int
				for i := range 1 + rng.IntN(12)*rng.IntN(2) { // half of the calls have one job, and may work for it
					exit := rng.IntN(3)
					scores := make([]float64, 3)
					scores[exit] = 1
					lane := rng.IntN(2)
					jobs = append(jobs, schedule.Job[*state]{State: net.enter(fmt.Sprint(caller, round, i), lane, scores...), Lane: lane, Rule: rule})
					wants = append(wants, depths[exit])
				}
				err := s.Do(t.Context(), jobs, func(i int, r schedule.Result[*state]) {
					if r.Err != nil || r.State.id != fmt.Sprint(caller, round, i) || r.Depth != wants[i] {
						t.Errorf("caller %d, round %d, job %d: %+v, want depth %d", caller, round, i, r, wants[i])
					}
				})
				if err != nil {
					t.Error(err)
				}
				s.Stats()
			}
		})
	}
	wg.Wait()
	finished(t, s, net)
}

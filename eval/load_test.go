package eval_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/eval"
)

// server answers one request after another, in the order in which they came, and counts as a runtime does.
type server struct {
	takes func(n int) time.Duration // of request n, from 0
	free  chan struct{}             // holds one token while nothing is answered
	mu    sync.Mutex
	work  eval.Work
	from  []int
	came  []time.Time
}

// newServer must be called in the bubble of the test: its channel belongs there.
func newServer(takes func(n int) time.Duration) *server {
	s := &server{takes: takes, free: make(chan struct{}, 1)}
	s.free <- struct{}{}
	return s
}

func steady(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func (s *server) candidate(name string) eval.Candidate {
	work := func() eval.Work {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.work
	}
	return eval.Candidate{Name: name, Work: work, Predict: func(ctx context.Context, from, to int) error {
		s.mu.Lock()
		n := len(s.from)
		s.from, s.came = append(s.from, from), append(s.came, time.Now())
		s.mu.Unlock()
		select {
		case <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { s.free <- struct{}{} }()
		select {
		case <-time.After(s.takes(n)): // the bubble's clock: no real time passes
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		samples := int64(to - from)
		s.work.Answers += samples
		s.work.Depths += 3 * samples
		s.work.Batches += 2
		s.work.Rows += 2 * samples
		s.work.Padding += 2
		s.work.CPU += time.Duration(samples) * time.Millisecond / 2
		return nil
	}}
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-6*math.Abs(want) }

func TestUnderLoadWithCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, early := newServer(steady(2*time.Millisecond)), newServer(steady(time.Millisecond))
		var steps []int
		got, err := eval.UnderLoad(t.Context(), []eval.Candidate{full.candidate("full"), early.candidate("early")}, eval.LoadOptions{
			Loads: []eval.Load{{Callers: 1, Batch: 1}, {Callers: 4, Batch: 3}}, Samples: 10, Rounds: 3, Turn: 100 * time.Millisecond,
			Progress: func(done, total int) { steps = append(steps, done, total) },
		})
		if err != nil {
			t.Fatal(err)
		}
		// One caller sends 50 requests of 2 ms in 100 ms, or 100 of 1 ms. Four callers wait for each other: the answer comes
		// after four times as long, but for the first of each; they stop 3 requests after the time is over. 3 samples each.
		for l, want := range [][]eval.Service{
			{{Name: "full", Requests: 150, Fewest: 50, Throughput: eval.Spread{Median: 500}, P50: eval.Spread{Median: 2}, P99: eval.Spread{Median: 2}},
				{Name: "early", Requests: 300, Fewest: 100, Throughput: eval.Spread{Median: 1000}, P50: eval.Spread{Median: 1}, P99: eval.Spread{Median: 1}}},
			{{Name: "full", Requests: 159, Fewest: 53, Throughput: eval.Spread{Median: 1500}, P50: eval.Spread{Median: 8}, P99: eval.Spread{Median: 8}},
				{Name: "early", Requests: 309, Fewest: 103, Throughput: eval.Spread{Median: 3000}, P50: eval.Spread{Median: 4}, P99: eval.Spread{Median: 4}}},
		} {
			for c, want := range want {
				s := got[l].Services[c]
				if s.Name != want.Name || s.Requests != want.Requests || s.Fewest != want.Fewest || !near(s.Throughput.Median, want.Throughput.Median) ||
					!near(s.P50.Median, want.P50.Median) || !near(s.P99.Median, want.P99.Median) || s.P99.N != 3 {
					t.Errorf("%s, %s: %+v, want %+v", got[l].Load, want.Name, s, want)
				}
				if saved := []float64{0, 0.5}[c]; s.Saved == nil || !near(s.Saved.Median, saved) {
					t.Errorf("%s, %s: saved %+v, want %v", got[l].Load, want.Name, s.Saved, saved)
				}
				// Half a millisecond of processor time a sample; two batches a request with one row of padding each.
				rows := float64(got[l].Batch)
				if s.CoreThroughput == nil || !near(s.CoreThroughput.Median, 2000) || !near(s.Cores.Median, want.Throughput.Median/2000) {
					t.Errorf("%s, %s: %v samples per core-second on %v cores", got[l].Load, want.Name, s.CoreThroughput, s.Cores)
				}
				if s.MeanDepth != 3 || s.Rows != rows || !near(s.Padding, 1/(rows+1)) || !s.Served || s.Behind != 0 {
					t.Errorf("%s, %s: %+v, want depth 3, %v rows and one of padding", got[l].Load, want.Name, s, rows)
				}
			}
		}
		// Requests of 3 take the first 9 of the 10 samples in turn, over and over, from round to round.
		batches := slices.DeleteFunc(slices.Clone(full.from[len(full.from)-159:]), func(from int) bool { return from%3 != 0 || from > 6 })
		if len(batches) != 159 || batches[0] == batches[1] || batches[0] != batches[3] {
			t.Errorf("requests start at %v, want 0, 3, 6 in turn", full.from[len(full.from)-159:])
		}
		if len(steps) != 32 || steps[30] != 16 || steps[31] != 16 { // two loads, two candidates, three rounds and a warm-up
			t.Errorf("progress is %v, want 1 to 16 of 16", steps)
		}
	})
}

// A service that stops for a while also keeps those waiting who would have come meanwhile.
func TestUnderLoadCountsFromWhenRequestsAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := func(n int) time.Duration {
			if n%500 == 499 {
				return 200 * time.Millisecond
			}
			return 100 * time.Microsecond
		}
		got, err := eval.UnderLoad(t.Context(), []eval.Candidate{newServer(takes).candidate("stops")}, eval.LoadOptions{
			Loads: []eval.Load{{Callers: 1, Batch: 1}, {Rate: 1000, Batch: 1}}, Samples: 1, Rounds: 3, Turn: 2 * time.Second, Seed: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		// One caller sees one slow answer in 500. Of those who come at 1000 a second, 200 of 500 come while it stops, and wait
		// 100 ms on average.
		if s := got[0].Services[0]; !near(s.P99.Median, 0.1) {
			t.Errorf("one caller: p99 is %v ms, want 0.1", s.P99.Median)
		}
		if s := got[1].Services[0]; s.P95.Median < 150 || s.P95.Median > 250 || s.P50.Median > 20 {
			t.Errorf("at 1000 a second: p50 is %v and p95 %v ms, want below 20 and about 180", s.P50.Median, s.P95.Median)
		}
	})
}

// A service of 100 requests a second keeps up with 50, falls behind 150, and cannot even end what 1000 a second leave.
func TestUnderLoadTellsWhatCannotBeServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newServer(steady(10*time.Millisecond)), newServer(steady(10*time.Millisecond))
		got, err := eval.UnderLoad(t.Context(), []eval.Candidate{one.candidate("one"), two.candidate("two")}, eval.LoadOptions{
			Loads: []eval.Load{{Rate: 50, Batch: 1}, {Rate: 150, Batch: 1}, {Rate: 1000, Batch: 1}}, Samples: 1, Rounds: 5, Turn: 2 * time.Second, Seed: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range got {
			s := l.Services[0]
			if twin := l.Services[1]; twin.Requests != s.Requests || twin.P99 != s.P99 {
				t.Errorf("%s: %+v and %+v, want the same arrivals for every candidate", l.Load, s, twin)
			}
			if s.Served != (i == 0) || (s.Behind > 0) != (i > 0) || (s.Unanswered > 0) != (i == 2) || s.Saved != nil {
				t.Errorf("%s: %+v", l.Load, s)
			}
		}
		keeps := got[0].Services[0]
		if keeps.Throughput.Median < 40 || keeps.Throughput.Median > 60 || keeps.P50.Min < 10 || keeps.P50.Median > 20 {
			t.Errorf("%+v, want about 50 a second, half of them hardly waiting", keeps)
		}
		// 1000 a second for 2 s, answered at 100 a second for 4 s: 400 of 2000, the last of them due at 0.4 s. The others are
		// given up at 4 s, when the first of them has waited for 3.6 s.
		if s := got[2].Services[0]; s.Requests > 5*401 || s.Requests < 5*399 || s.P99.Median < 3500 || s.P99.Median > 3650 {
			t.Errorf("%+v, want 400 answers a round and a p99 of nearly 3.6 s", s)
		}
	})
}

// Arrivals are a Poisson process: gaps have the mean that the rate says, and a share of 1/e of them is longer.
func TestUnderLoadArrivesAtRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var came []time.Time
		c := eval.Candidate{Name: "at once", Predict: func(context.Context, int, int) error {
			mu.Lock()
			defer mu.Unlock()
			came = append(came, time.Now())
			return nil
		}}
		o := eval.LoadOptions{Loads: []eval.Load{{Rate: 100, Batch: 1}}, Samples: 1, Rounds: 1, Turn: 200 * time.Second, Seed: 7}
		got, err := eval.UnderLoad(t.Context(), []eval.Candidate{c}, o)
		if err != nil {
			t.Fatal(err)
		}
		came = came[len(came)-got[0].Services[0].Requests:] // without the warm-up
		longer := 0
		for i := 1; i < len(came); i++ {
			if came[i].Sub(came[i-1]) > 10*time.Millisecond {
				longer++
			}
		}
		// 20,000 expected; four standard deviations of a Poisson count are 570, of the share 0.014.
		if n := len(came); n < 19430 || n > 20570 {
			t.Errorf("%d requests in 200 s, want 20000 ± 570", n)
		}
		if share := float64(longer) / float64(len(came)-1); math.Abs(share-1/math.E) > 0.014 {
			t.Errorf("a share of %.3f of the gaps is above the mean, want 0.368", share)
		}
		if s := got[0].Services[0]; s.CoreThroughput != nil || s.Cores != nil || s.MeanDepth != 0 {
			t.Errorf("%+v, want no figures of what nobody counted", s)
		}
	})
}

// A turn in which something is compiled is made again.
func TestUnderLoadRepeatsTurnsThatCompile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := 0
		c := eval.Candidate{Name: "late", Compiled: func() int { return (requests + 95) / 100 }, Predict: func(context.Context, int, int) error {
			requests++
			<-time.After(10 * time.Millisecond)
			if requests%100 == 6 { // of the second turn; the first, which warms up, has two
				<-time.After(time.Hour)
			}
			return nil
		}}
		got, err := eval.UnderLoad(t.Context(), []eval.Candidate{c}, eval.LoadOptions{
			Loads: []eval.Load{{Callers: 1, Batch: 1}}, Samples: 1, Rounds: 2, Turn: 80 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		if s := got[0].Services[0]; s.Requests != 16 || !near(s.P99.Max, 10) {
			t.Errorf("%+v, want two turns of 8 requests of 10 ms", s)
		}
	})
}

func TestUnderLoadRefuses(t *testing.T) {
	broken := errors.New("broken")
	bad := eval.Candidate{Name: "bad", Predict: func(context.Context, int, int) error { return broken }}
	fine := eval.LoadOptions{Loads: []eval.Load{{Callers: 3, Batch: 2}}, Samples: 2, Rounds: 1, Turn: time.Millisecond}
	for _, l := range []eval.Load{{Callers: 3, Batch: 2}, {Rate: 1000, Batch: 2}} {
		fine.Loads = []eval.Load{l}
		_, err := eval.UnderLoad(t.Context(), []eval.Candidate{bad}, fine)
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "bad with "+l.String()) {
			t.Errorf("%s: error is %v, want the candidate's, with its name and load", l, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		good := eval.Candidate{Name: "good", Predict: func(ctx context.Context, _, _ int) error { return ctx.Err() }}
		if _, err := eval.UnderLoad(ended, []eval.Candidate{good}, fine); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error is %v, want that of the context", l, err)
		}
	}
	for want, change := range map[string]func(o *eval.LoadOptions){
		"no loads":                     func(o *eval.LoadOptions) { o.Loads = nil },
		"batch is 0":                   func(o *eval.LoadOptions) { o.Loads[0].Batch = 0 },
		"number of samples, 2":         func(o *eval.LoadOptions) { o.Loads[0].Batch = 3 },
		"callers is 0 and rate 0":      func(o *eval.LoadOptions) { o.Loads[0].Callers = 0 },
		"callers is 3 and rate 5":      func(o *eval.LoadOptions) { o.Loads[0].Rate = 5 },
		"rate is NaN":                  func(o *eval.LoadOptions) { o.Loads[0].Rate = math.NaN() },
		"rate is 1e+07":                func(o *eval.LoadOptions) { o.Loads[0].Rate = 1e7 },
		"callers is -1":                func(o *eval.LoadOptions) { o.Loads[0].Callers = -1 },
		"rounds is 0":                  func(o *eval.LoadOptions) { o.Rounds = 0 },
		"a turn is 0s, want more than": func(o *eval.LoadOptions) { o.Turn = 0 },
	} {
		o := fine
		o.Loads = []eval.Load{{Callers: 3, Batch: 2}}
		change(&o)
		if _, err := eval.UnderLoad(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
	if err := eval.DefaultLoadOptions().Validate(); err != nil {
		t.Error(err)
	}
}

// However short a turn is, it holds a request.
func TestUnderLoadOfAnInstant(t *testing.T) {
	slow := eval.Candidate{Name: "slow", Predict: func(ctx context.Context, _, _ int) error {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
		return ctx.Err()
	}}
	got, err := eval.UnderLoad(t.Context(), []eval.Candidate{slow}, eval.LoadOptions{
		Loads: []eval.Load{{Callers: 1, Batch: 1}, {Rate: 1e6, Batch: 1}}, Samples: 1, Rounds: 3, Turn: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if closed, open := got[0].Services[0], got[1].Services[0]; closed.Requests != 3 || open.Requests+open.Unanswered != 3 {
		t.Errorf("%+v and %+v, want a request in each of 3 turns", closed, open)
	}
}

func TestBudgetIsMet(t *testing.T) {
	closed, open := eval.Load{Callers: 1, Batch: 1}, eval.Load{Rate: 50, Batch: 2}
	s := eval.Service{P99: eval.Spread{Median: 10, Max: 99}, Throughput: eval.Spread{Median: 98}, Served: true}
	behind := s
	behind.Served = false
	for _, test := range []struct {
		budget  eval.Budget
		load    eval.Load
		service eval.Service
		want    bool
	}{
		{eval.Budget{}, closed, s, true},
		{eval.Budget{P99: 10 * time.Millisecond}, closed, s, true},
		{eval.Budget{P99: 9 * time.Millisecond}, closed, s, false},
		{eval.Budget{Throughput: 98}, closed, s, true},
		{eval.Budget{Throughput: 99}, closed, s, false},
		{eval.Budget{P99: 9 * time.Millisecond, Throughput: 98}, closed, s, false},
		{eval.Budget{Throughput: 100}, open, s, true}, // 50 requests of 2 a second were kept up with, though fewer happened to come
		{eval.Budget{Throughput: 101}, open, s, false},
		{eval.Budget{P99: time.Second}, open, behind, false},
	} {
		if got := test.budget.Met(test.load, test.service); got != test.want {
			t.Errorf("%+v with %s: %v, want %v", test.budget, test.load, got, test.want)
		}
	}
}

func TestLoadedSheet(t *testing.T) {
	flat := func(v float64) eval.Spread { return eval.Spread{N: 5, Median: v, Min: v, Max: 2 * v} }
	saved, busy := flat(0.25), flat(1.5)
	s := eval.Service{Name: "fast", Fewest: 40, Throughput: flat(812.3), P50: flat(1.234), P95: flat(2), P99: flat(30), Saved: &saved, Cores: &busy,
		CoreThroughput: &busy, MeanDepth: 1.25, Rows: 3.96, Padding: 0.021, Served: true}
	closed := eval.Loaded{Load: eval.Load{Callers: 8, Batch: 1}, Services: []eval.Service{s, s}}
	sheet := closed.Sheet()
	want := []string{"fast", "812 (812–1625)", "25.0", "1.23", "2.00", "30.0 (30.0–60.0)", "1.25", "1.50", "1.50", "4.0", "2.1"}
	if sheet.Caption != "8 callers with requests of one sample" || !slices.Equal(sheet.Rows[1], want) || sheet.Rows[0][2] != "–" {
		t.Errorf("%+v, want the second row to be %q", sheet, want)
	}
	s.Saved, s.Cores, s.CoreThroughput, s.Served, s.Behind, s.Unanswered = nil, nil, nil, false, 4, 17
	open := eval.Loaded{Load: eval.Load{Rate: 99.5, Batch: 8}, Services: []eval.Service{s}}
	want = []string{"fast", "812 (812–1625)", "no", "≥1.23", "≥2.00", "≥30.0 (30.0–60.0)", "1.25", "–", "–", "4.0", "2.1"}
	if sheet := open.Sheet(); sheet.Caption != "99.5 requests of 8 samples per second" || !slices.Equal(sheet.Rows[0], want) || sheet.Header[2] != "kept up" {
		t.Errorf("%+v, want the row %q", sheet, want)
	}
	notes := strings.Join(eval.LoadNotes([]eval.Loaded{closed, open}), "\n")
	for _, want := range []string{"only 40 requests", "fast fell behind 99.5 requests of 8 samples per second in 4 of 5 rounds; 17 requests were given up"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q does not say %q", notes, want)
		}
	}
}

// What the counters of a runtime say of its service.
func TestUnderLoadOfARuntime(t *testing.T) {
	set := points(40)
	r := network(t, set)
	in, err := eval.NewInputs(r, set)
	if err != nil {
		t.Fatal(err)
	}
	shallow := 0
	got, err := eval.UnderLoad(t.Context(), []eval.Candidate{
		in.Candidate("full", layarun.Request{Policy: "full"}), in.Candidate("depth 0", layarun.Request{MaxExit: &shallow}),
	}, eval.LoadOptions{Loads: []eval.Load{{Callers: 2, Batch: 3}, {Rate: 200, Batch: 1}}, Samples: 40, Rounds: 2, Turn: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range got {
		for c, s := range l.Services {
			if s.Requests == 0 || s.Throughput.Min <= 0 || s.MeanDepth != []float64{2, 0}[c] || s.Rows < 1 || s.Padding < 0 || s.Padding >= 1 {
				t.Errorf("%s: %+v, want answers at depth 2 and 0", l.Load, s)
			}
			if runtime.GOOS == "linux" && (s.Cores == nil || s.Cores.Min <= 0) {
				t.Errorf("%s: %+v, want processor time", l.Load, s)
			}
		}
	}
}

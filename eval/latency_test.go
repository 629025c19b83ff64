package eval_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/layarun/layarun/eval"
)

// worker takes time per batch and per sample, and on its first call for a compilation.
type worker struct {
	batch, sample, compile time.Duration
	calls                  *[]string
}

func (w *worker) candidate(name string) eval.Candidate {
	return eval.Candidate{Name: name, Predict: func(ctx context.Context, from, to int) error {
		if w.calls != nil && from == 0 {
			*w.calls = append(*w.calls, name)
		}
		d := w.compile + w.batch + time.Duration(to-from)*w.sample
		w.compile = 0
		select {
		case <-time.After(d): // the bubble's clock: no real time passes
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

func TestLatencyDividesByTheSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		full := &worker{batch: 4 * time.Millisecond, sample: 2 * time.Millisecond, compile: time.Minute, calls: &calls}
		early := &worker{batch: 2 * time.Millisecond, sample: time.Millisecond, compile: time.Hour, calls: &calls}
		var steps []int
		timings, err := eval.Latency(t.Context(), []eval.Candidate{full.candidate("full"), early.candidate("early")}, eval.LatencyOptions{
			Samples: 10, Batches: []int{1, 4}, Repetitions: 2, Progress: func(done, total int) { steps = append(steps, done, total) },
		})
		if err != nil {
			t.Fatal(err)
		}
		// Ten batches of one: 6 and 3 ms each. Three batches of 4, 4 and 2: (3·4 + 10·2) / 10 = 3.2 and half of it.
		for c, want := range [][]float64{{6, 3.2}, {3, 1.6}} {
			for b, ms := range want {
				got := timings[c][b]
				if got.Batch != []int{1, 4}[b] || got.MS.N != 2 || math.Abs(got.MS.Median-ms) > 1e-9 || got.MS.Min != got.MS.Max {
					t.Errorf("candidate %d, batch %d: %+v, want twice %v ms: compilation is not timed", c, got.Batch, got.MS, ms)
				}
				if want := float64(c + 1); math.Abs(got.SpeedUp.Median-want) > 1e-9 {
					t.Errorf("candidate %d, batch %d: speed-up is %v, want %v", c, got.Batch, got.SpeedUp.Median, want)
				}
			}
		}
		// Warm-up in order, then the first turn goes round; the same at the second batch size.
		round := []string{"full", "early", "early", "full", "full", "early"}
		if want := slices.Concat(round, round); !slices.Equal(calls, want) {
			t.Errorf("turns are %v, want %v", calls, want)
		}
		if len(steps) != 24 || steps[0] != 1 || steps[22] != 12 || steps[23] != 12 {
			t.Errorf("progress is %v, want 1 to 12 of 12", steps)
		}
	})
}

// A machine that slows down during the run slows both candidates: the ratio within a repetition stays.
func TestLatencySpeedUpIsPaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &worker{sample: 2 * time.Millisecond}
		fast := &worker{sample: time.Millisecond}
		turns := 0
		drift := func(c eval.Candidate) eval.Candidate {
			return eval.Candidate{Name: c.Name, Predict: func(ctx context.Context, from, to int) error {
				turns++
				factor := time.Duration(1 + (turns-1)/2) // doubles, trebles, … from repetition to repetition
				slow.sample, fast.sample = factor*2*time.Millisecond, factor*time.Millisecond
				return c.Predict(ctx, from, to)
			}}
		}
		timings, err := eval.Latency(t.Context(), []eval.Candidate{drift(slow.candidate("a")), drift(fast.candidate("b"))},
			eval.LatencyOptions{Samples: 1, Batches: []int{1}, Repetitions: 5})
		if err != nil {
			t.Fatal(err)
		}
		if s := timings[1][0]; s.SpeedUp.Min != 2 || s.SpeedUp.Max != 2 || s.MS.Max != 3*s.MS.Min { // factors 2 to 6
			t.Errorf("%+v, want a speed-up of 2 throughout and times from 2 to 6 ms", s)
		}
	})
}

// A pass after the warm-up in which something is compiled is made again: the time of compilation is in no number.
func TestLatencyRepeatsPassesThatCompile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		compiled, passes := 0, 0
		c := eval.Candidate{
			Name: "late", Compiled: func() int { return compiled },
			Predict: func(context.Context, int, int) error {
				passes++
				if passes == 1 || passes == 4 { // the warm-up; the third repetition's pass, which is made again
					compiled++
					<-time.After(time.Hour) // the bubble's clock: no real time passes
				}
				<-time.After(2 * time.Millisecond)
				return nil
			},
		}
		timings, err := eval.Latency(t.Context(), []eval.Candidate{c}, eval.LatencyOptions{Samples: 1, Batches: []int{1}, Repetitions: 4})
		if err != nil {
			t.Fatal(err)
		}
		if ms := timings[0][0].MS; ms.N != 4 || ms.Max != 2 || passes != 6 { // the warm-up, 4, and one made again
			t.Errorf("%+v after %d passes, want 4 times of 2 ms after 6", ms, passes)
		}
	})
}

func TestLatencyRefuses(t *testing.T) {
	broken := errors.New("broken")
	bad := eval.Candidate{Name: "bad", Predict: func(context.Context, int, int) error { return broken }}
	one := eval.LatencyOptions{Samples: 1, Batches: []int{8}, Repetitions: 1}
	if _, err := eval.Latency(t.Context(), []eval.Candidate{bad}, one); !errors.Is(err, broken) || !strings.Contains(err.Error(), "bad at batch 8") {
		t.Errorf("error is %v, want the candidate's, with its name and batch", err)
	}
	for want, o := range map[string]eval.LatencyOptions{
		"samples is -1":    {Samples: -1, Batches: []int{1}, Repetitions: 1},
		"no samples":       {Batches: []int{1}, Repetitions: 1},
		"repetitions is 0": {Samples: 1, Batches: []int{1}},
		"batches are [0]":  {Samples: 1, Batches: []int{0}, Repetitions: 1},
		"batches are []":   {Samples: 1, Repetitions: 1},
	} {
		if _, err := eval.Latency(t.Context(), nil, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
}

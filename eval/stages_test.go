package eval_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
)

func TestStageTimes(t *testing.T) {
	words := &dataset.Set{Name: "words", Classes: []string{"a", "b"}, Labels: []int{0, 1, 1}, Texts: []string{
		"one", "two two", strings.Repeat("three ", 20), // padded to 16, 16 and 32 tokens
	}}
	for _, set := range []*dataset.Set{points(10), points(2), words} {
		r := network(t, set)
		in, err := eval.NewInputs(r, set)
		if err != nil {
			t.Fatal(err)
		}
		var seen []int
		s, err := eval.StageTimes(t.Context(), in, eval.StageOptions{Batch: 4, Repetitions: 3, Progress: func(done, total int) {
			seen = append(seen, done, total)
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		if s.Batch != 4 || s.Repetitions != 3 || !slices.Equal(s.Exits, r.Exits()) || s.Ask[2] != 0 {
			t.Errorf("%s: %+v, want batch 4, 3 repetitions, the exits %v and nothing to ask at the last", set.Name, s, r.Exits())
		}
		for k := range s.Run { // how a stage's time is divided is left to the machine, but none of it is lost
			if s.Run[k]+s.Ask[k] <= 0 {
				t.Errorf("%s: stage %d took %v µs and asking %v, want some time together", set.Name, k, s.Run[k], s.Ask[k])
			}
		}
		if want := []int{0, 3, 1, 3, 2, 3, 3, 3}; !slices.Equal(seen, want) { // the first round warms up
			t.Errorf("progress is %v, want %v", seen, want)
		}
		compiled := r.Executables()
		again, err := eval.StageTimes(t.Context(), in, eval.StageOptions{Batch: 4})
		if err != nil || again.Repetitions < 5 || again.Repetitions > 101 {
			t.Errorf("%d repetitions (%v), want 5 to 101", again.Repetitions, err)
		}
		if now := r.Executables(); now != compiled {
			t.Errorf("%d executables, then %d: the same batch again compiles nothing", compiled, now)
		}
	}
}

func TestStageTimesRefuses(t *testing.T) {
	set := points(3)
	in, err := eval.NewInputs(network(t, set), set)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := eval.NewInputs(network(t, set), set.Subset(nil))
	if err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := eval.StageTimes(ended, in, eval.StageOptions{Batch: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	for want, c := range map[string]struct {
		in *eval.Inputs
		o  eval.StageOptions
	}{
		"batch is 0":               {in, eval.StageOptions{}},
		"repetitions -1":           {in, eval.StageOptions{Batch: 1, Repetitions: -1}},
		"no samples":               {empty, eval.StageOptions{Batch: 1}},
		"33 samples, want 1 to 32": {in, eval.StageOptions{Batch: 33}},
	} {
		if _, err := eval.StageTimes(t.Context(), c.in, c.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
}

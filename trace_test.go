package layarun_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/compile"
)

// A trace passes every depth that the head reads, in one launch or with one for each, and the runtime answers afterwards
// as before.
func TestTrace(t *testing.T) {
	onEach(t, func(t *testing.T, device *compile.Device) {
		r, err := layarun.New(vectors(t, everyDepth()), device, layarun.Options{Buckets: [][]int{{1, 4}}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		q := layarun.Request{Values: make([]float32, 3*5)}
		before := r.Executables()
		for _, answer := range []bool{false, true} {
			q.AllExits = answer
			stretches, err := r.Trace(q)
			if err != nil {
				t.Fatal(err)
			}
			depths := []int{4}
			if answer {
				depths = []int{0, 1, 2, 3, 4}
			}
			if len(stretches) != len(depths) {
				t.Fatalf("%d launches, want depths %v", len(stretches), depths)
			}
			for i, s := range stretches {
				if s.Depth != depths[i] || s.Time <= 0 {
					t.Errorf("launch %d: %+v, want depth %d and some time", i, s, depths[i])
				}
			}
			if now := r.Executables(); now <= before && r.Backend() != "native" {
				t.Errorf("%d executables after %d, want more: answer %t is another form", now, before, answer)
			} else {
				before = now
			}
		}
		answers, err := r.Predict(t.Context(), layarun.Request{Values: q.Values, Policy: "full"})
		if err != nil || len(answers) != 3 || answers[2].Err != nil || answers[2].ExitDepth != 4 {
			t.Errorf("after the trace: %+v, %v", answers, err)
		}
	})
}

func TestTraceRefuses(t *testing.T) {
	r, err := layarun.New(vectors(t, everyDepth()), first(t), layarun.Options{Buckets: [][]int{{1, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for want, q := range map[string]layarun.Request{
		"5 samples, want 1 to 4": {Values: make([]float32, 5*5)},
		"0 samples":              {},
		"7 values are not":       {Values: make([]float32, 7)},
	} {
		if _, err := r.Trace(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
	texts, err := layarun.New(texts(t), first(t), layarun.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer texts.Close()
	if _, err := texts.Trace(layarun.Request{Texts: sentences[1:3]}); !errors.Is(err, layarun.ErrRequest) || !strings.Contains(err.Error(), "another length") {
		t.Errorf("error is %v, want one about the padded lengths", err)
	}
}

package eval_test

import (
	"errors"
	"math"
	"testing"

	"github.com/layarun/layarun/eval"
)

// pairs are two lists of answers with the given counts.
func pairs(better, worse, both int) (reference, candidate []bool) {
	for _, c := range []struct {
		n        int
		ref, can bool
	}{{better, false, true}, {worse, true, false}, {both, true, true}} {
		for range c.n {
			reference, candidate = append(reference, c.ref), append(candidate, c.can)
		}
	}
	return reference, candidate
}

func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		better, worse int
		want          float64
	}{
		{0, 0, 1},
		{0, 1, 1},           // 2 * 1/2
		{0, 5, 2. / 32},     // 2 * (1/2)^5
		{5, 0, 2. / 32},     // symmetric
		{1, 5, 14. / 64},    // 2 * (1 + 6) / 2^6
		{4, 4, 1},           // 2 * 163/256, capped
		{2, 8, 112. / 1024}, // 2 * (1 + 10 + 45) / 2^10
	} {
		if got := eval.McNemar(c.better, c.worse); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("McNemar(%d, %d) is %v, want %v", c.better, c.worse, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	reference, candidate := pairs(10, 30, 960)
	p, err := eval.Compare(reference, candidate, eval.DefaultResampling())
	if err != nil {
		t.Fatal(err)
	}
	if p.N != 1000 || p.Better != 10 || p.Worse != 30 || p.Drop != 0.02 {
		t.Errorf("%+v, want n 1000, better 10, worse 30, drop 0.02", p)
	}
	se := math.Sqrt(40-0.4) / 1000 // b + c - (b-c)^2/n = 40 - 400/1000
	if math.Abs(p.SE-se) > 1e-15 {
		t.Errorf("standard error is %v, want %v", p.SE, se)
	}
	// The bootstrap of a mean is close to normal here: 0.02 -+ 1.96 SE. Drops come in steps of 0.001 = 0.16 SE, and 2,000
	// draws place a 2.5 % quantile to sqrt(0.025 * 0.975 / 2000) / phi(1.96) = 0.06 SE. A 90 % interval would be 0.31 SE off.
	for bound, want := range map[float64]float64{p.Low: 0.02 - 1.96*se, p.High: 0.02 + 1.96*se} {
		if math.Abs(bound-want) > 0.25*se {
			t.Errorf("interval %v to %v, want a bound near %v", p.Low, p.High, want)
		}
	}
	again, err := eval.Compare(reference, candidate, eval.DefaultResampling())
	if err != nil || again != p {
		t.Errorf("the same seed gave %+v, then %+v (%v)", p, again, err)
	}
	same, err := eval.Compare(reference, reference, eval.DefaultResampling())
	if err != nil || same.Drop != 0 || same.Low != 0 || same.High != 0 || same.P != 1 {
		t.Errorf("a model against itself: %+v (%v), want no difference", same, err)
	}
}

func TestCompareRefuses(t *testing.T) {
	if _, err := eval.Compare(nil, nil, eval.DefaultResampling()); !errors.Is(err, eval.ErrEmpty) {
		t.Errorf("no samples: error is %v", err)
	}
	one := []bool{true}
	if _, err := eval.Compare(one, nil, eval.DefaultResampling()); err == nil {
		t.Error("lists of unequal length: no error")
	}
	for _, r := range []eval.Resampling{{Draws: 0, Level: 0.9}, {Draws: 1, Level: 1}, {Draws: 1, Level: math.NaN()}} {
		if _, err := eval.Compare(one, one, r); err == nil {
			t.Errorf("%+v: no error", r)
		}
	}
}

func TestSpread(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3}
	s, err := eval.NewSpread(values)
	if err != nil {
		t.Fatal(err)
	}
	// Position p (n-1) = 4p: 3.8 of the way for 95 %, 3.96 for 99 %.
	want := eval.Spread{N: 5, Min: 1, Q1: 2, Median: 3, Q3: 4, P95: 4.8, P99: 4.96, Max: 5}
	if math.Abs(s.P95-want.P95) > 1e-12 || math.Abs(s.P99-want.P99) > 1e-12 {
		t.Errorf("tail is %v, %v, want %v, %v", s.P95, s.P99, want.P95, want.P99)
	}
	if s.P95, s.P99 = want.P95, want.P99; s != want {
		t.Errorf("spread is %+v, want %+v", s, want)
	}
	if values[0] != 5 {
		t.Error("the measurements were reordered")
	}
	if one, err := eval.NewSpread([]float64{7}); err != nil || one.Median != 7 || one.P99 != 7 {
		t.Errorf("one value: %+v (%v)", one, err)
	}
	if even, err := eval.NewSpread([]float64{1, 2}); err != nil || even.Median != 1.5 {
		t.Errorf("two values: %+v (%v), want median 1.5", even, err)
	}
	if _, err := eval.NewSpread(nil); !errors.Is(err, eval.ErrEmpty) {
		t.Errorf("no values: error is %v", err)
	}
	if _, err := eval.NewSpread([]float64{math.NaN()}); err == nil {
		t.Error("NaN: no error")
	}
}

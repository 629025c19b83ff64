package exit_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/layarun/layarun/exit"
)

// Sums of comb(n, i) eps^i (1 - eps)^(n - i) in exact rational arithmetic (Python's fractions), rounded to six digits.
func TestBinomialP(t *testing.T) {
	for _, c := range []struct {
		errors, n int
		eps, want float64
	}{
		{0, 300, 0.01, 0.0490409}, // = 0.99^300
		{5, 1000, 0.01, 0.0661395},
		{11, 2000, 0.01, 0.0209124},
		{10, 1000, 0.02, 0.0102365},
		{30, 1000, 0.05, 0.00127707},
		{50, 1000, 0.05, 0.537529},
		{7, 7, 0.5, 1},
		{1, 2, 0.5, 0.75}, // 1 - 1/4
		{0, 5, 0, 1},
		{0, 5, 1, 0},
	} {
		if got := exit.BinomialP(c.errors, c.n, c.eps); math.Abs(got-c.want) > 1e-5*c.want {
			t.Errorf("BinomialP(%d, %d, %g) is %.8g, want %.6g", c.errors, c.n, c.eps, got, c.want)
		}
	}
}

// The largest number of errors among n that still certifies at delta 0.05; -1 = impossible.
func TestBinomialPMostErrors(t *testing.T) {
	sizes := []int{500, 872, 1000, 2000, 5000, 10000}
	for eps, want := range map[float64][]int{
		0.005: {-1, 0, 1, 4, 16, 38},
		0.01:  {1, 3, 4, 12, 38, 83},
		0.02:  {4, 10, 12, 29, 83, 176},
		0.05:  {16, 32, 38, 83, 224, 463},
	} {
		for i, n := range sizes {
			for _, errors := range []int{want[i], want[i] + 1} {
				if errors < 0 {
					continue
				}
				passes := exit.BinomialP(errors, n, eps) <= 0.05
				if passes != (errors == want[i]) {
					t.Errorf("eps %g, n %d: %d errors pass: %v, want at most %d", eps, n, errors, passes, want[i])
				}
			}
		}
	}
}

func TestErrorFree(t *testing.T) {
	for eps, want := range map[float64]int{0.001: 2995, 0.005: 598, 0.01: 299, 0.02: 149, 0.05: 59} {
		got := exit.ErrorFree(eps, 0.05)
		if got != want {
			t.Errorf("ErrorFree(%g, 0.05) is %d, want %d", eps, got, want)
		}
		if exit.BinomialP(0, got, eps) > 0.05 || exit.BinomialP(0, got-1, eps) <= 0.05 {
			t.Errorf("eps %g: %d error-free samples are not the fewest that certify", eps, got)
		}
	}
}

// counted is a calibration table in which the first exit is sure of everything, with the given numbers of samples that it
// spoils, mends and leaves alone; and the path "never", "at once".
func counted(worse, better, same int) (*exit.Table, exit.Path) {
	t := emptyTable(2)
	right, wrong := []float32{9, 0, 0}, []float32{0, 9, 0}
	for range worse {
		add(t, 0, [][]float32{wrong, right})
	}
	for range better {
		add(t, 0, [][]float32{right, wrong})
	}
	for range same {
		add(t, 0, [][]float32{right, right})
	}
	path := exit.Path{Gate: exit.MaxProb, Exits: []int{0}, Steps: []exit.Step{
		{Thresholds: []exit.Threshold{exit.Never}, Cost: 1}, {Thresholds: []exit.Threshold{0}, Cost: 0.5},
	}}
	return t, path
}

func TestCertifyCounts(t *testing.T) {
	drop := exit.Options{Risk: exit.AccuracyDrop, Eps: 0.005, Delta: 0.05, Gates: exit.Gates}
	same := drop
	same.Risk = exit.Consistency
	for _, c := range []struct {
		name                string
		o                   exit.Options
		worse, better, rest int
		pass                bool
	}{
		{"binomial, 16 of 5000", same, 16, 0, 4984, true}, // see TestBinomialPMostErrors
		{"binomial, 17 of 5000", same, 17, 0, 4983, false},
		{"binomial, mended answers are changes too", same, 8, 9, 4983, false},
		{"binomial, 598 without error", same, 0, 0, 598, true},
		{"binomial, 597 without error", same, 0, 0, 597, false},
		// Normal approximation, drop + 1.645 SE: 0 + 0.0023, 0.001 + 0.0017, 0.005 + 0.0033, 0 + 0.0074.
		{"drop, 25 spoilt and 25 mended of 5000", drop, 25, 25, 4950, true},
		{"drop, 15 and 10", drop, 15, 10, 4975, true},
		{"drop, 60 and 35", drop, 60, 35, 4905, false},
		{"drop, 250 and 250", drop, 250, 250, 4500, false},
		{"drop, more mended than spoilt", drop, 20, 60, 4920, true},
		{"drop, too few samples", drop, 0, 0, 500, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, path := counted(c.worse, c.better, c.rest)
			p, report, err := exit.Certify(path, table, c.o)
			if err != nil {
				t.Fatal(err)
			}
			cert := p.Certificate
			if passed := cert.Step == 1; passed != c.pass {
				t.Fatalf("passed: %v, want %v (p = %g)", passed, c.pass, report.Tests[0].P)
			}
			if c.pass && !(cert.Bound > float64(c.worse-c.better)/float64(cert.N) && cert.Bound <= c.o.Eps) {
				t.Errorf("bound is %g, want it above the measured risk and at most %g", cert.Bound, c.o.Eps)
			}
			if !c.pass && (cert.Bound != 0 || p.Thresholds[0] != exit.Never) {
				t.Errorf("nothing passed: bound %g, threshold %v, want 0 and never", cert.Bound, p.Thresholds[0])
			}
		})
	}
}

func TestCertificateSaysWhatItHoldsFor(t *testing.T) {
	table, path := counted(0, 0, 100)
	o := exit.DefaultOptions()
	p, report, err := exit.Certify(path, table, o)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := path.Digest()
	if err != nil {
		t.Fatal(err)
	}
	want := exit.Certificate{Risk: exit.AccuracyDrop, Eps: 0.005, Delta: 0.05, N: 100, Bundle: "bundle", Path: digest, Split: "split"}
	if *p.Certificate != want || report.Certificate != want {
		t.Errorf("certificate is %+v, want %+v", *p.Certificate, want)
	}
	if !strings.Contains(report.Message, "598") { // ErrorFree(0.005, 0.05)
		t.Errorf("message is %q, want it to say how many error-free samples are needed", report.Message)
	}
	path.Steps[1].Thresholds[0] = 0.5
	if other, _ := path.Digest(); other == digest {
		t.Error("another threshold, the same digest of the path")
	}
}

// The walk must not step over a policy that fails to one that passes.
func TestCertifyStopsAtFirstFailure(t *testing.T) {
	table, path := counted(0, 0, 2000)
	for range 2000 { // the first exit spoils what scores below 0.9 and above 0.5: p = e^1.5 / (e^1.5 + 2) = 0.69
		add(table, 0, [][]float32{{0, 1.5, 0}, {9, 0, 0}})
	}
	path.Steps = []exit.Step{
		{Thresholds: []exit.Threshold{exit.Never}},
		{Thresholds: []exit.Threshold{0.95}},
		{Thresholds: []exit.Threshold{0.6}},
		{Thresholds: []exit.Threshold{0.96}},
	}
	for _, risk := range []string{exit.AccuracyDrop, exit.Consistency} {
		o := exit.DefaultOptions()
		o.Risk = risk
		p, report, err := exit.Certify(path, table, o)
		if err != nil {
			t.Fatal(err)
		}
		if p.Certificate.Step != 1 || len(report.Tests) != 2 || report.Tests[1].Passed {
			t.Errorf("%s: step %d after tests %+v, want step 1 and a stop at 2", risk, p.Certificate.Step, report.Tests)
		}
	}
}

// Certificates drawn from a known population are wrong in at most a share delta of the draws. 1000 draws with replacement:
// a share of 0.05 has a standard deviation of sqrt(0.05 * 0.95 / 1000) = 0.0069, three of which are allowed.
func TestCertificateIsValid(t *testing.T) {
	const draws, limit = 1000, 50 + 21
	population := synthetic(1, 4000, 3, 0.6)
	for _, o := range []exit.Options{
		{Risk: exit.AccuracyDrop, Eps: 0.02, Delta: 0.05, Gates: exit.Gates},
		{Risk: exit.Consistency, Eps: 0.05, Delta: 0.05, Gates: exit.Gates},
	} {
		path, err := exit.NewPath(synthetic(2, 1000, 3, 0.6), o)
		if err != nil {
			t.Fatal(err)
		}
		kept := path.Steps[:0] // every third policy is path enough, and three times as fast
		for i := 0; i < len(path.Steps); i += 3 {
			kept = append(kept, path.Steps[i])
		}
		path.Steps = kept
		risks := make([]float64, len(path.Steps))
		for i := range risks {
			risks[i] = riskOf(population, path.Policy(i), o.Risk)
		}
		rng := rand.New(rand.NewPCG(3, 4))
		var wrong, early int
		for range draws {
			p, _, err := exit.Certify(path, resample(population, rng, 600), o)
			if err != nil {
				t.Fatal(err)
			}
			wrong += b2i(risks[p.Certificate.Step] > o.Eps)
			early += b2i(p.Certificate.Step > 0)
		}
		t.Logf("%s: %d of %d certificates wrong, %d exit early", o.Risk, wrong, draws, early)
		if wrong > limit {
			t.Errorf("%s: %d of %d certificates are wrong, want at most %d", o.Risk, wrong, draws, limit)
		}
		if early < draws/2 {
			t.Errorf("%s: %d of %d certificates let samples leave early: nothing was tested", o.Risk, early, draws)
		}
	}
}

// The hardest case: one policy whose risk is a hair above eps. Here every certificate that passes is wrong.
func TestCertificateIsValidAtTheEdge(t *testing.T) {
	const draws, limit = 1000, 50 + 21 // as in TestCertificateIsValid
	population, path := counted(61, 20, 1919)
	for risk, eps := range map[string]float64{exit.AccuracyDrop: 41. / 2000, exit.Consistency: 81. / 2000} {
		o := exit.Options{Risk: risk, Eps: eps - 1e-9, Delta: 0.05, Gates: exit.Gates}
		rng := rand.New(rand.NewPCG(5, 6))
		wrong := 0
		for range draws {
			p, _, err := exit.Certify(path, resample(population, rng, 800), o)
			if err != nil {
				t.Fatal(err)
			}
			wrong += p.Certificate.Step
		}
		t.Logf("%s: %d of %d certificates wrong", risk, wrong, draws)
		if wrong > limit || wrong == 0 {
			t.Errorf("%s: %d of %d certificates are wrong, want 1 to %d", risk, wrong, draws, limit)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

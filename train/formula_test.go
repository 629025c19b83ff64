package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/testbackend"
)

// evaluate runs a graph function on values and returns the outputs' values.
func evaluate(t *testing.T, f func(in []*graph.Node) []*graph.Node, args ...any) [][]float32 {
	t.Helper()
	out, err := graph.CallOnceN(testbackend.Go(t), f, args...)
	if err != nil {
		t.Fatal(err)
	}
	var values [][]float32
	for _, o := range out {
		values = append(values, tensors.MustCopyFlatData[float32](o))
	}
	return values
}

func normals(rng *rand.Rand, n int, scale float64) []float32 {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(rng.NormFloat64() * scale)
	}
	return values
}

func wantClose(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if !(math.Abs(float64(got[i])-want[i]) <= tolerance) {
			t.Fatalf("%s: value %d is %v, want %v within %v", what, i, got[i], want[i], tolerance)
		}
	}
}

// refAdamW is algorithm 2 of Loshchilov and Hutter 2019 on one number, in the order of the paper.
type refAdamW struct{ m, v float64 }

func (r *refAdamW) update(c Config, w, g, rate float64, t int, decays bool) float64 {
	r.m = c.Beta1*r.m + (1-c.Beta1)*g
	r.v = c.Beta2*r.v + (1-c.Beta2)*g*g
	m := r.m / (1 - math.Pow(c.Beta1, float64(t)))
	v := r.v / (1 - math.Pow(c.Beta2, float64(t)))
	next := w - rate*m/(math.Sqrt(v)+c.Epsilon)
	if decays {
		next -= rate * c.Decay * w
	}
	return next
}

func TestAdamWFollowsThePaper(t *testing.T) {
	const n, steps, rate = 6, 8, 0.01
	for _, test := range []struct {
		name   string
		change func(*Config)
		dims   []int
	}{
		{"matrix decays", func(c *Config) { c.Decay = 0.3 }, []int{2, 3}},
		{"vector does not", func(c *Config) { c.Decay = 0.3 }, []int{6}},
		{"no decay", func(c *Config) { c.Decay = 0 }, []int{2, 3}},
		{"no momentum", func(c *Config) { c.Beta1 = 0 }, []int{6}},
		{"no memory", func(c *Config) { c.Beta1, c.Beta2 = 0, 0 }, []int{6}},
		{"large epsilon", func(c *Config) { c.Epsilon = 0.5 }, []int{6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			test.change(&c)
			rng := rand.New(rand.NewPCG(1, 2))
			w, first, second := normals(rng, n, 1), make([]float32, n), make([]float32, n)
			want, refs := make([]float64, n), make([]refAdamW, n)
			for i := range want {
				want[i] = float64(w[i])
			}
			for step := 1; step <= steps; step++ {
				g := normals(rng, n, 0.1)
				for i := range want {
					want[i] = refs[i].update(c, want[i], float64(g[i]), rate, step, len(test.dims) > 1)
				}
				tensor := func(v []float32) *tensors.Tensor { return tensors.FromFlatDataAndDimensions(v, test.dims...) }
				out := evaluate(t, func(in []*graph.Node) []*graph.Node {
					next, m := c.adamW(in[0], in[1], moments{in[2], in[3]}, in[4], in[5])
					return []*graph.Node{next, m.first, m.second}
				}, tensor(w), tensor(g), tensor(first), tensor(second), float32(rate), float32(step))
				w, first, second = out[0], out[1], out[2]
			}
			// 1 - beta2^t loses up to 2^-24 / 0.001 of its value in float32, half of which the root takes away: 3e-5 of each step
			// of at most about the rate; w itself rounds by 2^-24 a step.
			wantClose(t, "weight", w, want, steps*rate*5e-5+steps*1.2e-7)
		})
	}
}

func TestClipBoundsTheGlobalNorm(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, test := range []struct {
		limit, scale float64
	}{{1, 10}, {1, 0.01}, {0, 10}, {0.3, 1}, {1, 0}} {
		a, b := normals(rng, 6, test.scale), normals(rng, 3, test.scale)
		norm := 0.0
		for _, v := range append(append([]float32{}, a...), b...) {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		factor := 1.0
		if test.limit > 0 && norm > test.limit {
			factor = test.limit / norm
		}
		out := evaluate(t, func(in []*graph.Node) []*graph.Node { return clip(in, test.limit) },
			tensors.FromFlatDataAndDimensions(a, 2, 3), b)
		for i, in := range [][]float32{a, b} {
			want := make([]float64, len(in))
			for j, v := range in {
				want[j] = float64(v) * factor
			}
			// A sum of 9 squares, a root, a quotient and a product: a few roundings of 2^-24 of values up to 30.
			wantClose(t, fmt.Sprintf("limit %v, scale %v", test.limit, test.scale), out[i], want, 1e-5)
		}
	}
}

// refLoss is the loss as the documentation of [Config] states it, and its gradient by the logits of every exit; logits is
// [exit][sample][class].
func refLoss(c Config, logits [][][]float64, labels []int32) (loss float64, gradients [][][]float64) {
	exits, n := len(logits), float64(len(labels))
	softmax := func(l []float64) []float64 {
		sum, p := 0.0, make([]float64, len(l))
		for i := range l {
			p[i] = math.Exp(l[i])
			sum += p[i]
		}
		for i := range p {
			p[i] /= sum
		}
		return p
	}
	for k, batch := range logits {
		ce, kl := 1.0, 0.0 // weights of the two terms
		if k < exits-1 {
			ce, kl = c.ExitWeight/float64(exits-1), c.DistilWeight/float64(exits-1)
		}
		var rows [][]float64
		for i, l := range batch {
			p, teacher, row := softmax(l), softmax(logits[exits-1][i]), make([]float64, len(l))
			for j := range l {
				target := c.Smoothing / float64(len(l))
				if int32(j) == labels[i] {
					target += 1 - c.Smoothing
				}
				loss -= ce * target * math.Log(p[j]) / n
				loss += kl * teacher[j] * (math.Log(teacher[j]) - math.Log(p[j])) / n
				row[j] = (ce*(p[j]-target) + kl*(p[j]-teacher[j])) / n // the teacher held fixed
			}
			rows = append(rows, row)
		}
		gradients = append(gradients, rows)
	}
	return loss, gradients
}

func TestLossIsItsFormula(t *testing.T) {
	const n, classes = 5, 4
	for _, test := range []struct {
		exits                        int
		exitWeight, distil, smoothed float64
	}{
		{1, 1, 0.5, 0}, {1, 1, 0.5, 0.1}, {4, 1, 0.5, 0}, {4, 0.3, 0, 0.2}, {4, 0, 0.7, 0.2}, {4, 0, 0, 0.1}, {2, 1, 2, 0},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			c := Config{ExitWeight: test.exitWeight, DistilWeight: test.distil, Smoothing: test.smoothed}
			rng := rand.New(rand.NewPCG(5, 6))
			labels := []int32{0, 3, 1, 1, 2}
			args := []any{labels}
			var logits [][][]float64
			for range test.exits {
				flat := normals(rng, n*classes, 3)
				args = append(args, tensors.FromFlatDataAndDimensions(flat, n, classes))
				var batch [][]float64
				for i := range n {
					var row []float64
					for _, v := range flat[i*classes : (i+1)*classes] {
						row = append(row, float64(v))
					}
					batch = append(batch, row)
				}
				logits = append(logits, batch)
			}
			out := evaluate(t, func(in []*graph.Node) []*graph.Node {
				loss := c.loss(in[1:], in[0])
				return append([]*graph.Node{loss}, graph.Gradient(loss, in[1:]...)...)
			}, args...)
			loss, gradients := refLoss(c, logits, labels)
			// Log probabilities up to 20 in float32 carry errors of 20 * 2^-23, here at most four of them with weights of up to 2.
			wantClose(t, "loss", out[0], []float64{loss}, 2e-5)
			for k, batch := range gradients {
				for i, row := range batch {
					wantClose(t, fmt.Sprintf("gradient of exit %d", k), out[1+k][i*classes:], row, 2e-6) // probabilities round by 1e-7
				}
			}
		})
	}
}

func TestRateWarmsUpAndFalls(t *testing.T) {
	c := Config{Rate: 0.4, WarmUp: 0.1, Schedule: "cosine"}
	// 100 steps: 10 of warm-up rise by 0.4/11 each; then 90 of half a cosine, the 45th of which is the middle.
	for step, want := range map[int]float64{0: 0.4 / 11, 9: 4.0 / 11, 10: 0.4, 55: 0.2, 40: 0.2 * (1 + 0.5)} {
		if got := c.rateAt(step, 100); math.Abs(got-want) > 1e-15 {
			t.Errorf("cosine: rate of step %d is %v, want %v", step, got, want)
		}
	}
	if last := c.rateAt(99, 100); !(last > 0 && last < 0.001) {
		t.Errorf("cosine: the last rate is %v, want just above 0", last)
	}
	c.Schedule = "constant"
	for step, want := range map[int]float64{0: 0.4 / 11, 10: 0.4, 99: 0.4} {
		if got := c.rateAt(step, 100); math.Abs(got-want) > 1e-15 {
			t.Errorf("constant: rate of step %d is %v, want %v", step, got, want)
		}
	}
	c.WarmUp = 0
	if got := c.rateAt(0, 1); got != 0.4 {
		t.Errorf("the only step has rate %v, want the peak", got)
	}
}

func TestScoreCountsFiniteLogitsOnly(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	s := Score{Accuracy: make([]float64, 2)}
	// Two exits of four rows, of which the last is padding; the tie in row 0 goes to class 0.
	s.add([]float32{1, 1, nan, 2, 0, inf, 9, 9, 0, 1, 1, 0, 0, 1, 9, 9}, []int{0, 1, 1}, 2, 4)
	if s.Accuracy[0] != 1 || s.Accuracy[1] != 1 {
		t.Errorf("counts are %v, want 1 (the tie) and 1 (row 2)", s.Accuracy)
	}
	if want := 3*math.Log(1+math.E) - 1; math.Abs(s.Loss-want) > 1e-12 { // -ln softmax: ln(1+e), ln(1+e), ln(1+e)-1
		t.Errorf("loss is %v, want %v", s.Loss, want)
	}
}

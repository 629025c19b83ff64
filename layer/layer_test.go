package layer_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/reftest"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/layer"
)

func TestSpec(t *testing.T) {
	s := layer.Float32(layer.Length, 3)
	if got := s.Shape(2, 16).Dimensions; !slices.Equal(got, []int{2, 16, 3}) || s.Size(16) != 48 || s.Dims[0] != layer.Length {
		t.Errorf("a batch of 2 has dims %v and a sample %d values; the spec is now %v", got, s.Size(16), s.Dims)
	}
}

func TestParamsOfListsTiedWeightsOnce(t *testing.T) {
	own, shared := layer.Param{Name: "kernel", Dims: []int{1}}, layer.Param{Name: "kernel", Path: "head.kernel", Dims: []int{2}}
	var names []string
	for _, p := range layer.ParamsOf(
		layer.Op{Name: "a", Params: []layer.Param{own, shared}}, layer.Op{Name: "b", Params: []layer.Param{shared, own}}, layer.Op{Name: "a", Params: []layer.Param{own}},
	) {
		names = append(names, p.Name+p.Path)
	}
	if want := []string{"a.kernel", "head.kernel", "b.kernel"}; !slices.Equal(names, want) {
		t.Errorf("params are %q, want %q", names, want)
	}
}

func TestCheckWeights(t *testing.T) {
	params := []layer.Param{{Name: "a", Dims: []int{2}}, {Name: "b", Dims: []int{1, 2}}}
	two, row := tensors.FromFlatDataAndDimensions([]float32{1, 2}, 2), tensors.FromFlatDataAndDimensions([]float32{1, 2}, 1, 2)
	for want, w := range map[string]layer.Weights{
		"":                       {"a": two, "b": row},
		`weight "b" is missing`:  {"a": two},
		`weight "b" has shape`:   {"a": two, "b": two},
		`weight "a" has shape`:   {"a": tensors.FromFlatDataAndDimensions([]float64{1, 2}, 2), "b": row},
		`"c" is not part of thi`: {"a": two, "b": row, "c": two, "d": two},
	} {
		err := layer.CheckWeights(w, params)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

// Fresh weights have the distributions that their initialisers name, and the same seed gives the same bits.
func TestNewWeights(t *testing.T) {
	params := []layer.Param{
		{Name: "glorot", Dims: []int{300, 100}, Init: layer.Glorot}, {Name: "he", Dims: []int{3, 3, 50, 100}, Init: layer.He},
		{Name: "normal", Dims: []int{100, 100}, Init: layer.Normal(0.02)}, {Name: "ones", Dims: []int{7}, Init: layer.Ones},
		{Name: "scalar", Init: layer.Constant(-2)},
	}
	w, again, other := layer.NewWeights(params, 1), layer.NewWeights(params, 1), layer.NewWeights(params, 2)
	for _, p := range params {
		values := tensors.MustCopyFlatData[float32](w[p.Name])
		if !slices.Equal(values, tensors.MustCopyFlatData[float32](again[p.Name])) {
			t.Errorf("%s: the same seed gives other values", p.Name)
		}
		if random := len(p.Dims) > 1; random == slices.Equal(values, tensors.MustCopyFlatData[float32](other[p.Name])) {
			t.Errorf("%s: another seed changes random values, and no others", p.Name)
		}
		mean, square, largest := 0.0, 0.0, 0.0
		for _, v := range values {
			mean, square, largest = mean+float64(v)/float64(len(values)), square+float64(v)*float64(v)/float64(len(values)), max(largest, math.Abs(float64(v)))
		}
		// Uniform in ±l has variance l²/3; here l² = 6/400. He: 2/(3·3·50). Ten thousand draws are within 5 %.
		want := map[string]struct{ mean, square float64 }{
			"glorot": {0, 2.0 / 400}, "he": {0, 2.0 / 450}, "normal": {0, 0.0004}, "ones": {1, 1}, "scalar": {-2, 4},
		}[p.Name]
		if math.Abs(mean-want.mean) > 0.01 || math.Abs(square/want.square-1) > 0.05 {
			t.Errorf("%s: mean %v and mean square %v, want %v and %v", p.Name, mean, square, want.mean, want.square)
		}
		if p.Name == "glorot" && largest > math.Sqrt(6.0/400) {
			t.Errorf("glorot: %v is out of ±sqrt(6/400)", largest)
		}
	}
}

// tolerance: float32 sums of a few terms of order 1, against float64.
const tolerance = 1e-5

func TestLayersMatchTheReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) (f32 []float32, f64 []float64) {
		for range n {
			v := float32(rng.NormFloat64())
			f32, f64 = append(f32, v), append(f64, float64(v))
		}
		return f32, f64
	}
	x, x64 := draw(6)
	kernel, kernel64 := draw(6 * 4)
	bias, bias64 := draw(4)
	gain, gain64 := draw(6)
	shift, shift64 := draw(6)
	out, err := graph.CallOnceN(testbackend.Go(t), func(in []*graph.Node) []*graph.Node {
		p := layer.NewPass(map[string]*graph.Node{"d.kernel": in[1], "d.bias": in[2], "n.gain": in[3], "n.bias": in[4]}, nil)
		return []*graph.Node{
			layer.Dense(p, "d", in[0]), layer.GELU(in[0]), layer.LayerNorm(p, "n", in[0], 1e-5), layer.RMSNorm(in[0]),
			layer.ReLU(in[0]), p.Dropout(in[0], 0.5),
		}
	}, [][]float32{x}, tensors.FromFlatDataAndDimensions(kernel, 6, 4), bias, gain, shift)
	if err != nil {
		t.Fatal(err)
	}
	positive := make([]float64, len(x64))
	for i, v := range x64 {
		positive[i] = max(v, 0)
	}
	for i, want := range [][]float64{
		reftest.Dense(x64, kernel64, bias64), reftest.GELU(x64), reftest.LayerNorm(x64, gain64, shift64, 1e-5), reftest.RMSNorm(x64),
		positive, x64, // dropout is nothing in inference
	} {
		for j, got := range tensors.MustCopyFlatData[float32](out[i]) {
			if math.Abs(float64(got)-want[j]) > tolerance {
				t.Errorf("layer %d, value %d: %v, want %v (tolerance %g)", i, j, got, want[j], tolerance)
			}
		}
	}
}

// In training dropout keeps a share of about 1 - rate, scales it by 1/(1-rate), and no two draws of a step are alike.
func TestDropout(t *testing.T) {
	const n, rate = 10_000, 0.25
	out, err := graph.CallOnceN(testbackend.Go(t), func(rng *graph.Node) []*graph.Node {
		p := layer.NewPass(nil, &layer.Training{RNG: rng})
		ones := graph.Ones(rng.Graph(), layer.Float32(n).Shape(1, 0))
		return []*graph.Node{p.Dropout(ones, rate), p.Dropout(ones, rate)}
	}, must(graph.RNGStateFromSeed(1)))
	if err != nil {
		t.Fatal(err)
	}
	first, second := tensors.MustCopyFlatData[float32](out[0]), tensors.MustCopyFlatData[float32](out[1])
	kept := 0
	for _, v := range first {
		if v != 0 {
			kept++
		}
		if v != 0 && math.Abs(float64(v)-4.0/3) > 1e-6 {
			t.Fatalf("a kept value is %v, want 1/(1-0.25)", v)
		}
	}
	if math.Abs(float64(kept)-n*(1-rate)) > 220 || slices.Equal(first, second) { // 5 standard deviations of the binomial: 5·sqrt(n·0.75·0.25)
		t.Errorf("%d of %d were kept; two draws alike: %v", kept, n, slices.Equal(first, second))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A binding gives Ops their weights by full name and collects what they set; faults of an Op are errors of the call.
func TestBinding(t *testing.T) {
	op := layer.Op{Name: "bn", Params: []layer.Param{{Name: "mean", Frozen: true}}, Apply: func(p *layer.Pass, in []*graph.Node) []*graph.Node {
		p.Set("mean", in[0])
		return []*graph.Node{graph.Sub(in[0], p.Param("mean"))}
	}}
	for _, training := range []bool{false, true} {
		out, err := graph.CallOnceN(testbackend.Go(t), func(x, mean *graph.Node) []*graph.Node {
			b := &layer.Binding{Weights: map[string]*graph.Node{"bn.mean": mean}, Updates: map[string]*graph.Node{}}
			if training {
				b.Train = &layer.Training{}
			}
			out := b.Apply(op, x)
			if updated := b.Updates["bn.mean"]; training {
				return append(out, updated)
			} else if updated != nil {
				panic("inference set a statistic")
			}
			return out
		}, float32(5), float32(2))
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.ToScalar[float32](out[0]); got != 3 {
			t.Errorf("5 - 2 = %v", got)
		}
		if training && tensors.ToScalar[float32](out[1]) != 5 {
			t.Errorf("the statistic is %v, want 5", out[1])
		}
	}
	_, err := graph.CallOnceN(testbackend.Go(t), func(x *graph.Node) []*graph.Node {
		defer layer.ErrorsOnly()
		return (&layer.Binding{}).Apply(op, x)
	}, float32(5))
	if err == nil || !strings.Contains(err.Error(), `no weight "bn.mean" is bound`) {
		t.Errorf("error is %v, want the weight that is missing", err)
	}
}

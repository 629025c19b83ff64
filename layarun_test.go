package layarun_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// tolerance: float32 sums of a few dozen terms of order 1, in another order.
const tolerance = 1e-5

// sentences are the texts of the tests; the third has more words than the shortest padded length has room for.
var sentences = []string{
	"where is my card", "card", "my card is lost and i want to know where it is and how long it will take to get a new one here",
	"how long", "it is my new card", "i want it",
}

// vectors is a network over 5 numbers with 4 blocks, and by default an exit at every depth.
func vectors(t testing.TB, head laya.Config) *bundle.Bundle {
	t.Helper()
	b, err := backbone.Decode([]byte(`{"kind":"mlp","input":[5],"widths":[16,16,16,16],"residual":true}`))
	if err != nil {
		t.Fatal(err)
	}
	return filled(t, &bundle.Bundle{Name: "vectors", Backbone: b, Head: head, Classes: []string{"a", "b", "c"}})
}

// everyDepth is the head of vectors.
func everyDepth() laya.Config {
	head := laya.Default([]int{0, 1, 2, 3, 4}, 3)
	head.Dim, head.Hidden = 16, 5
	return head
}

// texts is an encoder of 3 blocks over sentences, padded to 16 or 32 tokens.
func texts(t testing.TB) *bundle.Bundle {
	t.Helper()
	tokenizer, err := token.Build(slices.Repeat(sentences, 2), 80)
	if err != nil {
		t.Fatal(err)
	}
	b, err := backbone.Decode([]byte(`{"kind":"encoder","vocab":80,"max_length":32,"layers":3,"dim":32,"heads":2,"hidden":48}`))
	if err != nil {
		t.Fatal(err)
	}
	head := laya.Default([]int{0, 1, 2, 3}, 3)
	head.Dim, head.Hidden = 16, 5
	return filled(t, &bundle.Bundle{Name: "texts", Backbone: b, Head: head, Classes: []string{"a", "b", "c"}, Tokenizer: tokenizer, MaxLength: 32})
}

// filled gives b weights that are all in use, for fresh ones leave scorer, corrections and biases at 0, and policies with
// thresholds of their own at every exit, drawn from the range where the scores of such a network lie.
func filled(t testing.TB, b *bundle.Bundle) *bundle.Bundle {
	t.Helper()
	params, err := b.Params()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	b.Weights = layer.NewWeights(params, 7)
	for _, p := range params {
		if strings.HasPrefix(p.Name, "stem.") && !strings.Contains(p.Name, "word") {
			continue // statistics of the input
		}
		tensors.MustMutableFlatData(b.Weights[p.Name], func(flat []float32) {
			for i := range flat {
				flat[i] += float32(rng.NormFloat64() * 0.3)
			}
		})
	}
	network, err := compile.NewNetwork(b.Backbone, b.Head)
	if err != nil {
		t.Fatal(err)
	}
	early := network.Exits()[:len(network.Exits())-1]
	for i := range 12 {
		p := exit.Policy{Name: string(rune('a' + i)), Gate: exit.Gates[i%len(exit.Gates)], Exits: early}
		for range early {
			p.Thresholds = append(p.Thresholds, exit.Threshold(rng.Float64()))
		}
		b.Policies = append(b.Policies, p)
	}
	return b
}

// onEach runs a test on every backend there is and, where this processor has them, on native kernels, for which the networks
// are as wide as a vector.
func onEach(t *testing.T, test func(*testing.T, *compile.Device)) {
	if device, err := compile.OpenDevice("native"); err == nil {
		t.Run(device.Name, func(t *testing.T) { test(t, device) })
	}
	for _, device := range testbackend.All(t) {
		t.Run(device.Name, func(t *testing.T) { test(t, device) })
	}
}

// first is the pure-Go device, for tests of what does not depend on it.
func first(t testing.TB) *compile.Device { return testbackend.All(t)[0] }

func open(t testing.TB, b *bundle.Bundle, device *compile.Device) *layarun.Runtime {
	t.Helper()
	buckets := []int{1, 2, 4, 8}
	if strings.HasPrefix(device.Name, "xla") {
		buckets = []int{1, 4} // XLA takes a good part of a second to compile each
	}
	r, err := layarun.New(b, device, layarun.Options{Buckets: [][]int{buckets}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func predict(t testing.TB, r *layarun.Runtime, q layarun.Request) []layarun.Answer {
	t.Helper()
	answers, err := r.Predict(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.Err != nil {
			t.Fatalf("sample %d: %v", i, a.Err)
		}
	}
	return answers
}

// numbers are n random samples of 5 values.
func numbers(n int, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	values := make([]float32, 5*n)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	return values
}

// whole is the reference: the bundle's network in one graph, a batch of one without padding. [exit][class]
func whole(t testing.TB, b *bundle.Bundle, device *compile.Device, input *tensors.Tensor) [][]float32 {
	t.Helper()
	n, err := compile.NewNetwork(b.Backbone, b.Head)
	if err != nil {
		t.Fatal(err)
	}
	args := []any{input}
	for _, p := range n.Params() {
		args = append(args, tensors.FromFlatDataAndDimensions(tensors.MustCopyFlatData[float32](b.Weights[p.Name]), p.Dims...))
	}
	out, err := graph.CallOnceN(cmp.Or(device.Backend, testbackend.Go(t)), func(in []*graph.Node) []*graph.Node {
		binding := &layer.Binding{Weights: map[string]*graph.Node{}}
		for i, p := range n.Params() {
			binding.Weights[p.Name] = in[1+i]
		}
		return n.Logits(binding, in[0])
	}, args...)
	if err != nil {
		t.Fatal(err)
	}
	var logits [][]float32
	for _, o := range out {
		logits = append(logits, tensors.MustCopyFlatData[float32](o))
	}
	return logits
}

func near(a, b []float32, tolerance float64) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Abs(float64(x)-float64(y)) <= tolerance })
}

// With exits off, and at every exit with them on, the answers are those of the network in one graph. The vectors are
// predicted in batches with padding; the texts are padded and share batches, the reference is neither.
func TestAnswersAreTheNetworks(t *testing.T) {
	onEach(t, func(t *testing.T, device *compile.Device) {
		v, x := vectors(t, everyDepth()), texts(t)
		values := numbers(11, 2)
		rv, rx := open(t, v, device), open(t, x, device)
		check := func(r *layarun.Runtime, q layarun.Request, want func(i int) [][]float32) {
			q.Policy = "full"
			off := predict(t, r, q)
			q.AllExits = true
			for i, a := range predict(t, r, q) {
				exits, last := want(i), r.Exits()[len(r.Exits())-1]
				if off[i].ExitDepth != last || !near(off[i].Logits, exits[len(exits)-1], tolerance) || off[i].Forced {
					t.Errorf("%s: sample %d at depth %d: %v, want %v at %d", r.Name(), i, off[i].ExitDepth, off[i].Logits, exits[len(exits)-1], last)
				}
				if !slices.EqualFunc(a.Exits, exits, func(a, b []float32) bool { return near(a, b, tolerance) }) {
					t.Errorf("%s: sample %d: exits %v, want %v", r.Name(), i, a.Exits, exits)
				}
			}
		}
		check(rv, layarun.Request{Values: values}, func(i int) [][]float32 {
			return whole(t, v, device, tensors.FromFlatDataAndDimensions(values[5*i:5*i+5], 1, 5))
		})
		check(rx, layarun.Request{Texts: sentences}, func(i int) [][]float32 {
			ids, err := rx.Tokens(sentences[i])
			if err != nil {
				t.Fatal(err)
			}
			return whole(t, x, device, tensors.FromFlatDataAndDimensions(ids, 1, len(ids)))
		})
	})
}

// Tokens are what texts become, and texts longer than the network reads are cut.
func TestTextsAndTokens(t *testing.T) {
	r := open(t, texts(t), first(t))
	long := strings.Repeat("card ", 100)
	asked := append(slices.Clone(sentences), long)
	var ids [][]int32
	for _, s := range asked {
		tokens, err := r.Tokens(s)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, tokens)
	}
	if n := len(ids[len(ids)-1]); n != 32 {
		t.Errorf("100 words became %d tokens, want them cut to 32", n)
	}
	a, b := predict(t, r, layarun.Request{Texts: asked}), predict(t, r, layarun.Request{Tokens: ids})
	for i := range a {
		if a[i].ExitDepth != b[i].ExitDepth || !near(a[i].Logits, b[i].Logits, tolerance) {
			t.Errorf("text %d: %+v, its tokens %+v", i, a[i], b[i])
		}
	}
	if n := len(predict(t, r, layarun.Request{Values: []float32{}, Tokens: [][]int32{}, Texts: asked})); n != len(asked) {
		t.Errorf("%d texts beside empty values got %d answers", len(asked), n)
	}
	if r.Dims() != nil {
		t.Errorf("dims of texts are %v, want none", r.Dims())
	}
}

// Tuning finds batch sizes for each length, and its runtime gives the answers of any other. Nothing that it measured and did
// not keep is compiled after Compile, nor needed.
func TestTune(t *testing.T) {
	for _, c := range []struct {
		bundle  *bundle.Bundle
		lengths []int
		request layarun.Request
	}{
		{vectors(t, everyDepth()), []int{0}, layarun.Request{Values: numbers(9, 1)}},
		{texts(t), []int{16, 32}, layarun.Request{Texts: slices.Repeat(sentences, 2)}},
	} {
		var progress []int
		tuned, err := layarun.Tune(t.Context(), c.bundle, first(t), layarun.Options{}, func(done, _ int) { progress = append(progress, done) })
		if err != nil {
			t.Fatal(err)
		}
		if len(progress) == 0 || !slices.IsSorted(progress) {
			t.Errorf("%s: progress %v, want numbers that rise", c.bundle.Name, progress)
		}
		var lengths []int
		for _, l := range tuned.Lanes() {
			lengths = append(lengths, l.Length)
			if want := compile.KeepBuckets(l.Costs); !slices.Equal(l.Buckets, want) {
				t.Errorf("%s: batches of %v are compiled, want those that pay by %v: %v", c.bundle.Name, l.Buckets, l.Costs, want)
			}
		}
		if !slices.Equal(lengths, c.lengths) {
			t.Errorf("%s: lanes for lengths %v, want %v", c.bundle.Name, lengths, c.lengths)
		}
		if err := tuned.Compile(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		before := tuned.Executables()
		got, want := predict(t, tuned, c.request), predict(t, open(t, c.bundle, first(t)), c.request)
		for i := range want {
			if got[i].Label != want[i].Label || got[i].ExitDepth != want[i].ExitDepth || math.Abs(float64(got[i].Confidence-want[i].Confidence)) > tolerance {
				t.Errorf("%s: sample %d: %+v, want %+v", c.bundle.Name, i, got[i], want[i])
			}
		}
		if now := tuned.Executables(); now != before {
			t.Errorf("%s: %d executables after Compile, %d after a request", c.bundle.Name, before, now)
		}
		if err := tuned.Close(); err != nil {
			t.Error(err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := layarun.Tune(cancelled, texts(t), first(t), layarun.Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

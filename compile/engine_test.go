package compile_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// tolerance: float32 sums of a few dozen terms of order 1, in another order; XLA's own erf and exp stay within it.
const tolerance = 1e-5

// onEachEngine is onEach and, where this processor has them, native kernels.
func onEachEngine(t *testing.T, test func(t *testing.T, d *compile.Device)) {
	onEach(t, test)
	if d, err := compile.OpenDevice("native"); err == nil {
		t.Run(d.Name, func(t *testing.T) { test(t, d) })
	}
}

// onEach runs a test on every backend that there is.
func onEach(t *testing.T, test func(t *testing.T, d *compile.Device)) {
	for _, d := range testbackend.All(t) {
		t.Run(d.Name, func(t *testing.T) { test(t, d) })
	}
}

// weightsOf draws weights that are all in use: fresh ones leave scorer, corrections and biases at 0.
func weightsOf(n *compile.Network, seed uint64) layer.Weights {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := layer.NewWeights(n.Params(), seed)
	for _, p := range n.Params() {
		tensors.MustMutableFlatData(w[p.Name], func(flat []float32) {
			for i := range flat {
				flat[i] += float32(rng.NormFloat64() * 0.1)
			}
		})
	}
	return w
}

// input is one random sample: values, or ids of a random length.
type input struct {
	values []float32
	tokens []int32
}

func randomInputs(n *compile.Network, count int, rng *rand.Rand) []input {
	var all []input
	for range count {
		var in input
		if n.Sequences() {
			for range 1 + rng.IntN(30) {
				in.tokens = append(in.tokens, 1+rng.Int32N(19))
			}
		} else {
			for range n.Backbone.Input().Size(0) {
				in.values = append(in.values, float32(rng.NormFloat64()))
			}
		}
		all = append(all, in)
	}
	return all
}

// lanes are padded lengths and batch sizes for tests: batches of 1, 2 and 4 of whatever length.
func lanes(n *compile.Network) (lengths []int, buckets [][]int) {
	if !n.Sequences() {
		return nil, [][]int{{1, 2, 4}}
	}
	return []int{16, 32}, [][]int{{1, 2, 4}, {1, 2, 4}}
}

func newEngine(t testing.TB, b compute.Backend, n *compile.Network, w layer.Weights) *compile.Engine {
	t.Helper()
	return newEngineOn(t, &compile.Device{Backend: b, Workers: 1}, n, w)
}

func newEngineOn(t testing.TB, d *compile.Device, n *compile.Network, w layer.Weights) *compile.Engine {
	t.Helper()
	lengths, buckets := lanes(n)
	e, err := compile.NewEngine(d, n, w, lengths, buckets)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func start(t testing.TB, e *compile.Engine, in input) *compile.Sample {
	t.Helper()
	make := func() (*compile.Sample, error) { return e.NewSample(in.values, compile.KeepAnswers|compile.KeepValues) }
	if in.tokens != nil {
		make = func() (*compile.Sample, error) {
			return e.NewSequence(in.tokens, compile.KeepAnswers|compile.KeepValues)
		}
	}
	s, err := make()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// whole is the reference: the network in one graph on the pure-Go backend, batch of one. [exit][class]
func whole(t *testing.T, n *compile.Network, w layer.Weights, in input) [][]float32 {
	t.Helper()
	var args []any
	if in.tokens != nil {
		args = append(args, tensors.FromFlatDataAndDimensions(in.tokens, 1, len(in.tokens)))
	} else {
		args = append(args, tensors.FromFlatDataAndDimensions(in.values, append([]int{1}, n.Backbone.Input().Dims...)...))
	}
	for _, p := range n.Params() {
		args = append(args, tensors.FromFlatDataAndDimensions(tensors.MustCopyFlatData[float32](w[p.Name]), p.Dims...))
	}
	out, err := graph.CallOnceN(testbackend.Go(t), func(in []*graph.Node) []*graph.Node {
		b := &layer.Binding{Weights: map[string]*graph.Node{}}
		for i, p := range n.Params() {
			b.Weights[p.Name] = in[1+i]
		}
		return n.Logits(b, in[0])
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

// Segments in sequence, in changing batches with padding, equal the network in one graph; a batch of n equals n of one.
func TestSegmentsEqualOneGraph(t *testing.T) { onEachMemory(t, segmentsEqualOneGraph) }

func segmentsEqualOneGraph(t *testing.T, d *compile.Device) {
	for name, n := range networksFor(t, d) {
		if d.Name == "xla:cpu" && strings.Contains(name, " ") {
			continue // elsewhere one network of each backbone: compiling takes XLA a second per segment
		}
		t.Run(name, func(t *testing.T) {
			w := weightsOf(n, 7)
			e := newEngineOn(t, d, n, w)
			rng := rand.New(rand.NewPCG(3, 3))
			inputs := randomInputs(n, 3, rng)
			lanes := map[int][]*compile.Sample{}
			var samples []*compile.Sample
			for _, in := range inputs {
				s := start(t, e, in)
				samples = append(samples, s)
				lanes[s.Lane] = append(lanes[s.Lane], s)
			}
			for i := range e.Depths() {
				for _, lane := range lanes {
					rng.Shuffle(len(lane), func(a, b int) { lane[a], lane[b] = lane[b], lane[a] })
					cut := rng.IntN(len(lane) + 1) // another division of the samples at every segment
					for _, batch := range [][]*compile.Sample{lane[:cut], lane[cut:]} {
						if len(batch) == 0 {
							continue
						}
						scores, err := e.Run(i, i, batch)
						if err != nil {
							t.Fatal(err)
						}
						checkScores(t, batch, scores, n, e.Depths()[i])
					}
				}
			}
			for k, s := range samples {
				checkClose(t, fmt.Sprintf("sample %d", k), s.AllLogits(), whole(t, n, w, inputs[k]))
				e.Release(s)
			}
		})
	}
}

// Segments fused into one launch answer as they do one by one, for whatever exits; a sample that keeps what it passes, and
// exits that nothing was fused for, go one by one.
func TestFusedSegmentsEqualOneGraph(t *testing.T) { onEachEngine(t, fusedSegmentsEqualOneGraph) }

func fusedSegmentsEqualOneGraph(t *testing.T, d *compile.Device) {
	for name, n := range networksFor(t, d) {
		if d.Name == "xla:cpu" && strings.Contains(name, " ") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			w := weightsOf(n, 7)
			e := newEngineOn(t, d, n, w)
			exits := n.Exits()
			deepest := exits[len(exits)-1]
			e.Fuse([]int{deepest})
			e.Fuse([]int{exits[0], deepest})
			last := len(e.Depths()) - 1
			in := randomInputs(n, 1, rand.New(rand.NewPCG(5, 5)))[0]
			want := whole(t, n, w, in)[len(exits)-1:]
			for _, keep := range []compile.Keep{0, compile.KeepValues} {
				for _, way := range [][]int{{last}, {slices.Index(e.Depths(), exits[0]), last}, {last / 2, last}} {
					s := start(t, e, in)
					s.Keep = keep
					for first := 0; first <= last; first = way[0] + 1 {
						for way[0] < first {
							way = way[1:]
						}
						scores, err := e.Run(first, way[0], []*compile.Sample{s})
						if err != nil {
							t.Fatal(err)
						}
						checkScores(t, []*compile.Sample{s}, scores, n, e.Depths()[way[0]])
					}
					checkClose(t, fmt.Sprint("through ", way), [][]float32{s.Logits()}, want)
					e.Release(s)
				}
			}
		})
	}
}

func checkScores(t *testing.T, batch []*compile.Sample, scores []exit.Scores, n *compile.Network, depth int) {
	t.Helper()
	for _, d := range n.Exits() {
		if d != depth {
			continue
		}
		for i, s := range batch {
			want := exit.ScoresOf(s.Logits())
			for g := range want {
				if math.Abs(float64(scores[i][g]-want[g])) > tolerance {
					t.Fatalf("depth %d: %s is %v, want %v", depth, exit.Gates[g], scores[i][g], want[g])
				}
			}
		}
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func checkClose(t failer, what string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d answers, want %d", what, len(got), len(want))
	}
	for e := range want {
		for c := range want[e] {
			if d := math.Abs(float64(got[e][c] - want[e][c])); !(d <= tolerance*max(1, math.Abs(float64(want[e][c])))) {
				t.Fatalf("%s, exit %d, class %d: %v, want %v (differ by %g, tolerance %g)", what, e, c, got[e][c], want[e][c], d, tolerance)
			}
		}
	}
}

// The attention and the contributions that the host computes belong to the logits that the device computed.
func TestContributionsSumToLogits(t *testing.T) { onEachEngine(t, contributionsSumToLogits) }

func contributionsSumToLogits(t *testing.T, d *compile.Device) {
	n := networksFor(t, d)["mlp"]
	w := weightsOf(n, 5)
	e := newEngineOn(t, d, n, w)
	host, err := laya.ToHost(w)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, e, randomInputs(n, 1, rand.New(rand.NewPCG(1, 2)))[0])
	for i, depth := range e.Depths() {
		if _, err := e.Run(i, i, []*compile.Sample{s}); err != nil {
			t.Fatal(err)
		}
		contributions, sum, err := laya.Contributions(n.Head.Config(), host, depth, s.Scores(), s.Values())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range contributions {
			for class := range c {
				sum[class] += c[class]
			}
		}
		for class, logit := range s.Logits() {
			if math.Abs(sum[class]-float64(logit)) > tolerance {
				t.Fatalf("depth %d, class %d: contributions sum to %v, logit is %v", depth, class, sum[class], logit)
			}
		}
	}
}

// Equal blocks share executables, and so do the moves between them: a deep network compiles as many as a shallow one.
func TestExecutablesAreShared(t *testing.T) {
	count := func(b compute.Backend, layers int) int {
		t.Helper()
		encoder := fmt.Appendf(nil, `{"kind":"encoder","vocab":20,"max_length":32,"layers":%d,"dim":8,"heads":2,"hidden":12}`, layers)
		return countExecutables(t, b, encoder, layers)
	}
	// 3 buckets × 2 lengths × (stem and block)
	if two, five := count(testbackend.Go(t), 2), count(testbackend.Go(t), 5); two != 12 || five != 12 {
		t.Errorf("%d executables for 2 blocks, %d for 5, want 12 for both", two, five)
	}
	// And for each length 3×3 pairs of buckets with one source, but for 1 to 1, and 2×3 with two: never to a batch of 1.
	if two, five := count(newApart(t), 2), count(newApart(t), 5); two != 40 || five != 40 {
		t.Errorf("%d executables for 2 blocks, %d for 5 on a device apart, want 12 + 2 × (8 + 6) for both", two, five)
	}
}

// countExecutables compiles an encoder and sees that nothing is compiled after that.
func countExecutables(t *testing.T, device compute.Backend, encoder []byte, layers int) int {
	t.Helper()
	b, err := backbone.Decode(encoder)
	if err != nil {
		t.Fatal(err)
	}
	c := laya.Default(nil, 3)
	c.Dim, c.Hidden = 6, 5
	for k := range layers + 1 {
		c.Reads = append(c.Reads, k)
	}
	n, err := compile.NewNetwork(b, c)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, device, n, weightsOf(n, 1))
	if err := e.Compile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	before := e.Executables()
	s := start(t, e, input{tokens: []int32{1, 2, 3}})
	for i := range e.Depths() {
		if _, err := e.Run(i, i, []*compile.Sample{s}); err != nil {
			t.Fatal(err)
		}
	}
	if e.Executables() != before {
		t.Fatalf("%d executables after Compile, %d after running: something compiled late", before, e.Executables())
	}
	return before
}

// A NaN in one row stays there.
func TestNaNStaysInItsRow(t *testing.T) { onEachEngine(t, nanStaysInItsRow) }

func nanStaysInItsRow(t *testing.T, d *compile.Device) {
	names := []string{"mlp"}
	if d.Native {
		names = []string{"mlp", "resnet", "vit mean"} // whose kernels are each other code
	}
	for _, name := range names {
		n := networksFor(t, d)[name]
		checkNaNStays(t, n, newEngineOn(t, d, n, weightsOf(n, 2)))
	}
}

func checkNaNStays(t *testing.T, n *compile.Network, e *compile.Engine) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	inputs := randomInputs(n, 2, rng)
	inputs[0].values[2] = float32(math.NaN())
	batch := []*compile.Sample{start(t, e, inputs[0]), start(t, e, inputs[1])}
	for i := range e.Depths() {
		scores, err := e.Run(i, i, batch)
		if err != nil {
			t.Fatal(err)
		}
		if scores[0] != (exit.Scores{-1, -1, -1}) {
			t.Fatalf("segment %d: a sample with NaN has scores %v, want -1", i, scores[0])
		}
		if scores[1][0] < 0 {
			t.Fatalf("segment %d: NaN in row 0 reached row 1: %v", i, scores[1])
		}
	}
}

// Each lane has batch sizes of its own, and what Restrict leaves out is neither compiled nor run.
func TestRestrict(t *testing.T) {
	n := networks(t)["encoder"]
	for name, backend := range map[string]compute.Backend{"shared": testbackend.Go(t), "apart": newApart(t)} {
		t.Run(name, func(t *testing.T) {
			make := func(buckets [][]int) *compile.Engine {
				e, err := compile.NewEngine(&compile.Device{Backend: backend, Workers: 1}, n, weightsOf(n, 1), []int{16, 32}, buckets)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { e.Close() })
				return e
			}
			run := func(e *compile.Engine, tokens, size int) error {
				var samples []*compile.Sample
				for range size {
					samples = append(samples, start(t, e, input{tokens: make32(tokens)}))
				}
				for i := range e.Depths() {
					if _, err := e.Run(i, i, samples); err != nil {
						return err
					}
				}
				for _, s := range samples {
					e.Release(s)
				}
				return nil
			}
			few, e := make([][]int{{1, 2}, {2}}), make([][]int{{1, 2, 4}, {1, 2}})
			for _, engine := range []*compile.Engine{few, e} {
				if err := engine.Compile(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
			}
			if few.Executables() >= e.Executables() {
				t.Fatalf("%d executables for 3 batches, %d for 5", few.Executables(), e.Executables())
			}
			if err := run(e, 20, 3); err == nil || !strings.Contains(err.Error(), "a batch has 3 samples, want 1 to 2") {
				t.Errorf("3 samples of 20 tokens: error %v", err)
			}
			e.Restrict([][]int{{1, 2}, {2}})
			if got, want := e.Executables(), few.Executables(); got != want {
				t.Errorf("%d executables are left, want the %d of an engine that was made so", got, want)
			}
			if err := run(e, 10, 3); err == nil || !strings.Contains(err.Error(), "a batch has 3 samples, want 1 to 2") {
				t.Errorf("3 samples of 10 tokens: error %v", err)
			}
			for _, c := range [][2]int{{10, 1}, {10, 2}, {20, 1}, {20, 2}} {
				if err := run(e, c[0], c[1]); err != nil {
					t.Error(err)
				}
			}
			if got, want := e.Executables(), few.Executables(); got != want {
				t.Errorf("%d executables after running, want %d", got, want)
			}
		})
	}
}

func make32(n int) []int32 { return make([]int32, n) }

func TestNewEngineRefuses(t *testing.T) {
	all := networks(t)
	for _, c := range []struct {
		network string
		lengths []int
		buckets [][]int
		want    string
	}{
		{"mlp", nil, nil, "batch sizes for 0 lengths, want them for 1"},
		{"mlp", nil, [][]int{{}}, "no batch sizes of length 0 given"},
		{"mlp", nil, [][]int{{2, 1}}, "batch sizes of length 0 are [2 1], want positive sizes in ascending order"},
		{"encoder", nil, [][]int{{1}}, "no lengths given"},
		{"encoder", []int{32, 16}, [][]int{{1}, {1}}, "lengths are [32 16]"},
		{"encoder", []int{16, 32}, [][]int{{1}}, "batch sizes for 1 lengths, want them for 2"},
		{"encoder", []int{16, 32}, [][]int{{1}, {0, 1}}, "batch sizes of length 32 are [0 1]"},
	} {
		n := all[c.network]
		_, err := compile.NewEngine(&compile.Device{Backend: testbackend.Go(t), Workers: 1}, n, weightsOf(n, 1), c.lengths, c.buckets)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %v, %v: error %v, want %q", c.network, c.lengths, c.buckets, err, c.want)
		}
	}
}

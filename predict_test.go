package layarun_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
)

// Whoever shares a batch with a sample, and however it is padded, label and exit are the same: many callers at once get
// what each gets alone. Executables of different batch sizes may differ in the last bits, so a sample whose score lies
// within the tolerance of a threshold may flip; these weights have none, and every flip is an error.
func TestSameAnswerWhoeverSharesTheBatch(t *testing.T) {
	onEach(t, func(t *testing.T, device *compile.Device) {
		b := vectors(t, everyDepth())
		r := open(t, b, device)
		const callers, most = 24, 13
		type call struct {
			request layarun.Request
			alone   []layarun.Answer
		}
		rng := rand.New(rand.NewPCG(3, 3))
		var calls []call
		for i := range callers {
			c := call{request: layarun.Request{Values: numbers(1+rng.IntN(most), uint64(i)), Policy: b.Policies[rng.IntN(len(b.Policies))].Name}}
			for row := range slices.Chunk(c.request.Values, 5) {
				c.alone = append(c.alone, predict(t, r, layarun.Request{Values: row, Policy: c.request.Policy})...)
			}
			calls = append(calls, c)
		}
		early := 0
		var group sync.WaitGroup
		for _, c := range calls {
			for _, a := range c.alone {
				if a.ExitDepth < 4 {
					early++
				}
			}
			group.Go(func() {
				answers, err := r.Predict(t.Context(), c.request)
				if err != nil {
					t.Error(err)
					return
				}
				for i, a := range answers {
					if want := c.alone[i]; a.Label != want.Label || a.ExitDepth != want.ExitDepth || !near(a.Logits, want.Logits, tolerance) {
						t.Errorf("policy %s, sample %d: %+v, alone %+v", c.request.Policy, i, a, want)
					}
				}
			})
		}
		group.Wait()
		if early < callers { // else the test says little
			t.Errorf("only %d samples left early", early)
		}
	})
}

// Every decision of the runtime is what the policy says of the score table of the same samples.
func TestExitsAreThoseOfTheTable(t *testing.T) {
	b := vectors(t, everyDepth())
	r := open(t, b, first(t))
	const n = 40
	values := numbers(n, 5)
	full := exit.Table{Exits: r.Exits(), Classes: r.Classes()}
	for _, a := range predict(t, r, layarun.Request{Values: values, Policy: "full", AllExits: true}) {
		var scores []exit.Scores
		for _, logits := range a.Exits {
			scores = append(scores, exit.ScoresOf(logits))
		}
		full.Logits, full.Scores, full.Labels = append(full.Logits, a.Exits), append(full.Scores, scores), append(full.Labels, -1)
	}
	rapid.Check(t, func(rt *rapid.T) {
		policy := rapid.SampledFrom(b.Policies).Draw(rt, "policy")
		q := layarun.Request{Policy: policy.Name}
		if rapid.Bool().Draw(rt, "override") {
			threshold := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Just(math.Inf(1))).Draw(rt, "threshold")
			q.Threshold = &threshold
			policy.Thresholds = slices.Repeat([]exit.Threshold{exit.Threshold(threshold)}, len(policy.Exits))
		}
		low := rapid.IntRange(0, 4).Draw(rt, "min")
		high := rapid.IntRange(low, 4).Draw(rt, "max")
		q.MinExit, q.MaxExit = &low, &high
		i, count := rapid.IntRange(0, n-1).Draw(rt, "first"), rapid.IntRange(1, 9).Draw(rt, "count")
		count = min(count, n-i)
		q.Values = values[5*i : 5*(i+count)]

		// The limits in terms of a table: exits beyond high do not exist, and none below low has a threshold.
		table := exit.Table{Exits: full.Exits[:high+1], Classes: full.Classes, Labels: full.Labels[i : i+count]}
		for s := i; s < i+count; s++ {
			table.Logits, table.Scores = append(table.Logits, full.Logits[s][:high+1]), append(table.Scores, full.Scores[s][:high+1])
		}
		policy.Exits, policy.Thresholds = policy.Exits[low:max(low, min(high, 4))], policy.Thresholds[low:max(low, min(high, 4))]
		outcomes := table.Apply(policy)
		gate := slices.Index(exit.Gates, policy.Gate)
		for s, a := range predict(t, r, q) {
			for k, threshold := range policy.Thresholds { // the device's float32 scores may be on the other side of it
				if math.Abs(float64(table.Scores[s][policy.Exits[k]][gate])-float64(threshold)) < tolerance {
					rt.Skip("a score at its threshold")
				}
			}
			want := outcomes[s]
			if a.ExitDepth != table.Exits[want.Exit] || a.Label != want.Answer ||
				math.Abs(float64(a.Confidence-table.Scores[s][want.Exit][gate])) > tolerance {
				rt.Fatalf("sample %d leaves at %d as %d, confidence %v; the table says %+v, scores %v", i+s, a.ExitDepth, a.Label, a.Confidence, want, table.Scores[s])
			}
		}
	})
}

// Contributions and bias sum to the logits, at whatever exit, for every head that adds up over depth.
func TestContributionsSumToLogits(t *testing.T) {
	joint := laya.Config{Kind: laya.Joint, Reads: []int{1, 2, 3, 4}, Classes: 3, Dim: 6, Tau: 1.5, Hidden: 5, Psi: "mlp"}
	for name, head := range map[string]laya.Config{
		"prefix": everyDepth(), "joint": joint, "lastlayer": {Kind: laya.LastLayer, Reads: []int{4}, Classes: 3},
		"scalarmix": {Kind: laya.ScalarMix, Reads: []int{2, 4}, Classes: 3, Dim: 6},
		"linear":    {Kind: laya.Linear, Reads: []int{1, 4}, Classes: 3}, "concat": {Kind: laya.Concat, Reads: []int{1, 4}, Classes: 3, Dim: 6, Hidden: 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, vectors(t, head), first(t))
			for i, a := range predict(t, r, layarun.Request{Values: numbers(20, 4), Explain: true}) {
				if name == "linear" || name == "concat" {
					if a.Contributions != nil || a.Alpha != nil {
						t.Fatalf("%+v, want no explanation", a)
					}
					continue
				}
				sum := slices.Clone(a.Bias)
				for _, c := range a.Contributions {
					for class := range sum {
						sum[class] += c[class]
					}
				}
				if !near(sum, a.Logits, tolerance) {
					t.Errorf("sample %d, exit %d: contributions and bias sum to %v, logits are %v", i, a.ExitDepth, sum, a.Logits)
				}
				total := 0.0
				for _, w := range a.Alpha {
					total += float64(w)
				}
				if r.Reads() != nil && (math.Abs(total-1) > tolerance || len(a.Alpha) != len(a.Contributions)) {
					t.Errorf("sample %d: attention %v sums to %v, %d contributions", i, a.Alpha, total, len(a.Contributions))
				}
			}
		})
	}
}

// Logits that overflow spoil the answer of their own sample and of no other.
func TestNotFinite(t *testing.T) { onEach(t, notFinite) }

func notFinite(t *testing.T, device *compile.Device) {
	b := vectors(t, everyDepth())
	// The adapter of depth 0 reads the input itself: 0 × 3e38 is 0 and 10 × 3e38 overflows float32 (3.4e38).
	tensors.MustMutableFlatData(b.Weights["head.0.adapter.kernel"], func(flat []float32) { flat[4*16] = 3e38 })
	r, values := open(t, b, device), numbers(3, 1)
	values[4], values[9], values[14] = 0, 10, 0
	for _, q := range []layarun.Request{{}, {Threshold: ptr(0.0)}, {Explain: true, AllExits: true}, {NoWait: true}} {
		q.Values = values
		answers, err := r.Predict(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if answers[0].Err != nil || !errors.Is(answers[1].Err, layarun.ErrNotFinite) || answers[1].Logits != nil || answers[2].Err != nil {
			t.Errorf("errors %v, %v, %v, want only the second, ErrNotFinite", answers[0].Err, answers[1].Err, answers[2].Err)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestRefusals(t *testing.T) {
	v, x := open(t, vectors(t, everyDepth()), first(t)), open(t, texts(t), first(t))
	spoilt := numbers(2, 1)
	spoilt[7] = float32(math.NaN())
	for _, c := range []struct {
		runtime *layarun.Runtime
		request layarun.Request
		want    string
	}{
		{v, layarun.Request{Values: spoilt}, "sample 1, value 2 is NaN, want a finite number"},
		{v, layarun.Request{Values: []float32{1, 2, 3, 4, float32(math.Inf(-1))}}, "sample 0, value 4 is -Inf"},
		{v, layarun.Request{Values: []float32{math.MaxFloat32, -math.MaxFloat32, 1e-45, float32(math.Inf(1)), 0}}, "sample 0, value 3 is +Inf"},
		{v, layarun.Request{Values: make([]float32, 7)}, "7 values are not a whole number of samples of 5"},
		{v, layarun.Request{Texts: []string{"a"}}, "text 0: "},
		{v, layarun.Request{Tokens: [][]int32{{1}}}, "sample 0: "},
		{v, layarun.Request{Values: make([]float32, 5), Tokens: [][]int32{{1}}}, "samples of several kinds"},
		{v, layarun.Request{Policy: "slow"}, `policy "slow" is not one of [full a b`},
		{v, layarun.Request{MinExit: ptr(5)}, "min_exit is 5, want 0 to 4"},
		{v, layarun.Request{MinExit: ptr(-1)}, "min_exit is -1"},
		{v, layarun.Request{MaxExit: ptr(5)}, "max_exit is 5, want 0 to 4"},
		{v, layarun.Request{MinExit: ptr(3), MaxExit: ptr(2)}, "max_exit is 2, want 3 to 4"},
		{v, layarun.Request{Threshold: ptr(1.5)}, "1.5, want 0 to 1"},
		{v, layarun.Request{Threshold: ptr(math.NaN())}, "NaN, want 0 to 1"},
		{x, layarun.Request{Values: make([]float32, 5)}, "the network takes sequences of ids"},
		{x, layarun.Request{Tokens: [][]int32{{1}, {}}}, "sample 1: compile: a sequence has 0 ids, want 1 to 32"},
		{x, layarun.Request{Tokens: [][]int32{make([]int32, 33)}}, "33 ids, want 1 to 32"},
		{x, layarun.Request{Tokens: [][]int32{{5, 80}}}, "id 1 of a sequence is 80, want 0 to 79"},
		{x, layarun.Request{Tokens: [][]int32{{-1}}}, "id 0 of a sequence is -1"},
	} {
		answers, err := c.runtime.Predict(t.Context(), c.request)
		if !errors.Is(err, layarun.ErrRequest) || answers != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v, want ErrRequest with %q", c.request, err, c.want)
		}
	}
	if in := v.Stats().In + x.Stats().In; in != 0 {
		t.Errorf("%d samples of refused requests were run", in)
	}
}

func TestNoSamples(t *testing.T) {
	for _, q := range []layarun.Request{{}, {NoWait: true}, {Texts: []string{}}} {
		if answers := predict(t, open(t, texts(t), first(t)), q); len(answers) != 0 {
			t.Errorf("%+v", answers)
		}
	}
}

// MaxExit forces samples out; those that were sure at that exit are not marked.
func TestForced(t *testing.T) {
	r := open(t, vectors(t, everyDepth()), first(t))
	for _, a := range predict(t, r, layarun.Request{Values: numbers(5, 1), Policy: "full", MaxExit: ptr(2)}) {
		if a.ExitDepth != 2 || !a.Forced {
			t.Errorf("%+v, want it forced out at 2", a)
		}
	}
	for _, a := range predict(t, r, layarun.Request{Values: numbers(5, 1), Threshold: ptr(0.0), MinExit: ptr(2), MaxExit: ptr(2)}) {
		if a.ExitDepth != 2 || a.Forced {
			t.Errorf("%+v, want it to leave at 2 by itself", a)
		}
	}
}

// Exits off: one launch. Whoever asks for what happens on the way goes segment by segment. Of these four blocks the first
// takes 5 numbers, not 8, so the segments have executables of their own at depths 0 and 1, and one for all deeper.
func TestExitsOff(t *testing.T) {
	for _, c := range []struct {
		request   layarun.Request
		want, all int
	}{
		{layarun.Request{Policy: "full"}, 1, 4},
		{layarun.Request{Policy: "full", Explain: true}, 3, 3},
		{layarun.Request{Threshold: ptr(math.Inf(1))}, 1, 4},
		{layarun.Request{Policy: "full", MaxExit: ptr(2)}, 3, 3}, // nothing is fused to depth 2
	} {
		r := open(t, vectors(t, everyDepth()), first(t))
		c.request.Values = numbers(1, 1)
		predict(t, r, c.request)
		if got := r.Executables(); got != c.want {
			t.Errorf("%+v needs %d executables, want %d", c.request, got, c.want)
		}
		c.request.AllExits = true
		predict(t, r, c.request)
		if got := r.Executables(); got != c.all {
			t.Errorf("%+v needs %d executables, want %d", c.request, got, c.all)
		}
	}
}

func TestFullAndCancelled(t *testing.T) {
	r, err := layarun.New(vectors(t, everyDepth()), first(t), layarun.Options{Capacity: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Predict(t.Context(), layarun.Request{Values: numbers(3, 1), NoWait: true}); !errors.Is(err, layarun.ErrFull) {
		t.Errorf("3 samples at once in room for 2: error %v, want ErrFull", err)
	}
	if n := len(predict(t, r, layarun.Request{Values: numbers(3, 1)})); n != 3 {
		t.Errorf("waiting for room gave %d answers, want 3", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, noWait := range []bool{false, true} {
		if _, err := r.Predict(ctx, layarun.Request{Values: numbers(1, 1), NoWait: noWait}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, no wait %v: error %v", noWait, err)
		}
	}
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := r.Predict(late, layarun.Request{Values: numbers(1, 1)}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: error %v", err)
	}
}

func TestOpenAndClose(t *testing.T) {
	if _, err := layarun.Open(filepath.Join(t.TempDir(), "none"), layarun.Options{}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing bundle: %v", err)
	}
	if _, err := layarun.Open("bundle/testdata/tiny", layarun.Options{Backend: "gpu"}); err == nil || !strings.Contains(err.Error(), "gpu") {
		t.Errorf("an unknown backend: %v", err)
	}
	if _, err := layarun.Open("bundle/testdata/tiny", layarun.Options{Backend: "go", Buckets: [][]int{{2, 1}}}); err == nil {
		t.Error("buckets that do not ascend were taken")
	}
	r, err := layarun.Open("bundle/testdata/tiny", layarun.Options{Backend: "go"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Compile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	before := r.Executables()
	predict(t, r, layarun.Request{Values: make([]float32, 4*50), Explain: true})
	if r.Executables() != before || before == 0 {
		t.Errorf("%d executables after Compile, %d after a request", before, r.Executables())
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Predict(t.Context(), layarun.Request{Values: make([]float32, 4)}); err == nil {
		t.Error("a closed runtime answered")
	}
}

// Compiling stops between two executables: those under way are finished, no other is begun.
func TestCompileStops(t *testing.T) {
	r := open(t, vectors(t, everyDepth()), first(t))
	ctx, cancel := context.WithCancel(t.Context())
	compiled := 0
	err := r.Compile(ctx, func(done, total int) { compiled = done; cancel() })
	if most := runtime.GOMAXPROCS(0); !errors.Is(err, context.Canceled) || compiled < 1 || compiled > most {
		t.Errorf("error %v after %d executables, want canceled after 1 to %d", err, compiled, most)
	}
}

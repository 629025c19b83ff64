package eval_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	_ "github.com/gomlx/compute/gobackend"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// network is an untrained network for samples like those of the set: an MLP of two blocks, or an encoder.
func network(t testing.TB, set *dataset.Set) *layarun.Runtime {
	t.Helper()
	b := &bundle.Bundle{Name: "untrained", CreatedBy: "test", Classes: set.Classes}
	kind := `{"kind":"mlp","input":[5],"widths":[6,6],"norm":"layer"}`
	var err error
	if set.IsText() {
		if b.Tokenizer, err = token.Build(set.Texts, 64); err != nil {
			t.Fatal(err)
		}
		b.MaxLength = 64
		kind = `{"kind":"encoder","vocab":64,"max_length":64,"layers":2,"dim":8,"heads":2,"hidden":12}`
	}
	if b.Backbone, err = backbone.Decode([]byte(kind)); err != nil {
		t.Fatal(err)
	}
	b.Head = laya.Default([]int{0, 1, 2}, len(set.Classes))
	params, err := b.Params()
	if err != nil {
		t.Fatal(err)
	}
	b.Weights = layer.NewWeights(params, 1)
	b.Policies = []exit.Policy{{Name: "some", Gate: exit.Margin, Exits: []int{0, 1}, Thresholds: []exit.Threshold{0.2, 0.1}}}
	device, err := compile.OpenDevice("go")
	if err != nil {
		t.Fatal(err)
	}
	r, err := layarun.New(b, device, layarun.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); device.Close() })
	return r
}

// points are samples of five numbers, more of them than are scored at a time.
func points(n int) *dataset.Set {
	rng := rand.New(rand.NewPCG(3, 4))
	set := &dataset.Set{Name: "points", Dims: []int{5}, Classes: []string{"a", "b", "c"}}
	for range n {
		set.Labels = append(set.Labels, rng.IntN(3))
		for range 5 {
			set.Values = append(set.Values, float32(rng.NormFloat64()))
		}
	}
	return set
}

// What the table says without weights is what the runtime does.
func TestScoreAgreesWithTheRuntime(t *testing.T) {
	set := points(530)
	r := network(t, set)
	var seen []int
	table, err := eval.Score(t.Context(), r, set, func(done, total int) { seen = append(seen, done, total) })
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{512, 530, 530, 530}; !slices.Equal(seen, want) {
		t.Errorf("progress is %v, want %v", seen, want)
	}
	if table.Bundle != r.Digest() || table.Split != set.Digest() || !slices.Equal(table.Labels, set.Labels) {
		t.Error("digests or labels are not those of runtime and set")
	}
	answers, err := r.Predict(t.Context(), layarun.Request{Values: set.Values})
	if err != nil {
		t.Fatal(err)
	}
	exits := map[int]int{}
	for i, o := range table.Apply(r.Policies()[0]) {
		exits[o.Exit]++
		if a := answers[i]; a.ExitDepth != table.Exits[o.Exit] || a.Label != o.Answer {
			t.Errorf("sample %d: the table says class %d at exit %d, the runtime %d at depth %d", i, o.Answer, o.Exit, a.Label, a.ExitDepth)
		}
	}
	if len(exits) != 3 {
		t.Errorf("samples left at %v, want some at each of three exits: the test shows nothing", exits)
	}
	for k, depth := range table.Exits {
		if table.MACs[k] != r.MACs(depth, 0, true) || table.Plain[k] != r.MACs(depth, 0, false) {
			t.Errorf("MACs of depth %d are %d and %d alone, want the runtime's", depth, table.MACs[k], table.Plain[k])
		}
	}
}

// 12 texts of one word and 4 of 18: padded to 16 and to 32, as special tokens leave room for.
func TestScoreAveragesMACsOverLengths(t *testing.T) {
	set := &dataset.Set{Name: "texts", Classes: []string{"a", "b"}}
	for i := range 16 {
		set.Texts = append(set.Texts, strings.TrimSpace(strings.Repeat("word ", 1+17*(i/12))))
		set.Labels = append(set.Labels, i%2)
	}
	r := network(t, set)
	table, err := eval.Score(t.Context(), r, set, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, depth := range table.Exits {
		if want := (12*r.MACs(depth, 16, true) + 4*r.MACs(depth, 32, true) + 8) / 16; table.MACs[k] != want {
			t.Errorf("MACs of depth %d are %d, want %d", depth, table.MACs[k], want)
		}
	}
}

func TestScoreRefuses(t *testing.T) {
	r := network(t, points(1))
	for _, c := range []struct {
		change func(*dataset.Set)
		want   string
	}{
		{func(s *dataset.Set) { s.Dims = []int{5, 1, 1} }, "dims [5 1 1]"},
		{func(s *dataset.Set) { s.Classes = []string{"c", "b", "a"} }, `classes ["c" "b" "a"]`},
	} {
		set := points(3)
		c.change(set)
		if _, err := eval.Score(t.Context(), r, set, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want it to say %q", err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := eval.Score(ctx, r, points(3), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error is %v", err)
	}
}

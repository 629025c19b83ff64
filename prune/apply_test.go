package prune_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/prune"
)

// networks are small ones of every kind, in the form that a bundle holds.
func networks() map[string]backbone.Backbone {
	return map[string]backbone.Backbone{
		"mlp":      &backbone.MLP{Inputs: []int{6}, Widths: []int{5, 5, 5, 5}, Norm: "layer", Epsilon: 1e-3, Residual: true},
		"tied mlp": &backbone.MLP{Inputs: []int{5}, Widths: []int{5, 5, 5, 5}, Norm: "layer", Epsilon: 1e-3, Residual: true, Tied: true},
		"resnet": &backbone.ResNet{Inputs: []int{6, 6, 1}, Stages: []backbone.Stage{{Channels: 2, Blocks: 2}, {Channels: 3, Blocks: 2}},
			StemStride: 1, Shortcut: "A", Norm: "folded", Epsilon: 1e-5},
		"encoder": &backbone.Encoder{Vocab: 9, MaxLength: 16, Layers: 4, Dim: 6, Heads: 2, Hidden: 8, Norm: "pre", Positions: "learned",
			Activation: "gelu", Epsilon: 1e-5, Pool: "mean"},
	}
}

// fresh makes a bundle of b with a head over all depths, the kind's usual start shaken so that no weight is zero.
func fresh(t *testing.T, b backbone.Backbone, head func(*laya.Config)) *bundle.Bundle {
	t.Helper()
	c := laya.Default(append([]int{0}, upTo(b.Depth())...), 3)
	c.Dim, c.Hidden = 4, 5
	if head != nil {
		head(&c)
	}
	out := &bundle.Bundle{Name: "small", Backbone: b, Head: c, Classes: []string{"a", "b", "c"}}
	if e, ok := b.(*backbone.Encoder); ok {
		out.MaxLength = e.MaxLength
	}
	params, err := out.Params()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range params {
		if !p.Frozen {
			params[i].Init = layer.Normal(0.4)
		}
	}
	out.Weights = layer.NewWeights(params, 7)
	return out
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// apply makes the bundle of a plan.
func apply(t *testing.T, b *bundle.Bundle, keep, reads []int) *bundle.Bundle {
	t.Helper()
	small := &bundle.Bundle{Name: b.Name, Classes: b.Classes, MaxLength: b.MaxLength}
	var err error
	if small.Backbone, small.Head, small.Weights, err = prune.Apply(b.Backbone, b.Head, b.Weights, prune.Plan{Keep: keep, Reads: reads}); err != nil {
		t.Fatal(err)
	}
	return small
}

// answers runs five samples on the pure-Go backend and returns the logits of every exit up to the last one allowed.
func answers(t *testing.T, b *bundle.Bundle, deepest int) [][][]float32 {
	t.Helper()
	device, err := compile.OpenDevice("go")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	runtime, err := layarun.New(b, device, layarun.Options{Buckets: [][]int{{4}}})
	if err != nil {
		t.Fatal(err)
	}
	defer runtime.Close()
	const samples = 5
	q := layarun.Request{Policy: "full", AllExits: true, MaxExit: &deepest}
	rng := rand.New(rand.NewPCG(3, 0))
	for range samples {
		if b.MaxLength > 0 {
			ids := make([]int32, 1+rng.IntN(b.MaxLength))
			for i := range ids {
				ids[i] = int32(1 + rng.IntN(8)) // 0 is padding
			}
			q.Tokens = append(q.Tokens, ids)
			continue
		}
		for range b.Backbone.Input().Size(0) {
			q.Values = append(q.Values, float32(rng.NormFloat64()))
		}
	}
	got, err := runtime.Predict(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var logits [][][]float32
	for _, a := range got {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
		logits = append(logits, a.Exits)
	}
	return logits
}

func TestApplyKeepingAllChangesNothing(t *testing.T) {
	for name, network := range networks() {
		t.Run(name, func(t *testing.T) {
			b := fresh(t, network, nil)
			same := apply(t, b, upTo(4), b.Head.Reads)
			if got, want := same.Digest(), b.Digest(); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			if got, want := fmt.Sprint(answers(t, same, 4)), fmt.Sprint(answers(t, b, 4)); got != want {
				t.Errorf("answers are\n%s, want\n%s", got, want)
			}
		})
	}
}

// TestApplyToTheEndIsAForcedExit: the answers of a network cut after block 2 are, bit for bit, those that the whole one
// gives when everything must leave at depth 2: a prefix head there has seen nothing deeper.
func TestApplyToTheEndIsAForcedExit(t *testing.T) {
	for name, network := range networks() {
		t.Run(name, func(t *testing.T) {
			b := fresh(t, network, nil)
			cut := apply(t, b, []int{1, 2}, []int{0, 1, 2})
			if got, want := fmt.Sprint(answers(t, cut, 2)), fmt.Sprint(answers(t, b, 2)); got != want {
				t.Errorf("answers are\n%s, want\n%s", got, want)
			}
		})
	}
}

// TestApplyInside removes a residual block and a branch; bundle and runtime accept what comes out.
func TestApplyInside(t *testing.T) {
	for name, network := range networks() {
		for _, kind := range []string{laya.Prefix, laya.Joint, laya.ScalarMix} {
			t.Run(name+" "+kind, func(t *testing.T) {
				b := fresh(t, network, func(c *laya.Config) {
					if c.Kind = kind; kind != laya.Prefix {
						c.Reads, c.ExitScale, c.Correction = c.Reads[1:], false, false
					}
					if kind == laya.ScalarMix {
						c.Tau, c.Hidden, c.Psi = 0, 0, ""
					}
				})
				small := apply(t, b, []int{1, 3, 4}, []int{3, 4}) // with block 2 and branch 1
				if name == "resnet" && small.Backbone.(*backbone.ResNet).Stages[0].Blocks != 1 {
					t.Error("block 2 is not the one that went")
				}
				if !slices.Equal(small.Head.Reads, []int{2, 3}) {
					t.Errorf("reads are %v, want [2 3]", small.Head.Reads)
				}
				if err := small.Save(t.TempDir() + "/bundle"); err != nil {
					t.Error(err)
				}
				if got := answers(t, small, 3); len(got) != 5 {
					t.Errorf("%d answers, want 5", len(got))
				}
			})
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	b := fresh(t, networks()["mlp"], nil)
	for name, plan := range map[string]prune.Plan{
		"nothing kept":         {},
		"block 1 is plain":     {Keep: []int{2, 3, 4}, Reads: []int{4}},
		"branch of block 2":    {Keep: []int{1, 3, 4}, Reads: []int{2, 4}},
		"no branch at the end": {Keep: []int{1, 2}, Reads: []int{1}},
	} {
		if _, _, _, err := prune.Apply(b.Backbone, b.Head, b.Weights, plan); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	delete(b.Weights, "block.2.dense.kernel")
	if _, _, _, err := prune.Apply(b.Backbone, b.Head, b.Weights, prune.Plan{Keep: []int{1, 2}, Reads: []int{1, 2}}); err == nil {
		t.Error("a missing weight is no error")
	}
}

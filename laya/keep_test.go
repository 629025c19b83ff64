package laya_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"

	"github.com/layarun/layarun/internal/reftest"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

func TestKeepAllIsTheIdentity(t *testing.T) {
	for name, c := range cases() {
		_, weights, _ := sample(t, c, tapDims(c), 1, 1)
		blocks := []int{1, 2, 3, 4}[:c.Reads[len(c.Reads)-1]]
		kept, err := laya.Keep(c, blocks, c.Reads)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(kept.Reads, c.Reads) {
			t.Errorf("%s: reads are %v, want %v", name, kept.Reads, c.Reads)
		}
		keptWeights, err := laya.KeepWeights(c, weights, blocks, c.Reads)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(keptWeights, weights) {
			t.Errorf("%s: keeping all changes the weights", name)
		}
	}
}

func TestKeepRenumbers(t *testing.T) {
	c := laya.Config{Kind: laya.Prefix, Reads: []int{0, 2, 3, 5, 6}, Classes: 3, Dim: 2, Tau: 1, Hidden: 2, Psi: "identity", Correction: true}
	_, weights, _ := sample(t, c, tapDims(c), 1, 1)
	weights["block.2.kernel"] = tensors.FromValue(float32(0)) // not the head's
	blocks, reads := []int{1, 2, 4, 5}, []int{0, 2, 5}
	kept, err := laya.Keep(c, blocks, reads)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 2, 4}; !slices.Equal(kept.Reads, want) {
		t.Errorf("reads are %v, want %v", kept.Reads, want)
	}
	got, err := laya.KeepWeights(c, weights, blocks, reads)
	if err != nil {
		t.Fatal(err)
	}
	h, err := laya.New(kept, []int{7, 9, 13}) // the widths of tapDims(c) at depths 0, 2 and 5
	if err != nil {
		t.Fatal(err)
	}
	other := got["block.2.kernel"]
	delete(got, "block.2.kernel")
	if other != weights["block.2.kernel"] {
		t.Error("a weight outside the head did not pass unchanged")
	}
	if err := layer.CheckWeights(got, layer.ParamsOf(laya.Ops(h)...)); err != nil {
		t.Error(err)
	}
	if got["head.4.adapter.kernel"] != weights["head.5.adapter.kernel"] || got["head.classifier.kernel"] != weights["head.classifier.kernel"] {
		t.Error("the weights of depth 5 did not move to depth 4, or shared ones did not stay")
	}
}

// A pruned head is the unpruned one with the branches that go silenced: zeros for their z, and for the joint scorer and
// scalarmix a score so low that exp gives 0.
func TestKeptHeadIsTheSilencedHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.Custom(drawConfig).Filter(func(c laya.Config) bool {
			return c.Psi != "mlp" && (c.Kind == laya.Joint || c.Kind == laya.Concat || c.Kind == laya.ScalarMix)
		}).Draw(t, "config")
		_, weights, taps := sample(t, c, tapDims(c), 1, rapid.Uint64().Draw(t, "seed"))
		last := c.Reads[len(c.Reads)-1]
		reads := slices.DeleteFunc(slices.Clone(c.Reads), func(d int) bool { return d != last && rapid.Bool().Draw(t, "drop") })
		blocks := slices.DeleteFunc([]int{1, 2, 3, 4, 5, 6, 7, 8, 9}[:last], func(d int) bool {
			return !slices.Contains(reads, d) && rapid.Bool().Draw(t, "remove")
		})
		kept, err := laya.Keep(c, blocks, reads)
		if err != nil {
			t.Fatal(err)
		}
		keptWeights, err := laya.KeepWeights(c, weights, blocks, reads)
		if err != nil {
			t.Fatal(err)
		}
		silenced := reftest.WeightsOf(weights)
		keptTaps := rowOf(taps, 0)[:0]
		for i, depth := range c.Reads {
			if slices.Contains(reads, depth) {
				keptTaps = append(keptTaps, rowOf(taps, 0)[i])
			} else {
				silence(c, silenced, i)
			}
		}
		want := reftest.Head(c, silenced, rowOf(taps, 0))
		got := reftest.Head(kept, reftest.WeightsOf(keptWeights), keptTaps)
		checkClose(t, "logits", last, got[0].Logits, want[0].Logits)
	})
}

// silence makes read i of a head contribute nothing.
func silence(c laya.Config, w reftest.Weights, i int) {
	name := laya.DepthName(c.Reads[i]) + ".adapter."
	w[name+"kernel"] = make([]float64, len(w[name+"kernel"]))
	w[name+"bias"] = make([]float64, c.Dim)
	switch c.Kind {
	case laya.Joint:
		w["head.score.1.bias"][i] = math.Inf(-1)
	case laya.ScalarMix:
		w["head.scores"][i] = math.Inf(-1)
	}
}

func TestKeepRefuses(t *testing.T) {
	c := laya.Config{Kind: laya.ScalarMix, Reads: []int{1, 2, 4}, Classes: 2, Dim: 2}
	for _, test := range []struct {
		name          string
		blocks, reads []int
		want          string
	}{
		{"nothing", nil, nil, "laya: no block is kept"},
		{"disorder", []int{2, 1}, []int{1}, "laya: kept blocks are [2 1], want blocks >= 1 in ascending order"},
		{"block zero", []int{0, 1}, []int{1}, "laya: kept blocks are [0 1], want blocks >= 1 in ascending order"},
		{"depth not read", []int{1, 2, 3}, []int{1, 3}, "laya: kept reads are [1 3], want an ascending subset of [1 2 4]"},
		{"twice", []int{1, 2}, []int{2, 2}, "laya: kept reads are [2 2], want an ascending subset of [1 2 4]"},
		{"no block to read", []int{2, 4}, []int{1, 4}, "laya: the branch of depth 1 is kept but block 1 goes"},
		{"no answer", []int{1, 2, 3}, []int{1, 2}, "laya: kept reads are [1 2], want them to end with the last kept block 3"},
		{"no reads", []int{1, 2}, nil, "laya: kept reads are [], want them to end with the last kept block 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := laya.Keep(c, test.blocks, test.reads); err == nil || err.Error() != test.want {
				t.Errorf("error is %v, want %s", err, test.want)
			}
			if _, err := laya.KeepWeights(c, nil, test.blocks, test.reads); err == nil || err.Error() != test.want {
				t.Errorf("KeepWeights: error is %v, want %s", err, test.want)
			}
		})
	}
	for name, weights := range map[string]layer.Weights{
		`laya: weight "head.scores" is missing`:                         {},
		`laya: weight "head.scores": shape (Float32)[2] has no 3 equal`: {"head.scores": tensors.FromValue([]float32{1, 2})},
	} {
		if _, err := laya.KeepWeights(c, weights, []int{1, 2}, []int{1, 2}); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("error is %v, want %s", err, name)
		}
	}
}

package backbone_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// TestKeepWeightsOfTiedBlocks drops the block whose name the shared weights carry.
func TestKeepWeightsOfTiedBlocks(t *testing.T) {
	for name, b := range map[string]backbone.Backbone{
		"mlp":     &backbone.MLP{Inputs: []int{4}, Widths: []int{4, 4, 4}, Norm: "layer", Epsilon: 1e-3, Residual: true, Tied: true},
		"resnet":  resnet(func(r *backbone.ResNet) { r.Tied, r.Stages = true, []backbone.Stage{{Channels: 3, Blocks: 3}} }),
		"encoder": tiny(func(e *backbone.Encoder) { e.Tied = true }),
	} {
		t.Run(name, func(t *testing.T) {
			weights := fresh(b, 1)
			smaller, err := b.Keep([]int{2, 3})
			if err != nil {
				t.Fatal(err)
			}
			kept, err := backbone.KeepWeights(b, weights, []int{2, 3})
			if err != nil {
				t.Fatal(err)
			}
			ops := backbone.Ops(smaller)
			for k := range smaller.Depth() + 1 {
				ops = append(ops, smaller.Tap(k))
			}
			if err := layer.CheckWeights(kept, layer.ParamsOf(ops...)); err != nil {
				t.Fatal(err)
			}
			p := smaller.Block(1).Params[0]
			if kept[smaller.Block(1).FullName(p)] != weights[b.Block(2).FullName(p)] {
				t.Error("the first kept block does not have the shared weights")
			}
		})
	}
}

func TestKeepWeightsKeepsToItsOwn(t *testing.T) {
	b := tiny(func(e *backbone.Encoder) { e.Norm = "pre" }) // three blocks; taps with weights
	weights := fresh(b, 1)
	weights["head.2.adapter.kernel"] = tensors.FromValue([]float32{1})
	delete(weights, "tap.0.norm.gain") // as if no head read depth 0
	delete(weights, "tap.0.norm.bias")
	before := maps.Clone(weights)
	kept, err := backbone.KeepWeights(b, weights, []int{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{
		"head.2.adapter.kernel": "head.2.adapter.kernel", "stem.word": "stem.word", "block.1.ffn.up.bias": "block.1.ffn.up.bias",
		"block.2.ffn.up.bias": "block.3.ffn.up.bias", "tap.2.norm.gain": "tap.3.norm.gain",
	} {
		if kept[name] == nil || kept[name] != before[from] {
			t.Errorf("%s is not what %s was", name, from)
		}
	}
	for name := range kept {
		if strings.HasPrefix(name, "block.3.") || strings.HasPrefix(name, "tap.3.") || strings.HasPrefix(name, "tap.0.") {
			t.Errorf("%s is left", name)
		}
	}
	if !maps.Equal(weights, before) {
		t.Error("KeepWeights changed what it was given")
	}
	if _, err := backbone.KeepWeights(b, weights, []int{4}); err == nil {
		t.Error("block 4 of 3 is kept")
	}
}

// TestResNetWithoutItsFirstStage: the stem keeps its width and stage 2 still begins by halving.
func TestResNetWithoutItsFirstStage(t *testing.T) {
	r := resnet(nil) // stages of 3 and 5 channels, 2 blocks each
	kept, err := r.Keep([]int{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Validate(); err != nil {
		t.Fatal(err)
	}
	for k, old := range []int{0, 3, 4} {
		if got, want := kept.State(k)[0].Dims, r.State(old)[0].Dims; !slices.Equal(got, want) {
			t.Errorf("state %d is %v, want that of depth %d before, %v", k, got, old, want)
		}
	}
	if kept.Block(1).Removable {
		t.Error("the block that halves is removable")
	}
}

func TestResNetRefusesStages(t *testing.T) {
	for name, stages := range map[string][]backbone.Stage{
		"none":         nil,
		"no block":     {{Channels: 3, Blocks: 0}},
		"empty second": {{Channels: 3, Blocks: 1}, {Channels: 3, Blocks: 0}},
		"negative":     {{Channels: 3, Blocks: -1}, {Channels: 3, Blocks: 2}},
		"too many":     {{Channels: 3, Blocks: 4097}},
		"together":     {{Channels: 3, Blocks: 4000}, {Channels: 3, Blocks: 97}},
		"overflows":    {{Channels: 3, Blocks: math.MaxInt}, {Channels: 3, Blocks: math.MaxInt}},
		"narrows":      {{Channels: 5, Blocks: 1}, {Channels: 3, Blocks: 1}},
		"no channels":  {{Channels: 0, Blocks: 1}},
	} {
		if err := resnet(func(r *backbone.ResNet) { r.Stages = stages }).Validate(); err == nil || !strings.Contains(err.Error(), "stage") {
			t.Errorf("%s: got %v, want an error about stages", name, err)
		}
	}
	if err := resnet(func(r *backbone.ResNet) { r.Stages = []backbone.Stage{{Channels: 3, Blocks: 4096}} }).Validate(); err != nil {
		t.Errorf("4096 blocks: %v", err)
	}
}

package backbone_test

import (
	"testing"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/backbone/backbonetest"
)

func mlp(change func(*backbone.MLP)) *backbone.MLP {
	m := &backbone.MLP{Inputs: []int{3, 2, 1}, Widths: []int{5, 5, 5, 4}, Norm: "layer", Epsilon: 1e-3}
	if change != nil {
		change(m)
	}
	return m
}

func resnet(change func(*backbone.ResNet)) *backbone.ResNet {
	r := &backbone.ResNet{
		Inputs: []int{9, 7, 2}, Stages: []backbone.Stage{{Channels: 3, Blocks: 2}, {Channels: 5, Blocks: 2}},
		StemStride: 1, Shortcut: "A", Norm: "batch", Epsilon: 1e-5,
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestMLPKeepsTheContract(t *testing.T) {
	for name, change := range map[string]func(*backbone.MLP){
		"plain":          nil,
		"no norm":        func(m *backbone.MLP) { m.Norm = "none" },
		"residual":       func(m *backbone.MLP) { m.Residual = true },
		"tied":           func(m *backbone.MLP) { m.Residual, m.Tied = true, true },
		"native":         func(m *backbone.MLP) { m.Residual, m.Widths = true, []int{16, 16, 32} },
		"native no norm": func(m *backbone.MLP) { m.Norm, m.Widths = "none", []int{48} },
	} {
		t.Run(name, func(t *testing.T) { backbonetest.Run(t, mlp(change), backbonetest.Options{}) })
	}
}

func TestResNetKeepsTheContract(t *testing.T) {
	for name, change := range map[string]func(*backbone.ResNet){
		"shortcut A":    nil,
		"shortcut B":    func(r *backbone.ResNet) { r.Shortcut = "B" },
		"folded":        func(r *backbone.ResNet) { r.Norm, r.Shortcut = "folded", "B" },
		"tied":          func(r *backbone.ResNet) { r.Tied, r.Stages[0].Blocks = true, 3 },
		"stem stride 2": func(r *backbone.ResNet) { r.StemStride = 2 },
		"empty stage":   func(r *backbone.ResNet) { r.Stages[0].Blocks = 0 },
		"native":        func(r *backbone.ResNet) { r.Norm, r.Stages[0].Channels, r.Stages[1].Channels = "folded", 16, 48 },
		"native B": func(r *backbone.ResNet) {
			r.Norm, r.Shortcut, r.StemStride, r.Stages[0].Channels, r.Stages[1].Channels = "folded", "B", 2, 32, 16
		},
	} {
		t.Run(name, func(t *testing.T) { backbonetest.Run(t, resnet(change), backbonetest.Options{}) })
	}
}

func TestTiedEncoderKeepsTheContract(t *testing.T) {
	e := tiny(func(e *backbone.Encoder) { e.Tied, e.Dropout = true, 0 })
	backbonetest.Run(t, e, backbonetest.Options{Vocab: e.Vocab})
}

package prune

import (
	"fmt"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// Apply carries out a plan: it returns the smaller backbone, the head that fits it, and their weights, which are exactly
// those that the two ask for. What stays is as it was; a plan that keeps all changes nothing. The weights share their
// tensors with w, except those of a head that were cut; b and w are left alone.
//
// It is an error if the plan does not fit the network, or if w lacks a weight.
func Apply(b backbone.Backbone, head laya.Config, w layer.Weights, plan Plan) (backbone.Backbone, laya.Config, layer.Weights, error) {
	fail := func(err error) (backbone.Backbone, laya.Config, layer.Weights, error) {
		return nil, laya.Config{}, nil, fmt.Errorf("prune: apply: %w", err)
	}
	smaller, err := b.Keep(plan.Keep)
	if err != nil {
		return fail(err)
	}
	config, err := laya.Keep(head, plan.Keep, plan.Reads)
	if err != nil {
		return fail(err)
	}
	kept, err := backbone.KeepWeights(b, w, plan.Keep)
	if err != nil {
		return fail(err)
	}
	if kept, err = laya.KeepWeights(head, kept, plan.Keep, plan.Reads); err != nil {
		return fail(err)
	}
	params, err := params(smaller, config)
	if err != nil {
		return fail(err)
	}
	dropUnread(kept, smaller, config)
	if err := layer.CheckWeights(kept, params); err != nil {
		return fail(err)
	}
	return smaller, config, kept, nil
}

// params are the weights of backbone, taps and head under their full names.
func params(b backbone.Backbone, c laya.Config) ([]layer.Param, error) {
	var widths []int
	ops := backbone.Ops(b)
	for _, depth := range c.Reads {
		widths = append(widths, b.TapDim(depth))
		ops = append(ops, b.Tap(depth))
	}
	head, err := laya.New(c, widths)
	if err != nil {
		return nil, err
	}
	return layer.ParamsOf(append(ops, laya.Ops(head)...)...), nil
}

// dropUnread deletes the weights of taps at depths that the head no longer reads.
func dropUnread(w layer.Weights, b backbone.Backbone, c laya.Config) {
	read := map[int]bool{}
	for _, depth := range c.Reads {
		read[depth] = true
	}
	for depth := range b.Depth() + 1 {
		if read[depth] {
			continue
		}
		for _, p := range layer.ParamsOf(b.Tap(depth)) {
			delete(w, p.Name)
		}
	}
}

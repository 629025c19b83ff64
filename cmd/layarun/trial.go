package main

import (
	"context"
	"fmt"
	"math"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/prune"
)

// trial measures candidates against the network they come from.
type trial struct {
	app    *app
	device *compile.Device
	base   *bundle.Bundle
	set    *dataset.Set
	right  []bool // the unpruned network's answers
	tried  int
}

// measure builds the network of a plan and compares its answers, sample by sample, with those of the unpruned one.
func (t *trial) measure(ctx context.Context, plan prune.Plan) (prune.Measurement, error) {
	candidate, err := carryOut(t.base, plan)
	if err != nil {
		return prune.Measurement{}, err
	}
	t.tried++
	right, err := t.answers(ctx, fmt.Sprintf("candidate %d", t.tried), candidate)
	m := prune.Measurement{Samples: len(right), Accuracy: share(right)}
	for i, r := range right {
		if t.right[i] && !r {
			m.Broken++
		} else if r && !t.right[i] {
			m.Mended++
		}
	}
	return m, err
}

// answers says of each sample whether the whole network answers it with its label.
func (t *trial) answers(ctx context.Context, what string, b *bundle.Bundle) ([]bool, error) {
	var right []bool
	err := t.app.predictAll(ctx, what, b, t.device, t.set, layarun.Request{Policy: exit.Full().Name}, func(answers []layarun.Answer) {
		for _, answer := range answers {
			right = append(right, answer.Label == t.set.Labels[len(right)])
		}
	})
	return right, err
}

func share(right []bool) float64 {
	if len(right) == 0 {
		return math.NaN()
	}
	n := 0
	for _, r := range right {
		if r {
			n++
		}
	}
	return float64(n) / float64(len(right))
}

package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/exit"
)

// calibrationSet reads labelled samples to certify on in place of the calibration split. Those that the network was
// trained on or its thresholds are chosen on are left out, since they say nothing of samples to come.
func (a *app) calibrationSet(ctx context.Context, b *bundle.Bundle, splits *dataset.Splits, path string, o exit.Options) (*dataset.Set, error) {
	set, err := newInputs(a, b, predictOptions{}).read(ctx, path)
	if err != nil {
		return nil, withHint(err, "layarun calibrate --help")
	}
	if i := slices.Index(set.Labels, dataset.Unknown); i >= 0 && o.Risk == exit.AccuracyDrop {
		return nil, fmt.Errorf("%s: sample %d has no label, which a drop in accuracy is counted with; --risk consistency needs none", path, i)
	}
	fresh := set.Without(splits.Train, splits.Validation)
	if fresh.Len() == 0 {
		return nil, fmt.Errorf("%s: all %d samples are in the training or the validation split of %q: want others", path, set.Len(), b.Data.Name)
	}
	if known := set.Len() - fresh.Len(); known > 0 {
		a.say("%s: %d of %d samples are in the training or the validation split and left out", path, known, set.Len())
	}
	if tested := fresh.Len() - fresh.Without(splits.Test).Len(); tested > 0 {
		a.say("%s: %d of its samples are in the test split, so a figure on that split is not a fresh one", path, tested)
	}
	return fresh, nil
}

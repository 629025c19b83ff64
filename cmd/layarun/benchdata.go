package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
)

// benchSamples draws the samples to send: of the data that is named, else of the test split of the bundle's own, else of
// the digits where the network reads such samples. Labels play no part.
func (a *app) benchSamples(ctx context.Context, b *bundle.Bundle, data string, o benchOptions) (*dataset.Set, error) {
	in := newInputs(a, b, predictOptions{textColumn: o.textColumn})
	set, err := a.benchSet(ctx, in, data)
	if err != nil {
		return nil, err
	}
	if most := slices.Max(o.batches); set.Len() < most {
		return nil, fmt.Errorf("%s holds %d samples, want at least as many as a request has, %d", set.Name, set.Len(), most)
	}
	set = eval.Draw(set, o.load.Samples, timingSeed)
	set.Dims, set.Classes = in.dims, b.Classes
	return set, nil
}

func (a *app) benchSet(ctx context.Context, in *inputs, data string) (*dataset.Set, error) {
	switch {
	case slices.Contains(dataset.Names(), data):
		return a.knownTest(ctx, in, data)
	case data != "":
		set, err := in.read(ctx, data)
		if err == nil {
			set.Name = data
		}
		return set, err
	case in.bundle.Data == nil:
		set, err := a.knownTest(ctx, in, "digits")
		return set, withHint(err, "layarun bench BUNDLE DATA")
	}
	splits, err := a.splitsOf(ctx, in.bundle)
	if err != nil {
		return nil, withHint(err, "layarun bench BUNDLE DATA")
	}
	splits.Test.Name = in.bundle.Data.Name + ", test split"
	return splits.Test, nil
}

// knownTest is the test split of a known data set.
func (a *app) knownTest(ctx context.Context, in *inputs, name string) (*dataset.Set, error) {
	splits, err := dataset.Load(ctx, name, dataset.Options{Dir: a.dataFolder()})
	if err != nil {
		return nil, err
	}
	splits.Test.Name = name + ", test split"
	return splits.Test, in.fits(name, splits.Test)
}

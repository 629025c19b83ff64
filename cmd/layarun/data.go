package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/train"
)

// dataDirEnv names the folder of the known data sets.
const dataDirEnv = "LAYARUN_DATA"

// addDataFlag gives a verb that reads known data sets its --data-dir.
func (a *app) addDataFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.dataDir, "data-dir", "", "folder of the known data sets (default $"+dataDirEnv+", else ../shared/data)")
}

func (a *app) dataFolder() string {
	return cmp.Or(a.dataDir, os.Getenv(dataDirEnv), "../shared/data")
}

// splitsOf loads the data that a bundle was made with and checks that it is the same: a split used for what it was kept
// for must be the one that was kept.
func (a *app) splitsOf(ctx context.Context, b *bundle.Bundle) (*dataset.Splits, error) {
	if b.Data == nil {
		return nil, fmt.Errorf("bundle %q does not say which data it was made with", b.Name)
	}
	splits, err := train.Load(ctx, b.Data.Source, b.Fit, a.dataFolder())
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		name, want string
		set        *dataset.Set
	}{
		{"training", b.Data.Train, splits.Train}, {"validation", b.Data.Validation, splits.Validation},
		{"calibration", b.Data.Calibration, splits.Calibration}, {"test", b.Data.Test, splits.Test},
	} {
		if got := part.set.Digest(); got != part.want {
			return nil, fmt.Errorf("the %s split of %q has digest %.12s, but bundle %q was made with %.12s: the data has changed",
				part.name, b.Data.Name, got, b.Name, part.want)
		}
	}
	return splits, nil
}

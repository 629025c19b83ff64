package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/train"
)

// importedDir is where a run folder keeps the bundle that it starts from.
const importedDir = "imported"

// importRecipe is how the head of an imported network is trained: the backbone frozen, so that an epoch takes seconds.
const importRecipe = `
head: {tap_norm: layer, dropout: 0.1}
train: {epochs: 20, batch: 64, rate: 0.001, backbone_rate: 0, patience: 5}
`

// importedRun is what import with data reports.
type importedRun struct {
	Imported *imported `json:"imported"`
	// Before is the validation accuracy of the checkpoint's own classifier; nil where it has none, or knows other classes.
	Before *float64 `json:"validation_accuracy_before"`
	Run    trained  `json:"run"`
}

// importWithExits imports a model and trains a head with exits on it, in one run folder.
func (a *app) importWithExits(ctx context.Context, model string, o importOptions) error {
	r, err := o.recipe()
	if err != nil {
		return err
	}
	folder := o.out
	if folder == "" {
		folder = filepath.Join("runs", filepath.Base(filepath.Clean(model)))
	}
	o.out = filepath.Join(folder, importedDir)
	v, err := importModel(ctx, model, o)
	if err != nil {
		return err
	}
	r.Start = o.out
	resolved, err := r.Resolve(ctx, a.dataFolder())
	if errors.Is(err, train.ErrRecipe) {
		return usageError("%w", err)
	}
	if err != nil {
		return err
	}
	device, graphs, err := a.openForTraining()
	if err != nil {
		return err
	}
	defer device.Close()
	report := importedRun{Imported: v}
	if report.Before, err = a.accuracyBefore(ctx, o.out, device, resolved.Splits.Validation); err != nil {
		return err
	}
	run, err := a.trainOne(ctx, resolved, graphs, folder, false)
	if errors.Is(err, context.Canceled) {
		a.say("stopped; give the same command again to go on in %s", folder)
	}
	if errors.Is(err, train.ErrOtherRun) {
		return withHint(err, "another --out")
	}
	if err != nil {
		return err
	}
	report.Run = *run
	return a.showImportedRun(report)
}

// recipe is importRecipe with the fields that were given.
func (o *importOptions) recipe() (train.Recipe, error) {
	text, err := o.fields.merge([]byte(importRecipe))
	if err != nil {
		return train.Recipe{}, err
	}
	r, err := train.ParseRecipe(text)
	if err != nil {
		return r, usageError("%w", err)
	}
	r.Data.Name = o.data
	if err := r.Train.Validate(); err != nil {
		return r, usageError("%w", err)
	}
	return r, nil
}

// accuracyBefore is the share of samples that the imported bundle's own classifier gets right, by the names of the
// classes; nil if it has no classifier or the data has classes that it does not know.
func (a *app) accuracyBefore(ctx context.Context, dir string, device *compile.Device, set *dataset.Set) (_ *float64, err error) {
	b, err := bundle.Open(dir)
	if err != nil || !b.HasHead() {
		return nil, err
	}
	set, err = renumbered(set, b.Classes)
	if err != nil {
		a.say("the checkpoint's classifier is not compared: %v", err)
		return nil, nil
	}
	r, err := layarun.New(b, device, layarun.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	table, err := a.score(ctx, r, set)
	if err != nil {
		return nil, err
	}
	share := table.Summarize(table.Forced(len(table.Exits) - 1)).Accuracy()
	return &share, nil
}

// renumbered is the set with its labels counted in other classes, which must include its own.
func renumbered(set *dataset.Set, classes []string) (*dataset.Set, error) {
	to := make([]int, len(set.Classes))
	for i, name := range set.Classes {
		if to[i] = slices.Index(classes, name); to[i] < 0 {
			return nil, fmt.Errorf("it knows no class %q, its classes are %s", name, shortList(classes, 8))
		}
	}
	other := *set
	other.Classes, other.Labels = classes, nil
	for _, label := range set.Labels {
		other.Labels = append(other.Labels, to[label])
	}
	return &other, nil
}

func (a *app) showImportedRun(v importedRun) error {
	if a.json {
		return a.emit("import.run/1", v)
	}
	fmt.Fprintf(a.out, "%s: %s of %d blocks\n", v.Imported.Bundle, v.Imported.Family, v.Imported.Blocks)
	last := v.Run.Epochs[v.Run.Best-1].Validation.Last()
	if v.Before != nil {
		fmt.Fprintf(a.out, "validation: %.2f %% with the checkpoint's own classifier, %.2f %% at full depth with the head that exits\n", 100**v.Before, 100*last)
	}
	return a.showTrained([]trained{v.Run})
}

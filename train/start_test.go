package train_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// A run that starts from a bundle has the bundle's network and begins with its weights: with a rate too small to move a
// float32, they are its result.
func TestStartFromABundle(t *testing.T) {
	recipe := func(text string) *train.Resolved {
		t.Helper()
		r, err := train.ParseRecipe([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := r.Resolve(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return resolved
	}
	run := func(r *train.Resolved) *train.Result {
		t.Helper()
		job, err := r.Job(testbackend.Go(t))
		if err != nil {
			t.Fatal(err)
		}
		return mustRun(t, job)
	}
	first := recipe("backbone: {kind: mlp, widths: [8]}\nhead: {dim: 4, hidden: 4}\ntrain: {epochs: 1}")
	dir := filepath.Join(t.TempDir(), "bundle")
	trained := run(first)
	b, err := first.Bundle("first", "test", trained)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	again := recipe("start: " + dir + "\ntrain: {epochs: 1, rate: 1e-30, decay: 0, standardise: false}")
	if !bytes.Equal(bits(t, run(again).Weights), bits(t, trained.Weights)) {
		t.Fatal("the run did not begin with the bundle's weights")
	}

	// Another head begins fresh, whether the bundle has one or none; the backbone's weights are the bundle's all the same.
	headless := *b
	headless.Head, headless.Classes, headless.Policies, headless.Weights = laya.Config{}, nil, nil, layer.Weights{}
	for _, p := range layer.ParamsOf(backbone.Ops(b.Backbone)...) {
		headless.Weights[p.Name] = b.Weights[p.Name]
	}
	bare := filepath.Join(t.TempDir(), "bare")
	if err := headless.Save(bare); err != nil {
		t.Fatal(err)
	}
	for start, want := range map[string]string{
		dir + "\nhead: {kind: linear}":     laya.Linear,
		bare:                               laya.Prefix,
		bare + "\nhead: {kind: lastlayer}": laya.LastLayer,
		bare + "\nhead: {reads: [1], dim: 4, hidden: 4}":  laya.Prefix,
		dir + "\nhead: {kind: prefix, dim: 3, hidden: 3}": laya.Prefix,
	} {
		resolved := recipe("start: " + start + "\ntrain: {epochs: 1, rate: 1e-30, decay: 0}")
		result := run(resolved)
		if got := resolved.Network.Head.Config(); got.Kind != want || got.Classes != 10 {
			t.Errorf("%s: the head is %+v, want kind %s of the 10 digits", start, got, want)
		}
		for name, w := range headless.Weights {
			if !result.Weights[name].Equal(w) {
				t.Errorf("%s: %s is not the bundle's", start, name)
			}
		}
		if _, err := resolved.Bundle("again", "test", result); err != nil {
			t.Error(err)
		}
	}

	other, err := train.ParseRecipe([]byte("start: " + dir + "\nbackbone: {kind: mlp, widths: [9]}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Resolve(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "start and backbone") {
		t.Fatalf("another backbone than the bundle's: %v, want an error about start and backbone", err)
	}
}

package train_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/internal/testbackend"
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

	other, err := train.ParseRecipe([]byte("start: " + dir + "\nbackbone: {kind: mlp, widths: [9]}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Resolve(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "start and backbone") {
		t.Fatalf("another backbone than the bundle's: %v, want an error about start and backbone", err)
	}
}

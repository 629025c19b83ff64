package train_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
	"github.com/layarun/layarun/train"
)

// A run that starts from a bundle has the bundle's network and begins with its weights: with a rate too small to move a
// float32, they are its result.
func TestStartFromABundle(t *testing.T) {
	run := func(r *train.Resolved) *train.Result {
		t.Helper()
		job, err := r.Job(testbackend.Go(t))
		if err != nil {
			t.Fatal(err)
		}
		return mustRun(t, job)
	}
	first := resolve(t, "backbone: {kind: mlp, widths: [8]}\nhead: {dim: 4, hidden: 4}\ntrain: {epochs: 1}")
	dir := filepath.Join(t.TempDir(), "bundle")
	trained := run(first)
	b, err := first.Bundle("first", "test", trained)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	again := resolve(t, "start: "+dir+"\ntrain: {epochs: 1, rate: 1e-30, decay: 0, standardise: false}")
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
		resolved := resolve(t, "start: "+start+"\ntrain: {epochs: 1, rate: 1e-30, decay: 0}")
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

// The first blocks of a bundle, with a head of their own: what a shallower network begins with.
func TestStartFromTheFirstBlocks(t *testing.T) {
	resolve := func(text string) (*train.Resolved, error) {
		r, err := train.ParseRecipe([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r.Resolve(t.Context(), "")
	}
	first, err := resolve("backbone: {kind: mlp, widths: [8, 8, 8], residual: true}\nhead: {dim: 4, hidden: 4}\ntrain: {epochs: 1}")
	if err != nil {
		t.Fatal(err)
	}
	job, err := first.Job(testbackend.Go(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := first.Bundle("first", "test", mustRun(t, job))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	cut, err := resolve("start: " + dir + "\nblocks: 2\nhead: {reads: [2], dim: 4, hidden: 4}")
	if err != nil {
		t.Fatal(err)
	}
	if got := cut.Network.Backbone.Depth(); got != 2 {
		t.Fatalf("the network has %d blocks, want 2", got)
	}
	for _, p := range layer.ParamsOf(backbone.Ops(cut.Network.Backbone)...) {
		if !cut.Start[p.Name].Equal(b.Weights[p.Name]) {
			t.Errorf("%s is not the bundle's", p.Name)
		}
	}
	for name := range cut.Start {
		if strings.HasPrefix(name, "block.3") || strings.HasPrefix(name, laya.SharedName) {
			t.Errorf("%s was taken over", name)
		}
	}
	text, err := cut.Job(testbackend.Go(t))
	if err != nil {
		t.Fatal(err)
	}
	again, err := resolve(string(text.Recipe)) // the resolved recipe leads to the same
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Network.Head.Config(), cut.Network.Head.Config(); got.Dim != want.Dim || again.Network.Backbone.Depth() != 2 {
		t.Errorf("the resolved recipe leads to %d blocks and %+v", again.Network.Backbone.Depth(), got)
	}
	for text, want := range map[string]string{
		"start: " + dir + "\nblocks: 4":  "blocks is 4, want 1 to the 3 of start",
		"start: " + dir + "\nblocks: -1": "blocks is -1",
		"blocks: 1":                      "blocks is 1, but there is no start",
	} {
		if _, err := resolve(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

// Images are read as the bundle that a run starts from reads them, and the bundle that it makes says so again.
func TestStartReadsImagesAsTheBundleDoes(t *testing.T) {
	v := &backbone.ViT{Inputs: []int{8, 8, 3}, Patch: 4, Layers: 1, Dim: 4, Heads: 2, Hidden: 6, Activation: "gelu", Epsilon: 1e-6, Pool: "cls"}
	start := &bundle.Bundle{Name: "start", Backbone: v, Weights: layer.NewWeights(layer.ParamsOf(backbone.Ops(v)...), 1),
		Fit: picture.Fit{Size: []int{10, 12}, Filter: "bicubic"}}
	dir := filepath.Join(t.TempDir(), "start")
	if err := start.Save(dir); err != nil {
		t.Fatal(err)
	}
	folder := pictures(t, 20)
	resolved := resolve(t, "data: {name: "+folder+"}\nstart: "+dir+"\nhead: {dim: 4, hidden: 4}\ntrain: {epochs: 1}")
	file, err := os.ReadFile(filepath.Join(folder, "left", "0.png"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := start.Fit.Decode(file, v.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, set := range []*dataset.Set{resolved.Splits.Train, resolved.Splits.Validation, resolved.Splits.Calibration, resolved.Splits.Test} {
		for i := range set.Len() {
			found = found || slices.Equal(set.Row(i), want)
		}
	}
	if !found {
		t.Error("no sample is what the bundle's fit makes of left/0.png")
	}
	if pool := resolved.Network.Backbone.(*backbone.ViT).Pool; pool != "mean" {
		t.Errorf("exits at depths 0 and 1 read pool %q, want the mean: the class token says nothing at 0", pool)
	}
	job, err := resolved.Job(testbackend.Go(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := resolved.Bundle("again", "test", mustRun(t, job))
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := b.Save(again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(b.Fit, start.Fit) {
		t.Errorf("the bundle's fit is %+v, want %+v", b.Fit, start.Fit)
	}
	splits, err := train.Load(t.Context(), b.Data.Source, b.Fit, "")
	if err != nil || splits.Train.Digest() != b.Data.Train {
		t.Errorf("the bundle's data is read otherwise the second time (%v)", err)
	}
}

// The first token says nothing before the first block: exits that take the place of a classifier which reads it, through a
// pooler or not, read the mean over tokens, and a classifier alone keeps it.
func TestStartFromAClassifierOfTheFirstToken(t *testing.T) {
	for _, pooler := range []string{"tanh", ""} {
		t.Run("pooler "+pooler, func(t *testing.T) { startFromClassifier(t, pooler) })
	}
}

func startFromClassifier(t *testing.T, pooler string) {
	texts := []string{"one two", "three", "two three", "one", "three one", "two", "one one", "three three"}
	table := "text,label\n"
	for i, text := range texts {
		table += text + "," + []string{"a", "b"}[i%2] + "\n"
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "texts.csv"), []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := token.Build(texts, 64)
	if err != nil {
		t.Fatal(err)
	}
	net, err := backbone.Decode([]byte(`{"kind": "encoder", "vocab": 64, "max_length": 8, "layers": 2, "dim": 4, "heads": 2, "hidden": 4, "pool": "cls", "pooler": "` + pooler + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle.Bundle{Name: "classifier", CreatedBy: "test", Backbone: net, Head: laya.Config{Kind: laya.LastLayer, Reads: []int{2}, Classes: 2},
		Classes: []string{"a", "b"}, Tokenizer: file, MaxLength: 8}
	params, err := b.Params()
	if err != nil {
		t.Fatal(err)
	}
	b.Weights = layer.NewWeights(params, 1)
	if err := b.Save(filepath.Join(dir, "bundle")); err != nil {
		t.Fatal(err)
	}
	recipe := "data: {name: " + filepath.Join(dir, "texts.csv") + ", validation_size: 2, calibration_size: 2, test_size: 2}\nstart: " + filepath.Join(dir, "bundle")
	for head, want := range map[string][2]string{
		"": {"cls", pooler},
		"\nhead: {kind: prefix, dim: 4, hidden: 4}":             {"mean", ""},
		"\nhead: {kind: linear}":                                {"mean", ""},
		"\nhead: {kind: prefix, reads: [2], dim: 4, hidden: 4}": {"cls", pooler},
	} {
		text := recipe + head
		for range 2 { // the second time the resolved recipe
			resolved := resolve(t, text)
			e := resolved.Network.Backbone.(*backbone.Encoder)
			if e.Pool != want[0] || e.Pooler != want[1] {
				t.Errorf("%q: pool %q and pooler %q, want %q", head, e.Pool, e.Pooler, want)
			}
			job, err := resolved.Job(testbackend.Go(t))
			if err != nil {
				t.Fatal(err)
			}
			text = string(job.Recipe)
		}
	}
}

package train_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/train"
)

func TestParseRecipe(t *testing.T) {
	r, err := train.ParseRecipe([]byte("# mine\ntrain: {epochs: 3, seed: 18446744073709551615}\ndata:\n  name: x.csv\n  text_column: body\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := train.Default()
	want.Epochs, want.Seed = 3, math.MaxUint64
	if r.Train != want || r.Data.Name != "x.csv" || r.Data.TextColumn != "body" {
		t.Errorf("recipe is %+v", r)
	}
	for _, empty := range []string{"", "# nothing\n", "null\n", "{}"} {
		if r, err := train.ParseRecipe([]byte(empty)); err != nil || !reflect.DeepEqual(r, train.DefaultRecipe()) {
			t.Errorf("%q gives %+v, %v, want the default", empty, r, err)
		}
	}
}

func TestParseRecipeRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"trian: {epochs: 3}":                 `"trian"`,
		"train: {epoch: 3}":                  `"epoch"`,
		"data: {nmae: digits}":               `"nmae"`,
		"train: {epochs: many}":              "epochs",
		"train: {epochs: 1.5}":               "epochs",
		"train: {rate: .inf}":                "Inf",
		"train: 3":                           "train",
		"- train":                            "recipe",
		"train: {epochs: 3}\ntrain: {}":      "already defined",
		"train: {epochs: 3}\n---\ntrain: {}": "more than one YAML document",
		"train: {epochs: 3}\n}":              "recipe",
		"1: {epochs: 3}":                     `"1"`,
		"\x00":                               "recipe",
	} {
		if _, err := train.ParseRecipe([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

func FuzzParseRecipe(f *testing.F) {
	f.Add([]byte("train: {epochs: 3}\nbackbone: {kind: mlp}\nhead:\n"))
	f.Add([]byte("a: &x [*x]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := train.ParseRecipe(text)
		if err != nil {
			return
		}
		encoded, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := train.ParseRecipe(encoded)
		if err != nil || again.Train != r.Train || again.Data.Name != r.Data.Name {
			t.Fatalf("%s read again is %+v (%v), want %+v", encoded, again, err, r)
		}
	})
}

// table writes a table of n samples: two features that tell two classes apart, or texts.
func table(t *testing.T, header, first, second string, n int) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, header)
	for i := range n {
		fmt.Fprintf(&b, []string{first, second}[i%2]+"\n", i)
	}
	name := filepath.Join(t.TempDir(), "data.csv")
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// pictures writes a folder with two classes of ten images of size x size.
func pictures(t *testing.T, size int) string {
	t.Helper()
	root, rng := t.TempDir(), rand.New(rand.NewPCG(1, 0))
	for _, class := range []string{"left", "right"} {
		if err := os.Mkdir(filepath.Join(root, class), 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			img := image.NewGray(image.Rect(0, 0, size, size))
			for p := range img.Pix {
				img.Pix[p] = uint8(rng.IntN(200))
			}
			img.SetGray(map[string]int{"left": 0, "right": size - 1}[class], 0, color.Gray{Y: 255})
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, class, fmt.Sprint(i, ".png")), b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func resolve(t *testing.T, text string) *train.Resolved {
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

// The backbone is chosen by the kind of data, and what Job writes to the run folder resolves to itself.
func TestResolvedRecipeResolvesToItself(t *testing.T) {
	features := table(t, "x,y,label", "%d.5,1,a", "%d.25,-1,b", 40)
	texts := table(t, "text,label", "the red one %d,a", "a blue one %d,b", 40)
	for name, test := range map[string]struct{ recipe, kind string }{
		"digits":         {"", "mlp"},
		"table":          {"data: {name: " + features + "}", "mlp"},
		"text":           {"data: {name: " + texts + ", vocabulary: 100}", "encoder"},
		"images":         {"data: {name: " + pictures(t, 16) + "}", "resnet"},
		"small images":   {"data: {name: " + pictures(t, 8) + "}", "mlp"},
		"null":           {"backbone:\nhead:\n", "mlp"},
		"own head":       {"head: {exit_scale: false, correction: false, value_norm: true, reads: [2, 8], dim: 7}", "mlp"},
		"joint":          {"head: {kind: joint, dim: 4, tau: 1, hidden: 4, psi: identity}", "mlp"},
		"last layer":     {"head: {kind: lastlayer}", "mlp"},
		"linear":         {"head: {kind: linear}", "mlp"},
		"own backbone":   {"backbone: {kind: mlp, widths: [5, 5], norm: none, tied: true}\ntrain: {seed: 7}", "mlp"},
		"own resnet":     {"backbone: {kind: resnet, stages: [{channels: 4, blocks: 1}]}", "resnet"},
		"tied resnet":    {"backbone: {kind: resnet, stages: [{channels: 4, blocks: 2}], tied: true}", "resnet"},
		"own vit":        {"data: {name: " + pictures(t, 16) + "}\nbackbone: {kind: vit, patch: 4, layers: 1, dim: 4, heads: 2, hidden: 4}", "vit"},
		"dropout":        {"head: {dropout: 0.1, gelu: true, tap_norm: layer}", "mlp"},
		"split sizes":    {"data: {name: digits, seed: 3, test_size: 200}", "mlp"},
		"own vocabulary": {"data: {name: " + texts + "}\nbackbone: {kind: encoder, vocab: 500, layers: 1, dim: 8, heads: 2, hidden: 8}", "encoder"},
	} {
		t.Run(name, func(t *testing.T) {
			first := resolve(t, test.recipe)
			if !strings.Contains(string(first.Recipe.Backbone), `"kind":"`+test.kind+`"`) {
				t.Errorf("backbone is %s, want kind %s", first.Recipe.Backbone, test.kind)
			}
			job, err := first.Job(testbackend.Go(t))
			if err != nil {
				t.Fatal(err)
			}
			second := resolve(t, string(job.Recipe))
			again, err := second.Job(job.Backend)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Recipe, job.Recipe) {
				t.Errorf("recipe\n%s\nresolves to\n%s", job.Recipe, again.Recipe)
			}
			if !reflect.DeepEqual(again.Network.Head.Config(), job.Network.Head.Config()) || !reflect.DeepEqual(again.Network.Backbone, job.Network.Backbone) {
				t.Errorf("network is %+v, then %+v", job.Network, again.Network)
			}
			if !bytes.Equal(first.Tokenizer, second.Tokenizer) || first.Splits.Train.Digest() != second.Splits.Train.Digest() {
				t.Error("tokenizer or data differ")
			}
		})
	}
}

func TestResolveRefuses(t *testing.T) {
	texts := table(t, "text,label", "the red one %d,a", "a blue one %d,b", 40)
	for text, want := range map[string]string{
		"train: {epochs: 0}":                           "epochs is 0",
		"data: {name: nowhere.csv}":                    "nowhere.csv",
		"backbone: {kind: mpl}":                        `"mpl"`,
		"backbone: {widths: [3]}":                      "kind",
		"backbone: [3]":                                "backbone",
		"backbone: {kind: mlp, width: [3]}":            "width",
		"backbone: {kind: mlp, widths: []}":            "widths",
		"head: {kind: last}":                           `"last"`,
		"head: {dims: 3}":                              "dims",
		"head: {classes: 7}":                           "classes is 7, want the data's 10",
		"head: {reads: [0, 3]}":                        "last read is depth 3",
		"data: {name: " + texts + ", max_length: -1}":  "max_length -1",
		"data: {name: " + texts + ", vocabulary: -20}": "vocabulary is -20",
	} {
		r, err := train.ParseRecipe([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if _, err := r.Resolve(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	r := train.DefaultRecipe()
	r.Data.Name = filepath.Join(t.TempDir(), "none")
	if _, err := r.Resolve(t.Context(), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want os.ErrNotExist", err)
	}
}

// Batch normalisation's statistics move in training and are folded into the convolutions of the bundle, which answers as
// the network that was trained.
func TestBundleAnswersAsTheTrainedNetwork(t *testing.T) {
	resolved := resolve(t, "backbone: {kind: resnet, stages: [{channels: 3, blocks: 1}, {channels: 4, blocks: 1}]}\n"+
		"head: {dim: 5, hidden: 4}\ntrain: {epochs: 2, batch: 8, shift: 1, flip: true}")
	resolved.Splits.Train = resolved.Splits.Train.Subset(indices(24))
	job, err := resolved.Job(testbackend.Go(t))
	if err != nil {
		t.Fatal(err)
	}
	result := mustRun(t, job)
	moved := 0
	for _, p := range job.Network.Params() {
		if p.Frozen && !strings.HasPrefix(p.Name, "stem.mean") && !strings.HasPrefix(p.Name, "stem.std") {
			moved++
			if fresh := p.New(rand.New(rand.NewPCG(1, 0))); fresh.Equal(result.Weights[p.Name]) {
				t.Errorf("%s has not moved", p.Name)
			}
		}
	}
	if moved == 0 {
		t.Fatal("the network has no running statistics")
	}
	b, err := resolved.Bundle("tiny", "test", result)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	if b, err = bundle.Open(dir); err != nil {
		t.Fatal(err)
	}
	folded, err := compile.NewNetwork(b.Backbone, b.Head)
	if err != nil {
		t.Fatal(err)
	}
	if len(folded.Params()) >= len(job.Network.Params()) {
		t.Errorf("the bundle has %d parameters, the trained network %d: nothing was folded", len(folded.Params()), len(job.Network.Params()))
	}
	test := resolved.Splits.Test.Subset(indices(9))
	want := logits(t, job.Network, result.Weights, test)
	for exit, got := range logits(t, folded, b.Weights, test) {
		for i := range got {
			if math.Abs(float64(got[i]-want[exit][i])) > 1e-5*math.Max(1, math.Abs(float64(want[exit][i]))) { // float32, five layers
				t.Fatalf("exit %d, logit %d is %v, that of the trained network %v", exit, i, got[i], want[exit][i])
			}
		}
	}
	if b.Train["best_epoch"] != float64(result.Best) || b.Train["validation_accuracy"] != result.Epochs[result.Best-1].Validation.Last() {
		t.Errorf("the bundle remembers %v of %+v", b.Train, result.Epochs)
	}
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

package bundle_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/picture"
	"github.com/layarun/layarun/prune"
)

func formatDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The manifest printed in docs/format.md opens the tiny bundle in place of its own.
func TestFormatDocExample(t *testing.T) {
	_, rest, _ := strings.Cut(formatDoc(t), "```json\n")
	example, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/format.md has no JSON example")
	}
	dir := t.TempDir()
	for name, text := range contents(t, tinyDir) {
		write(t, filepath.Join(dir, name), []byte(text))
	}
	write(t, filepath.Join(dir, "manifest.json"), []byte(example))
	got, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, tiny(t))
}

// testdata/byhand was written by the Python program in docs/format.md, with Python 3, numpy 2.4.6 and safetensors 0.8.0.
// It holds a certificate, so opening it also compares the digest with the one that Python computed.
func TestFormatDocProgram(t *testing.T) {
	b, err := bundle.Open("testdata/byhand")
	if err != nil {
		t.Fatal(err)
	}
	if b.Policies[0].Certificate == nil {
		t.Error("want a certificate")
	}
	want := [][]float32{{0.125, 0.25, 0.375}, {0.5, 0.625, 0.75}} // 1 to 6, divided by 8
	if got := b.Weights["block.1.dense.kernel"].Value(); !reflect.DeepEqual(got, want) {
		t.Errorf("block.1.dense.kernel is %v, want %v", got, want)
	}
}

// Every JSON field that a bundle can hold is described.
func TestFormatDocNamesEveryField(t *testing.T) {
	doc := formatDoc(t)
	var manifest map[string]any
	if err := json.Unmarshal([]byte(contents(t, tinyDir)["/manifest.json"]), &manifest); err != nil {
		t.Fatal(err)
	}
	fields := []string{"precision", "fit"}
	for name := range manifest {
		fields = append(fields, name)
	}
	for _, v := range []any{bundle.Data{}, bundle.Source{}, picture.Fit{}, backbone.MLP{}, backbone.ResNet{}, backbone.Encoder{}, backbone.ViT{}, laya.Config{}, exit.Policy{},
		exit.Certificate{}, prune.Plan{}, prune.Step{}, prune.Profile{}, prune.View{}, prune.Attention{}} {
		for field := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	for _, name := range fields {
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("docs/format.md does not name the field %q", name)
		}
	}
}

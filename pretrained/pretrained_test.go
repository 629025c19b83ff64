package pretrained_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/backbone/backbonetest"
	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/pretrained"
)

// tolerance bounds the difference from transformers, which computes in float32 too: hidden states are of order 1 and pass
// through some forty operations.
const tolerance = 1e-4

// expected is what testdata/make.py wrote down of the reference.
func expected(t *testing.T, dir string) layer.Weights {
	t.Helper()
	return tensorsOf(t, filepath.Join(dir, "expected.safetensors"))
}

func tensorsOf(t *testing.T, file string) layer.Weights {
	t.Helper()
	data, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	info, err := data.Stat()
	if err != nil {
		t.Fatal(err)
	}
	all, err := safetensors.Read(data, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func open(t *testing.T, dir string) *pretrained.Model {
	t.Helper()
	m, err := pretrained.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run evaluates the network; it returns the hidden state of every depth and the logits, nil without a head.
func run(t *testing.T, m *pretrained.Model, in *tensors.Tensor) (states []*tensors.Tensor, logits *tensors.Tensor) {
	t.Helper()
	state := []*tensors.Tensor{in}
	eval := func(op layer.Op, in ...*tensors.Tensor) []*tensors.Tensor {
		out, err := backbonetest.Eval([]layer.Op{op}, m.Weights, in...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, op := range backbone.Ops(m.Backbone) {
		state = eval(op, state...)
		states = append(states, state[0])
	}
	if m.Head.Kind == "" {
		return states, nil
	}
	depth := m.Backbone.Depth()
	head, err := laya.New(m.Head, []int{m.Backbone.TapDim(depth)})
	if err != nil {
		t.Fatal(err)
	}
	tap := eval(m.Backbone.Tap(depth), state...)
	carry := eval(head.Step(depth), tap...)
	return states, eval(head.Answer(depth), carry[0])[0]
}

// same compares values where mask, if there is one, is not 0; every mask value is for a row of got.
func same(t *testing.T, what string, got, want, mask *tensors.Tensor) {
	t.Helper()
	if !slices.Equal(got.Shape().Dimensions, want.Shape().Dimensions) {
		t.Fatalf("%s has shape %v, want %v", what, got.Shape().Dimensions, want.Shape().Dimensions)
	}
	a, b := tensors.MustCopyFlatData[float32](got), tensors.MustCopyFlatData[float32](want)
	var keep []float32
	width := 1
	if mask != nil {
		keep = tensors.MustCopyFlatData[float32](mask)
		width = len(a) / len(keep)
	}
	compared := 0
	for i := range a {
		if keep != nil && keep[i/width] == 0 {
			continue
		}
		compared++
		if !(math.Abs(float64(a[i])-float64(b[i])) <= tolerance) {
			t.Fatalf("%s: value %d is %v, want %v (tolerance %g)", what, i, a[i], b[i], tolerance)
		}
	}
	if compared == 0 {
		t.Fatalf("%s: nothing was compared", what)
	}
}

// Every hidden state of every family and its logits are those of transformers, for the ids that our tokenizer makes of the
// texts.
func TestTextModelsEqualTransformers(t *testing.T) {
	for _, name := range []string{"bert", "minilm", "distilbert", "roberta"} {
		t.Run(name, func(t *testing.T) { equalsTransformers(t, filepath.Join("testdata", name)) })
	}
}

// equalsTransformers compares a text model with the expected.safetensors beside it. At padding, which no answer depends
// on, states may differ.
func equalsTransformers(t *testing.T, dir string) {
	t.Helper()
	m, want := open(t, dir), expected(t, dir)
	states, logits := run(t, m, encode(t, dir, m, want))
	for k, state := range states {
		same(t, fmt.Sprintf("state %d", k), state, want[fmt.Sprintf("state.%d", k)], want["input.attention_mask"])
	}
	if want["logits"] != nil {
		same(t, "logits", logits, want["logits"], nil)
	}
	if err := m.Bundle("x", "test").Save(filepath.Join(t.TempDir(), "bundle")); err != nil {
		t.Error(err)
	}
}

// The states of the convnet are compared at some places, those that make.py keeps.
func TestResNetEqualsPyTorch(t *testing.T) {
	m, want := open(t, "testdata/resnet"), tensorsOf(t, "testdata/resnet.safetensors")
	states, logits := run(t, m, want["input.pixels"])
	for k, state := range states {
		same(t, fmt.Sprintf("state %d", k), some(state, 5, 3), want[fmt.Sprintf("state.%d", k)], nil)
	}
	same(t, "logits", logits, want["logits"], nil)
	if got := m.Classes; !slices.Equal(got, []string{"LABEL_0", "LABEL_1", "LABEL_2"}) || m.Tokenizer != nil || m.MaxLength != 0 {
		t.Errorf("classes are %q, and the length is %d", got, m.MaxLength)
	}
	if err := m.Bundle("x", "test").Save(filepath.Join(t.TempDir(), "bundle")); err != nil {
		t.Error(err)
	}
}

// some keeps every rows-th row and every columns-th column of [batch, height, width, channels].
func some(x *tensors.Tensor, rows, columns int) *tensors.Tensor {
	var kept [][][][]float32
	for _, image := range x.Value().([][][][]float32) {
		var some [][][]float32
		for y := 0; y < len(image); y += rows {
			var row [][]float32
			for x := 0; x < len(image[y]); x += columns {
				row = append(row, image[y][x])
			}
			some = append(some, row)
		}
		kept = append(kept, some)
	}
	return tensors.FromValue(kept)
}

// encode makes the batch of ids of the texts, and fails unless it is what the reference tokenizer made of them.
func encode(t *testing.T, dir string, m *pretrained.Model, want layer.Weights) *tensors.Tensor {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "texts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	if err := json.Unmarshal(text, &texts); err != nil {
		t.Fatal(err)
	}
	tokens, err := token.Load(m.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs := want["input.input_ids"].Value().([][]float32)
	batch := make([][]int32, len(texts))
	for i, text := range texts {
		batch[i] = tokens.Encode(text, m.MaxLength)
		for len(batch[i]) < len(wantIDs[i]) {
			batch[i] = append(batch[i], tokens.PadID())
		}
		for j, id := range wantIDs[i] {
			if len(batch[i]) != len(wantIDs[i]) || batch[i][j] != int32(id) {
				t.Fatalf("%q has ids %v, want %v", text, batch[i], wantIDs[i])
			}
		}
	}
	return tensors.FromValue(batch)
}

// What a checkpoint says besides the weights: its sizes, classes, length and how sentences are pooled.
func TestModels(t *testing.T) {
	classes := []string{"no", "perhaps", "yes"}
	for name, want := range map[string]struct {
		family, pool, pooler, activation string
		classes                          []string
		length                           int // of the position table, or less where sentence-transformers or the tokenizer say so
		unused                           []string
	}{
		"bert":   {"bert", "cls", "tanh", "gelu", classes, 24, nil},
		"minilm": {"bert", "mean", "", "gelu_tanh", nil, 16, []string{"pooler.dense.bias", "pooler.dense.weight"}},
		// 23 positions, of which the first two stand before those of tokens; the tokenizer says 20.
		"roberta":    {"roberta", "cls", "tanh", "gelu", classes, 20, nil},
		"distilbert": {"distilbert", "cls", "relu", "gelu", classes, 24, nil},
	} {
		m := open(t, filepath.Join("testdata", name))
		e := m.Backbone.(*backbone.Encoder)
		if m.Family != want.family || e.Pool != want.pool || e.Pooler != want.pooler || e.Activation != want.activation ||
			!slices.Equal(m.Classes, want.classes) || m.MaxLength != want.length || !slices.Equal(m.Unused, want.unused) {
			t.Errorf("%s: got %s %+v, classes %q, length %d, unused %q, want %+v", name, m.Family, e, m.Classes, m.MaxLength, m.Unused, want)
		}
		if b := m.Bundle("x", "y"); b.HasHead() != (want.classes != nil) {
			t.Errorf("%s: the bundle has a head: %t", name, b.HasHead())
		}
	}
}

package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"go.yaml.in/yaml/v3"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
)

// Recipe is a whole training run as one configuration file (YAML, or its subset JSON): which data, which network, how to
// train. What is left out has a default, some of which depend on the data; a resolved recipe holds all of it.
type Recipe struct {
	Data Data `json:"data"`
	// Backbone is what backbone.Decode reads. Its input is taken from the data if left out, for an encoder also vocab and
	// max_length. Left out whole, it is chosen by the kind of data.
	Backbone json.RawMessage `json:"backbone"`
	// Head is a prefix head that reads every depth, unless it says otherwise. Classes are those of the data.
	Head  json.RawMessage `json:"head"`
	Train Config          `json:"train"`
	// Start is the folder of a bundle to train on from, its network and its weights; backbone is then left out. With a head
	// other than the bundle's, or a bundle that has none, the backbone's weights get a new head.
	Start string `json:"start,omitempty"`
	// Blocks keeps only the first so many blocks of the bundle in Start, which then needs a new head; 0 keeps all.
	Blocks int `json:"blocks,omitempty"`
}

// Data says which data set to use, how to read it and, for text, how to encode it.
type Data struct {
	bundle.Source
	// Vocabulary and MaxLength are for text: the size of the vocabulary built from the training texts and the most tokens
	// of an input.
	Vocabulary int `json:"vocabulary,omitempty"`
	MaxLength  int `json:"max_length,omitempty"`
}

// DefaultRecipe trains on the embedded digits.
func DefaultRecipe() Recipe {
	return Recipe{Data: Data{Source: bundle.Source{Name: "digits"}}, Train: Default()}
}

// Load loads the four splits of a source; dir is the folder of the known sets, fit brings images to their size.
func Load(ctx context.Context, s bundle.Source, fit picture.Fit, dir string) (*dataset.Splits, error) {
	return dataset.Load(ctx, s.Name, dataset.Options{
		Dir: dir, Seed: s.Seed, TextColumn: s.TextColumn, LabelColumn: s.LabelColumn, Dims: s.Dims, Fit: fit, Classes: s.Classes,
		Sizes: dataset.Sizes{Validation: s.ValidationSize, Calibration: s.CalibrationSize, Test: s.TestSize},
	})
}

// ErrRecipe is in the errors of a recipe that asks for what cannot be, whatever it is trained on.
var ErrRecipe = errors.New("train: recipe")

// ParseRecipe reads a recipe in YAML over the defaults. Unknown fields are errors.
func ParseRecipe(text []byte) (Recipe, error) {
	r := DefaultRecipe()
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) { // nothing but comments
		return r, nil
	} else if err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if root := document.Content[0]; root.Kind != yaml.MappingNode && root.Tag != "!!null" {
		return r, fmt.Errorf("%w: line %d: want fields such as train: {epochs: 3}", ErrRecipe, root.Line)
	}
	var tree map[string]any
	if err := document.Decode(&tree); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("%w: more than one YAML document", ErrRecipe)
	}
	if tree == nil {
		return r, nil
	}
	data, err := json.Marshal(tree)
	if wrong, ok := errors.AsType[*json.UnsupportedValueError](err); ok {
		return r, fmt.Errorf("%w: a value is %s, want finite numbers", ErrRecipe, wrong.Str)
	}
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if err := strict.Decode(data, &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return r, nil
}

// trainable reports data that nothing can be learnt from.
func (d Data) trainable(s *dataset.Splits) error {
	if classes := s.Train.Classes; len(classes) < 2 {
		return fmt.Errorf("train: data %q: the classes are %q, want at least two", d.Name, classes)
	}
	if s.Train.Len() == 0 || s.Validation.Len() == 0 {
		return fmt.Errorf("train: data %q: of %d samples %d are left to train on and %d for validation, want some of each: give more, or set validation_size",
			d.Name, s.Train.Len()+s.Validation.Len()+s.Calibration.Len()+s.Test.Len(), s.Train.Len(), s.Validation.Len())
	}
	return nil
}

// Resolved is a recipe with everything it leads to.
type Resolved struct {
	Recipe  Recipe // with nothing left out
	Splits  *dataset.Splits
	Network *compile.Network
	// Tokenizer is tokenizer.json and Tokens what it reads; nil unless the data is text.
	Tokenizer []byte
	Tokens    *token.Tokenizer
	// Fit brings images to their size: the zero value unless the recipe starts from a bundle that has another.
	Fit picture.Fit
	// Start are the weights to begin with; nil unless the recipe starts from a bundle, and without those of a new head.
	Start layer.Weights
}

// Resolve loads the data from dir, the folder of the known sets, builds the tokenizer and the network and fills in what
// the recipe leaves out.
func (r Recipe) Resolve(ctx context.Context, dir string) (*Resolved, error) {
	if err := r.Train.Validate(); err != nil {
		return nil, err
	}
	start, err := r.openStart()
	if err != nil {
		return nil, err
	}
	splits, err := Load(ctx, r.Data.Source, start.Fit, dir)
	if err != nil {
		return nil, err
	}
	if err := r.Data.trainable(splits); err != nil {
		return nil, err
	}
	out := &Resolved{Splits: splits, Fit: start.Fit}
	if r.Blocks != 0 && r.Start == "" {
		return nil, fmt.Errorf("%w: blocks is %d, but there is no start to take them from", ErrRecipe, r.Blocks)
	}
	if r.Start != "" {
		if err := out.startFrom(start, &r); err != nil {
			return nil, err
		}
		out.Recipe = r
		return out, nil
	}
	if splits.Train.IsText() {
		if err := out.buildTokenizer(&r.Data); err != nil {
			return nil, err
		}
	}
	b, err := r.backbone(splits.Train, out.Tokens)
	if err != nil {
		return nil, err
	}
	head, err := r.head(b, len(splits.Train.Classes))
	if err != nil {
		return nil, err
	}
	if out.Network, err = compile.NewNetwork(b, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	if r.Backbone, err = backbone.Encode(b); err != nil {
		return nil, err
	}
	if r.Head, err = encodeHead(head); err != nil {
		return nil, err
	}
	out.Recipe = r
	return out, nil
}

// Job is the training of the resolved recipe; Dir, Watch and the rest are the caller's to set.
func (r *Resolved) Job(backend compute.Backend) (Job, error) {
	text, err := json.MarshalIndent(r.Recipe, "", "  ") // JSON is YAML
	if err != nil {
		return Job{}, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return Job{
		Config: r.Recipe.Train, Network: r.Network, Backend: backend, Train: r.Splits.Train, Validation: r.Splits.Validation,
		Tokens: r.Tokens, MaxLength: r.Recipe.Data.MaxLength, Start: r.Start, Recipe: append(text, '\n'),
	}, nil
}

func (out *Resolved) buildTokenizer(d *Data) error {
	if d.Vocabulary == 0 {
		d.Vocabulary = 8192
	}
	if d.MaxLength == 0 {
		d.MaxLength = 64
	}
	if d.Vocabulary < 1 || d.MaxLength < 1 {
		return fmt.Errorf("%w: data: vocabulary is %d and max_length %d, want at least 1", ErrRecipe, d.Vocabulary, d.MaxLength)
	}
	var err error
	if out.Tokenizer, err = token.Build(out.Splits.Train.Texts, d.Vocabulary); err != nil {
		return err
	}
	out.Tokens, err = token.Load(out.Tokenizer)
	return err
}

// backbone decodes the backbone, with the fields that follow from the data filled in.
func (r Recipe) backbone(data *dataset.Set, tokens *token.Tokenizer) (backbone.Backbone, error) {
	var fields map[string]any
	if r.Backbone != nil {
		if err := json.Unmarshal(r.Backbone, &fields); err != nil {
			return nil, fmt.Errorf("%w: backbone: %w", ErrRecipe, err)
		}
	}
	if fields == nil {
		fields = defaultBackbone(data)
	}
	fill := func(name string, value any) {
		if _, given := fields[name]; !given {
			fields[name] = value
		}
	}
	if kind := fields["kind"]; !data.IsText() && kind == "encoder" || data.IsText() && slices.Contains([]any{"mlp", "resnet", "vit"}, kind) {
		return nil, fmt.Errorf("%w: backbone: kind is %q, which does not read %s", ErrRecipe, kind, samplesOf(data))
	}
	if data.IsText() {
		fill("vocab", tokens.VocabSize())
		fill("max_length", r.Data.MaxLength)
		fill("pad_id", tokens.PadID())
	} else {
		fill("input", data.Dims)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("%w: backbone: %w", ErrRecipe, err)
	}
	b, err := backbone.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	return b, nil
}

// samplesOf names what the samples of a set are.
func samplesOf(data *dataset.Set) string {
	if data.IsText() {
		return "texts"
	}
	return fmt.Sprintf("samples of dims %v", data.Dims)
}

// defaultBackbone is a small network for the kind of data: an encoder for text, a residual convnet for images and a
// residual MLP for tables and for images too small to convolve.
func defaultBackbone(data *dataset.Set) map[string]any {
	switch {
	case data.IsText():
		return map[string]any{"kind": "encoder", "layers": 4, "dim": 128, "heads": 4, "hidden": 512}
	case len(data.Dims) == 3 && data.Dims[0] >= 16 && data.Dims[1] >= 16:
		stage := func(channels int) any { return map[string]any{"channels": channels, "blocks": 3} }
		return map[string]any{"kind": "resnet", "stages": []any{stage(16), stage(32), stage(64)}}
	default:
		return map[string]any{"kind": "mlp", "widths": []int{512, 512, 512, 512, 512, 512, 512, 512}, "residual": true}
	}
}

// head decodes the head over the default: prefix, reading every depth.
func (r Recipe) head(b backbone.Backbone, classes int) (laya.Config, error) {
	var given laya.Config
	if r.Head != nil {
		if err := strict.Decode(r.Head, &given); err != nil {
			return given, fmt.Errorf("%w: head: %w", ErrRecipe, err)
		}
	}
	head := given
	if given.Kind == "" || given.Kind == laya.Prefix {
		head = laya.Default(nil, classes)
		if r.Head != nil {
			if err := strict.Decode(r.Head, &head); err != nil {
				return given, fmt.Errorf("%w: head: %w", ErrRecipe, err)
			}
		}
	}
	if given.Classes == 0 {
		head.Classes = classes
	}
	if head.Classes != classes {
		return head, fmt.Errorf("%w: head: classes is %d, want the data's %d", ErrRecipe, head.Classes, classes)
	}
	if len(head.Reads) == 0 {
		head.Reads = defaultReads(head.Kind, b.Depth())
	}
	return head, nil
}

// encodeHead writes a head so that reading it over the defaults gives it back: the JSON form leaves zero values out, so
// those whose default is another are put in.
func encodeHead(head laya.Config) (json.RawMessage, error) {
	short, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrRecipe, err)
	}
	var fields map[string]any
	if err := json.Unmarshal(short, &fields); err != nil {
		return nil, fmt.Errorf("%w: head: %w", ErrRecipe, err)
	}
	if head.Kind == laya.Prefix {
		given, defaults := reflect.ValueOf(head), reflect.ValueOf(laya.Default(nil, 0))
		for i := range given.NumField() {
			if given.Field(i).IsZero() && !defaults.Field(i).IsZero() {
				name, _, _ := strings.Cut(given.Type().Field(i).Tag.Get("json"), ",")
				fields[name] = given.Field(i).Interface()
			}
		}
	}
	return json.Marshal(fields)
}

// defaultReads is every depth the kind can use.
func defaultReads(kind string, depth int) []int {
	first := 1
	switch kind {
	case laya.Prefix, laya.Linear:
		first = 0
	case laya.LastLayer:
		first = depth
	}
	var reads []int
	for k := first; k <= depth; k++ {
		reads = append(reads, k)
	}
	return reads
}

package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/layer"
)

// Job is what to train on what. [Resolved.Job] makes one from a recipe.
type Job struct {
	Config  Config
	Network *compile.Network
	Backend compute.Backend
	// Train and Validation are the samples; Validation picks the best epoch.
	Train, Validation *dataset.Set
	// Tokens encodes texts, with at most MaxLength ids each; unused for images and tables.
	Tokens    *token.Tokenizer
	MaxLength int
	// Start are the weights to begin with: all of the backbone's, and those of taps and head that are not to be drawn from
	// the seed. nil draws all.
	Start layer.Weights
	// Dir is the run folder; empty keeps nothing on disk, and then nothing can be resumed.
	Dir string
	// Recipe is the configuration to keep in Dir as [RecipeFile]; nil keeps none.
	Recipe []byte
	// Restart forgets the run that Dir holds.
	Restart bool
	// Resumed, if not nil, is told when the run goes on from a checkpoint, before the first step.
	Resumed func(Resumption)
	// Caching, if not nil, is told how far the taps of a frozen backbone are computed, before the first step.
	Caching func(Caching)
	// Watch, if not nil, is told after every step and every epoch.
	Watch func(Progress)
}

// Caching says how many samples of a split have their taps.
type Caching struct {
	Split    string // "train" or "validation"
	Done, Of int
	Left     time.Duration // about; 0 as long as nothing is known
}

// Resumption says where a run goes on.
type Resumption struct {
	Epoch, Epochs int // epochs finished, of how many
	Step, Steps   int // steps finished
	// Skipped are the faults of newer checkpoints that were damaged.
	Skipped []error
}

// Progress is where a run stands.
type Progress struct {
	Epoch, Epochs int // epochs are counted from 1
	Step, Steps   int // of the whole run
	Loss          float64
	// Left is about how long the steps that are left will take; 0 as long as nothing is known.
	Left time.Duration
	// Done is set after each epoch.
	Done *Epoch
}

// check reports what does not fit together, before anything is compiled or written.
func (j Job) check() error {
	if err := j.Config.Validate(); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		set  *dataset.Set
	}{{"training", j.Train}, {"validation", j.Validation}} {
		if err := j.checkSet(part.set); err != nil {
			return fmt.Errorf("train: the %s split %w", part.name, err)
		}
	}
	if j.Train.IsText() {
		return j.checkText()
	}
	if dims := j.Train.Dims; (j.Config.Shift > 0 || j.Config.Flip) && len(dims) != 3 {
		return fmt.Errorf("train: shift is %d and flip is %t, want 0 and false: samples of dims %v are no images", j.Config.Shift, j.Config.Flip, dims)
	} else if j.Config.Shift > 0 && j.Config.Shift >= min(dims[0], dims[1]) {
		return fmt.Errorf("train: shift is %d, want less than the images' %d x %d pixels", j.Config.Shift, dims[0], dims[1])
	}
	return nil
}

// checkSet reports why the network cannot be trained on a split; the message goes on from its name.
func (j Job) checkSet(set *dataset.Set) error {
	if set.Len() == 0 {
		return fmt.Errorf("is empty")
	}
	if i := slices.Index(set.Labels, dataset.Unknown); i >= 0 {
		return fmt.Errorf("has no label for sample %d", i)
	}
	if classes := j.Network.Head.Config().Classes; len(set.Classes) != classes {
		return fmt.Errorf("has %d classes, want the head's %d", len(set.Classes), classes)
	}
	if !slices.Equal(set.Classes, j.Train.Classes) {
		return fmt.Errorf("has classes %q, want those of the training split, %q", set.Classes, j.Train.Classes)
	}
	input := j.Network.Backbone.Input().Dims
	if set.IsText() != j.Network.Sequences() || !set.IsText() && !slices.Equal(set.Dims, input) {
		return fmt.Errorf("has samples of dims %v, want the network's input, %v", set.Dims, input)
	}
	return nil
}

// checkText reports ids or lengths that the network has no rows for; in a graph they would read another row.
func (j Job) checkText() error {
	if j.Tokens == nil {
		return fmt.Errorf("train: texts need a tokenizer")
	}
	if j.MaxLength < 1 {
		return fmt.Errorf("train: max_length is %d, want at least 1", j.MaxLength)
	}
	e, ok := j.Network.Backbone.(*backbone.Encoder)
	if !ok {
		return nil
	}
	if size := j.Tokens.VocabSize(); size > e.Vocab {
		return fmt.Errorf("train: the backbone's vocab is %d, want at least the tokenizer's %d", e.Vocab, size)
	}
	if j.MaxLength > e.MaxLength {
		return fmt.Errorf("train: max_length is %d, want at most %d, the rows of the backbone's position table", j.MaxLength, e.MaxLength)
	}
	return nil
}

// identity is the digest of everything that decides how the run goes on, but for machine and backend.
func (j Job) identity() (string, error) {
	config, err := json.Marshal(j.Config)
	if err != nil {
		return "", fmt.Errorf("train: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%d\n", config, j.Train.Digest(), j.Validation.Digest(), j.MaxLength)
	for _, op := range j.Network.Ops() {
		fmt.Fprintf(h, "%s %s %v\n", op.Name, op.Signature, op.Params)
	}
	if j.Start != nil {
		if err := safetensors.Write(h, j.Start); err != nil {
			return "", fmt.Errorf("train: start: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// first are the weights before the first step.
func (j Job) first() (layer.Weights, error) {
	weights := j.fresh()
	if j.Start == nil {
		return weights, nil
	}
	for _, p := range layer.ParamsOf(backbone.Ops(j.Network.Backbone)...) {
		if j.Start[p.Name] == nil {
			return nil, fmt.Errorf("train: start: weight %q of the backbone is missing", p.Name)
		}
	}
	maps.Copy(weights, j.Start)
	return weights, nil
}

// fresh draws the first weights from the seed and sets the stem's statistics, if it has any, from the training data.
func (j Job) fresh() layer.Weights {
	weights := layer.NewWeights(j.Network.Params(), j.Config.Seed)
	if !j.Config.Standardise || j.Train.IsText() {
		return weights
	}
	mean, std := j.Train.Moments()
	for i, s := range std {
		if s < 1e-6 { // a constant feature says nothing: leave it at its distance from the mean
			std[i] = 1
		}
	}
	for name, value := range map[string][]float32{"stem.mean": mean, "stem.std": std} {
		if t, ok := weights[name]; ok && t.Shape().Size() == len(value) {
			weights[name] = tensors.FromFlatDataAndDimensions(value, len(value))
		}
	}
	return weights
}

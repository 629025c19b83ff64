// Package bundle is what a network looks like on disk: a folder that holds everything needed to serve it.
//
//	manifest.json        what the network is, and size and sha256 of every other file
//	weights.safetensors  all weights, float32 or, to save space, half of that
//	tokenizer.json       text only, optional
//	profile.json         attention over depth, optional
//	plan.json            what was pruned and why, optional
//	policies.json        when samples may leave, optional
//
// [Open] verifies all of it and refuses a folder that is not exactly what its manifest says; [Bundle.Save] writes one, or
// leaves what was there. docs/format.md describes the files for readers and writers in other languages.
//
// A bundle made by a later version of the format is refused, never read by guess. Nothing here runs the network.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
	"github.com/layarun/layarun/prune"
)

// Bundle is a network with all that belongs to it. It is a plain value: change its fields and Save it.
type Bundle struct {
	Name      string // what people and servers call it
	CreatedBy string // program and version that wrote it
	Backbone  backbone.Backbone
	Head      laya.Config   // the zero value of a backbone that has no head yet, and answers nothing until it is trained with one
	Weights   layer.Weights // those of Backbone, of its taps at Head.Reads, and of the head; nothing else
	Precision string        // of the weights on disk: "" for float32, or what Round was given
	Classes   []string      // names in the order of the logits; none without a head
	MaxLength int           // tokens of the longest input, longer ones are cut; 0 unless the backbone reads tokens
	Tokenizer []byte        // a Hugging Face tokenizer.json; nil if there is none
	Fit       picture.Fit   // how encoded pictures become samples; the zero value unless the backbone reads images
	Data      *Data         // nil if not known
	// Train are numbers to remember about the training, by name. They decide nothing.
	Train    map[string]float64
	Profile  *prune.Profile
	Plan     *prune.Plan
	Policies []exit.Policy // by name; the first is the default, and without any samples never leave early
}

// Data says what the network was trained, chosen, certified and reported on. The digests are the data set's own: whoever
// loads Source again compares them before using a split for what it was kept for.
type Data struct {
	Source
	Train       string `json:"train"`
	Validation  string `json:"validation"`
	Calibration string `json:"calibration"`
	Test        string `json:"test"`
}

// Source says how samples are found and divided: a known set's name or a path, and what dataset.Options need to read it
// the same way again.
type Source struct {
	Name            string   `json:"name"`
	Seed            uint64   `json:"seed"` // of the split
	ValidationSize  int      `json:"validation_size,omitempty"`
	CalibrationSize int      `json:"calibration_size,omitempty"`
	TestSize        int      `json:"test_size,omitempty"`
	TextColumn      string   `json:"text_column,omitempty"`
	LabelColumn     string   `json:"label_column,omitempty"`
	Dims            []int    `json:"dims,omitempty"`
	Classes         []string `json:"classes,omitempty"`
}

// maxDepth bounds what a manifest of a few bytes can make the reader build.
const maxDepth = 4096

// validate reports what is wrong with b, naming the file: whether head and weights fit the backbone, classes the head,
// policies the exits, and certificates the digest. Open and Save both ask it.
func (b *Bundle) validate() error {
	if b.Backbone == nil {
		return fmt.Errorf("%s: no backbone", manifestFile)
	}
	if err := b.Backbone.Validate(); err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	if b.HasHead() {
		if err := b.Head.Validate(); err != nil {
			return fmt.Errorf("%s: %w", manifestFile, err)
		}
	}
	if err := errors.Join(b.checkHead(), b.checkInput(), b.checkNotes()); err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	params, err := b.Params()
	if err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	if err := layer.CheckWeights(b.Weights, params); err != nil {
		return fmt.Errorf("%s: %w", weightsFile, err)
	}
	if err := b.checkFolded(); err != nil {
		return fmt.Errorf("%s: %w", manifestFile, err)
	}
	if b.Tokenizer != nil && !json.Valid(b.Tokenizer) {
		return fmt.Errorf("%s: not valid JSON", tokenizerFile)
	}
	if b.Profile != nil {
		if err := b.Profile.Validate(); err != nil {
			return fmt.Errorf("%s: %w", profileFile, err)
		}
	}
	if _, err := json.Marshal(b.Plan); err != nil { // Digest relies on it
		return fmt.Errorf("%s: %w", planFile, err)
	}
	if err := b.checkPolicies(); err != nil {
		return fmt.Errorf("%s: %w", policiesFile, err)
	}
	return nil
}

func (b *Bundle) checkHead() error {
	depth := b.Backbone.Depth()
	if depth < 1 || depth > maxDepth {
		return fmt.Errorf("backbone has %d blocks, want 1 to %d", depth, maxDepth)
	}
	if !b.HasHead() {
		return b.checkNoHead()
	}
	if last := b.Head.Reads[len(b.Head.Reads)-1]; last != depth {
		return fmt.Errorf("head: the last of reads is %d, want the backbone's depth %d", last, depth)
	}
	if len(b.Classes) != b.Head.Classes {
		return fmt.Errorf("classes: %d names, want %d as the head has", len(b.Classes), b.Head.Classes)
	}
	for i, name := range b.Classes {
		if name == "" || slices.Contains(b.Classes[:i], name) {
			return fmt.Errorf("classes: name %d is %q, want names that differ and are not empty", i, name)
		}
	}
	return nil
}

// checkNoHead reports what only a network with a head can have.
func (b *Bundle) checkNoHead() error {
	if len(b.Classes) > 0 || b.Profile != nil || b.Plan != nil || len(b.Policies) > 0 {
		return errors.New("head is missing, want one with classes, profile, plan or policies")
	}
	return nil
}

func (b *Bundle) checkInput() error {
	if text := b.Backbone.Input().DType == dtypes.Int32; text && b.MaxLength < 1 {
		return fmt.Errorf("input: max_length is %d, want at least 1 for a backbone that reads tokens", b.MaxLength)
	} else if !text && (b.MaxLength != 0 || b.Tokenizer != nil) {
		return fmt.Errorf("input: max_length is %d and the tokenizer has %d bytes, want neither: the backbone does not read tokens", b.MaxLength, len(b.Tokenizer))
	}
	if !b.Fit.IsZero() {
		if err := b.Fit.Validate(b.Backbone.Input().Dims); err != nil {
			return fmt.Errorf("input: fit: %w", err)
		}
	}
	// The one fact about length that a backbone's Spec cannot tell.
	if e, ok := b.Backbone.(*backbone.Encoder); ok && b.MaxLength > e.MaxLength {
		return fmt.Errorf("input: max_length is %d, want at most %d, the rows of the backbone's position table", b.MaxLength, e.MaxLength)
	}
	return nil
}

// checkFolded reports a training form: a bundle holds the form that runs. The weights must fit the backbone.
func (b *Bundle) checkFolded() error {
	f, ok := b.Backbone.(backbone.Folder)
	if !ok {
		return nil
	}
	folded, _, err := f.Fold(b.Weights)
	if err == nil && !reflect.DeepEqual(folded, b.Backbone) {
		err = errors.New("backbone is in its training form, want the form that Fold returns")
	}
	return err
}

func (b *Bundle) checkNotes() error {
	if b.Name == "" {
		return errors.New("name is empty")
	}
	if _, err := backbone.Encode(b.Backbone); err != nil { // Digest relies on it
		return err
	}
	if _, err := b.precision(); err != nil {
		return err
	}
	for name, v := range b.Train {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("train: %s is %v, want a finite number", name, v)
		}
	}
	return nil
}

func (b *Bundle) checkPolicies() error {
	digest := ""
	for i, p := range b.Policies {
		if p.Name == "" || slices.ContainsFunc(b.Policies[:i], func(q exit.Policy) bool { return q.Name == p.Name }) {
			return fmt.Errorf("name of policy %d is %q, want names that differ and are not empty", i, p.Name)
		}
		if err := p.Validate(b.Head.Exits()); err != nil {
			return fmt.Errorf("policy %q: %w", p.Name, err)
		}
		if p.Name == exit.Full().Name && len(p.Exits) > 0 {
			return fmt.Errorf("policy %q leaves at %v, want no exits: the name is reserved", p.Name, p.Exits)
		}
		if p.Certificate == nil {
			continue
		}
		if digest == "" {
			digest = b.Digest()
		}
		if p.Certificate.Bundle != digest {
			return fmt.Errorf("policy %q: its certificate holds for bundle %s, but this is %s: %w", p.Name, p.Certificate.Bundle, digest, ErrCertificate)
		}
	}
	return nil
}

// ErrCertificate is wrapped by the errors of Open and Save for a policy whose certificate was made for another network.
// Whoever changed the network on purpose saves b.WithoutCertificates().
var ErrCertificate = errors.New("certificate is void")

// WithoutCertificates returns a copy of b whose policies keep their thresholds but promise nothing.
func (b *Bundle) WithoutCertificates() *Bundle {
	c := *b
	c.Policies = slices.Clone(b.Policies)
	for i := range c.Policies {
		c.Policies[i].Certificate = nil
	}
	return &c
}

// HasHead reports whether the network can answer. A backbone and its weights alone are what an import of a pretrained encoder
// leaves; training gives them a head.
func (b *Bundle) HasHead() bool { return !reflect.ValueOf(b.Head).IsZero() }

// TapDims are the widths of the taps that the head reads, in the order of Head.Reads.
func (b *Bundle) TapDims() []int {
	dims := make([]int, len(b.Head.Reads))
	for i, d := range b.Head.Reads {
		dims[i] = b.Backbone.TapDim(d)
	}
	return dims
}

// Params are the parameters of the whole network under their full names: stem and blocks, the taps that the head reads,
// and the head. Backbone and Head must be valid.
func (b *Bundle) Params() ([]layer.Param, error) {
	if !b.HasHead() {
		return layer.ParamsOf(backbone.Ops(b.Backbone)...), nil
	}
	head, err := laya.New(b.Head, b.TapDims())
	if err != nil {
		return nil, err
	}
	ops := backbone.Ops(b.Backbone)
	for _, d := range b.Head.Reads {
		ops = append(ops, b.Backbone.Tap(d))
	}
	return layer.ParamsOf(append(ops, laya.Ops(head)...)...), nil
}

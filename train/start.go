package train

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
)

// openStart opens the bundle that the recipe starts from; it is empty if there is none. Images are brought to the size that
// its network reads.
func (r *Recipe) openStart() (*bundle.Bundle, error) {
	if r.Start == "" {
		return &bundle.Bundle{}, nil
	}
	b, err := bundle.Open(r.Start)
	if err != nil {
		return nil, err
	}
	if dims := b.Backbone.Input().Dims; r.Data.Dims == nil && picture.CheckDims(dims) == nil {
		r.Data.Dims = dims
	}
	return b, nil
}

// startFrom makes network, first weights and tokenizer those of the bundle that the recipe starts from. Where the bundle has
// no head, or the recipe asks for another, the network has a new one for the classes of the data. The bundle holds the
// inference form, so a convnet trains on without batch normalisation.
func (out *Resolved) startFrom(b *bundle.Bundle, r *Recipe) error {
	if r.Blocks != 0 {
		if err := truncate(b, r.Blocks); err != nil {
			return err
		}
	}
	head, err := out.headFrom(r, b)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(head, b.Head) {
		b.Backbone = reading(b.Backbone, head)
	}
	network, err := backbone.Encode(b.Backbone)
	if err != nil {
		return err
	}
	if r.Backbone != nil && !same(r.Backbone, network) { // a resolved recipe has both
		return fmt.Errorf("train: recipe: start and backbone are both given: a run that starts from a bundle has its backbone")
	}
	if out.Network, err = compile.NewNetwork(b.Backbone, head); err != nil {
		return fmt.Errorf("%w: %w", ErrRecipe, err)
	}
	r.Backbone = network
	if r.Head, err = encodeHead(head); err != nil {
		return err
	}
	out.Start, out.Tokenizer = b.Weights, b.Tokenizer
	if !reflect.DeepEqual(head, b.Head) {
		out.Start = withoutHead(b.Weights, out.Network)
	}
	if b.Tokenizer != nil {
		if r.Data.MaxLength == 0 {
			r.Data.MaxLength = b.MaxLength
		}
		out.Tokens, err = token.Load(b.Tokenizer)
	}
	return err
}

// reading lets a new head with several exits read the mean over tokens or patches where the old one read the first place:
// that is the same for every input before the first block, and a pooler has learnt to read it after the last. Reading a
// pooler, the exits of a fine-tuned BERT knew nothing before the fifth of six blocks (docs/adr/0014).
func reading(b backbone.Backbone, head laya.Config) backbone.Backbone {
	if len(head.Exits()) == 1 {
		return b
	}
	switch b := b.(type) {
	case *backbone.Encoder:
		mean := *b
		mean.Pool, mean.Pooler = "mean", ""
		return &mean
	case *backbone.ViT:
		mean := *b
		mean.Pool = "mean"
		return &mean
	}
	return b
}

// same reports whether a backbone of a recipe, in whatever order of fields, is the given one.
func same(given, network []byte) bool {
	b, err := backbone.Decode(given)
	if err != nil {
		return false
	}
	text, err := backbone.Encode(b)
	return err == nil && bytes.Equal(text, network)
}

// truncate leaves the first so many blocks of a bundle, and no head where any were cut.
func truncate(b *bundle.Bundle, blocks int) error {
	depth := b.Backbone.Depth()
	if blocks < 1 || blocks > depth {
		return fmt.Errorf("%w: blocks is %d, want 1 to the %d of start", ErrRecipe, blocks, depth)
	}
	if blocks == depth {
		return nil
	}
	var kept []int
	for k := range blocks {
		kept = append(kept, k+1)
	}
	smaller, err := b.Backbone.Keep(kept)
	if err != nil {
		return err
	}
	if b.Weights, err = backbone.KeepWeights(b.Backbone, b.Weights, kept); err != nil {
		return err
	}
	b.Backbone, b.Head, b.Classes = smaller, laya.Config{}, nil
	return nil
}

// headFrom is the head that the recipe asks for, by default that of the bundle.
func (out *Resolved) headFrom(r *Recipe, b *bundle.Bundle) (laya.Config, error) {
	classes := out.Splits.Train.Classes
	head := b.Head
	if r.Head != nil || !b.HasHead() {
		var err error
		if head, err = r.head(b.Backbone, len(classes)); err != nil {
			return head, err
		}
	}
	if reflect.DeepEqual(head, b.Head) && !slices.Equal(b.Classes, classes) {
		return head, fmt.Errorf("train: start: %s knows other classes than the data: %d against %d; give another head for it to learn those of the data",
			r.Start, len(b.Classes), len(classes))
	}
	return head, nil
}

// withoutHead are the weights that a network with another head takes over: the backbone's, and those of taps that the head
// reads. A tap that has none begins as the deepest one that has: what a pooler or a norm has learnt at one depth is nearer
// to what another needs than what is drawn.
func withoutHead(weights layer.Weights, n *compile.Network) layer.Weights {
	kept := layer.Weights{}
	for _, p := range n.Params() {
		if t, ok := weights[p.Name]; ok && !strings.HasPrefix(p.Name, laya.SharedName+".") {
			kept[p.Name] = t
		}
	}
	for _, d := range n.Head.Config().Reads {
		tap := n.Backbone.Tap(d)
		for _, p := range tap.Params {
			if kept[tap.FullName(p)] != nil {
				continue
			}
			if t := deepestTap(weights, n.Backbone, p); t != nil {
				kept[tap.FullName(p)] = t
			}
		}
	}
	return kept
}

// deepestTap is the weight of a tap's parameter at the greatest depth that has it in this shape, or nil.
func deepestTap(weights layer.Weights, b backbone.Backbone, p layer.Param) *tensors.Tensor {
	for d := b.Depth(); d >= 0; d-- {
		if t, ok := weights[b.Tap(d).FullName(p)]; ok && slices.Equal(t.Shape().Dimensions, p.Dims) {
			return t
		}
	}
	return nil
}

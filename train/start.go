package train

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// startFrom makes network, first weights and tokenizer those of the bundle that the recipe starts from. Where the bundle has
// no head, or the recipe asks for another, the network has a new one for the classes of the data. The bundle holds the
// inference form, so a convnet trains on without batch normalisation.
func (out *Resolved) startFrom(r *Recipe) error {
	b, err := bundle.Open(r.Start)
	if err != nil {
		return err
	}
	network, err := backbone.Encode(b.Backbone)
	if err != nil {
		return err
	}
	if r.Backbone != nil && !bytes.Equal(r.Backbone, network) {
		return fmt.Errorf("train: recipe: start and backbone are both given: a run that starts from a bundle has its backbone")
	}
	head, err := out.headFrom(r, b)
	if err != nil {
		return err
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
// reads.
func withoutHead(weights layer.Weights, n *compile.Network) layer.Weights {
	kept := layer.Weights{}
	for _, p := range n.Params() {
		if t, ok := weights[p.Name]; ok && !strings.HasPrefix(p.Name, laya.SharedName+".") {
			kept[p.Name] = t
		}
	}
	return kept
}

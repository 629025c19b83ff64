package train

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/token"
)

// startFrom makes network, first weights and tokenizer those of the bundle that the recipe starts from. The bundle holds
// the inference form, so a convnet trains on without batch normalisation.
func (out *Resolved) startFrom(r *Recipe) error {
	b, err := bundle.Open(r.Start)
	if err != nil {
		return err
	}
	if !slices.Equal(b.Classes, out.Splits.Train.Classes) {
		return fmt.Errorf("train: start: %s knows other classes than the data: %d against %d", r.Start, len(b.Classes), len(out.Splits.Train.Classes))
	}
	if out.Network, err = compile.NewNetwork(b.Backbone, b.Head); err != nil {
		return err
	}
	network, err := backbone.Encode(b.Backbone)
	if err != nil {
		return err
	}
	head, err := encodeHead(b.Head)
	if err != nil {
		return err
	}
	for _, given := range []struct {
		name      string
		have, own []byte
	}{{"backbone", r.Backbone, network}, {"head", r.Head, head}} {
		if given.have != nil && !bytes.Equal(given.have, given.own) {
			return fmt.Errorf("train: recipe: start and %s are both given: a run that starts from a bundle has its %s", given.name, given.name)
		}
	}
	r.Backbone, r.Head = network, head
	out.Start, out.Tokenizer = b.Weights, b.Tokenizer
	if b.Tokenizer != nil {
		r.Data.MaxLength = b.MaxLength
		out.Tokens, err = token.Load(b.Tokenizer)
	}
	return err
}

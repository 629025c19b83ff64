package backbone

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"github.com/layarun/layarun/layer"
)

func init() {
	Register("encoder", func() Backbone {
		return &Encoder{
			Vocab: 30522, MaxLength: 512, Layers: 6, Dim: 384, Heads: 12, Hidden: 1536,
			Norm: "post", Positions: "learned", Activation: "gelu", Epsilon: 1e-12, Pool: "mean", Dropout: 0.1,
		}
	})
}

// Encoder is a transformer encoder over token ids, as BERT (Devlin et al. 2019). The defaults are the shape of
// MiniLM-L6-H384 without token types.
//
// A sample is a row of ids below Vocab, Int32 [Length]; ids equal to PadID are padding. A state is the hidden state
// [batch, Length, Dim] and the mask [batch, Length], 1 at tokens and 0 at padding. The stem is
// LayerNorm(word[id] + position[i] + token_type[0]). With attention A and feed-forward F, both over the last axis, a
// block is
//
//	post:  h ← LayerNorm(h + A(h));  h ← LayerNorm(h + F(h))
//	pre:   h ← h + A(LayerNorm(h));  h ← h + F(LayerNorm(h))
//
// Blocks of a pre-norm encoder leave the state unnormalised, so each of its taps has a layer norm of its own; the one
// at the last depth is what other programs call the final norm. Taps of a post-norm encoder have no weights.
//
// A pooler is a dense layer and an activation on the pooled vector, part of the tap: BERT and RoBERTa classify
// tanh(dense(h at the first token)), DistilBERT ReLU(dense(h at the first token)). Each tap has one of its own.
//
// Weights of a Hugging Face BERT map one to one. Kernels there are [out, in] and must be transposed; "…" is
// encoder.layer.<k-1>.
//
//	stem.word           [Vocab, Dim]       embeddings.word_embeddings.weight
//	stem.position       [MaxLength, Dim]   embeddings.position_embeddings.weight
//	stem.token_type     [TokenTypes, Dim]  embeddings.token_type_embeddings.weight
//	stem.norm.gain, bias                   embeddings.LayerNorm.weight, bias
//	block.<k>.attention.query.kernel, bias    ….attention.self.query.weight, bias
//	block.<k>.attention.key.kernel, bias      ….attention.self.key.weight, bias
//	block.<k>.attention.value.kernel, bias    ….attention.self.value.weight, bias
//	block.<k>.attention.output.kernel, bias   ….attention.output.dense.weight, bias
//	block.<k>.attention.norm.gain, bias       ….attention.output.LayerNorm.weight, bias
//	block.<k>.ffn.up.kernel, bias             ….intermediate.dense.weight, bias
//	block.<k>.ffn.down.kernel, bias           ….output.dense.weight, bias
//	block.<k>.ffn.norm.gain, bias             ….output.LayerNorm.weight, bias
//	tap.<k>.norm.gain, bias                   (pre-norm only)
//	tap.<k>.pooler.kernel, bias               pooler.dense.weight, bias, at the last depth (with a pooler only)
type Encoder struct {
	Vocab int `json:"vocab"`
	// MaxLength is the number of rows of the position table: no sample may be longer, padding included.
	MaxLength int `json:"max_length"`
	Layers    int `json:"layers"`
	Dim       int `json:"dim"`
	Heads     int `json:"heads"`
	// Hidden is the width of the feed-forward layer.
	Hidden int `json:"hidden"`
	// Norm is "post" (BERT; default) or "pre".
	Norm string `json:"norm"`
	// Positions is "learned": an absolute position table.
	Positions string `json:"positions"`
	PadID     int    `json:"pad_id"`
	// Activation is "gelu", the exact form (default), or "gelu_tanh", its approximation, for imported models.
	Activation string `json:"activation"`
	// Epsilon of every layer norm; the default is BERT's 1e-12.
	Epsilon float64 `json:"epsilon"`
	// Pool is "mean" over tokens (default) or "cls", the first token. A sample of padding alone taps as zeros.
	Pool string `json:"pool"`
	// Pooler is "tanh" or "relu", the activation after the dense layer on what Pool gives, or "" for no such layer.
	Pooler string `json:"pooler,omitempty"`
	// Dropout is the rate on embeddings, attention weights and the output of either half of a block.
	Dropout float64 `json:"dropout"`
	// TokenTypes is the number of rows of the token type table, 0 for none. Every token is of type 0.
	TokenTypes int `json:"token_types,omitempty"`
	// Tied lets all blocks share one set of weights, named "blocks.<parameter>", as ALBERT does. The name is no block's
	// own, so that it survives whichever blocks are pruned.
	Tied bool `json:"tied,omitempty"`
}

// Validate implements [Backbone].
func (e *Encoder) Validate() error {
	faults := e.checkSizes()
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("backbone: encoder: "+format, args...))
	}
	choices := []struct {
		field, value string
		want         []string
	}{
		{"norm", e.Norm, []string{"post", "pre"}}, {"positions", e.Positions, []string{"learned"}},
		{"activation", e.Activation, []string{"gelu", "gelu_tanh"}}, {"pool", e.Pool, []string{"mean", "cls"}},
		{"pooler", e.Pooler, []string{"", "tanh", "relu"}},
	}
	for _, c := range choices {
		if !slices.Contains(c.want, c.value) {
			fault("%s is %q, want one of %q", c.field, c.value, c.want)
		}
	}
	if e.PadID < 0 || e.PadID >= max(e.Vocab, 1) {
		fault("pad_id is %d, want an id of the vocabulary of %d", e.PadID, e.Vocab)
	}
	if !(e.Epsilon > 0) || math.IsInf(e.Epsilon, 1) {
		fault("epsilon is %v, want a finite number > 0", e.Epsilon)
	}
	if !(e.Dropout >= 0 && e.Dropout < 1) {
		fault("dropout is %v, want a rate in [0, 1)", e.Dropout)
	}
	return errors.Join(faults...)
}

func (e *Encoder) checkSizes() []error {
	var faults []error
	sizes := []struct {
		field       string
		value, want int
	}{
		{"vocab", e.Vocab, 1}, {"max_length", e.MaxLength, 1}, {"layers", e.Layers, 1}, {"dim", e.Dim, 1},
		{"heads", e.Heads, 1}, {"hidden", e.Hidden, 1}, {"token_types", e.TokenTypes, 0},
	}
	for _, s := range sizes {
		if s.value < s.want {
			faults = append(faults, fmt.Errorf("backbone: encoder: %s is %d, want at least %d", s.field, s.value, s.want))
		}
	}
	if e.Heads > 0 && e.Dim%e.Heads != 0 {
		faults = append(faults, fmt.Errorf("backbone: encoder: dim is %d, want a multiple of heads, %d", e.Dim, e.Heads))
	}
	return faults
}

// Vocabulary is the number of ids: a sample's are 0 to one less.
func (e *Encoder) Vocabulary() int { return e.Vocab }

// Input implements [Backbone]: a row of token ids.
func (e *Encoder) Input() layer.Spec {
	return layer.Spec{DType: dtypes.Int32, Dims: []int{layer.Length}}
}

// Depth implements [Backbone].
func (e *Encoder) Depth() int { return e.Layers }

// State implements [Backbone]: hidden state and mask.
func (e *Encoder) State(int) []layer.Spec {
	return []layer.Spec{layer.Float32(layer.Length, e.Dim), layer.Float32(layer.Length)}
}

// TapDim implements [Backbone].
func (e *Encoder) TapDim(int) int { return e.Dim }

// Stem implements [Backbone].
func (e *Encoder) Stem() layer.Op {
	std := layer.Normal(0.02) // BERT's initializer_range
	params := []layer.Param{
		{Name: "word", Dims: []int{e.Vocab, e.Dim}, Init: std},
		{Name: "position", Dims: []int{e.MaxLength, e.Dim}, Init: std},
	}
	if e.TokenTypes > 0 {
		params = append(params, layer.Param{Name: "token_type", Dims: []int{e.TokenTypes, e.Dim}, Init: std})
	}
	return layer.Op{
		Name:      "stem",
		Signature: fmt.Sprintf("encoder stem pad=%d types=%t eps=%g dropout=%g", e.PadID, e.TokenTypes > 0, e.Epsilon, e.Dropout),
		Params:    append(params, layer.LayerNormParams("norm", e.Dim)...),
		MACs:      layer.NoMACs, // gathers and sums
		Apply:     e.embed,
		Native:    e.nativeStem,
	}
}

// Block implements [Backbone].
func (e *Encoder) Block(k int) Block {
	name := BlockName(k)
	if e.Tied {
		name = "blocks"
	}
	return Block{Removable: true, Op: layer.Op{
		Name: name,
		Signature: fmt.Sprintf("encoder block norm=%s heads=%d activation=%s eps=%g dropout=%g",
			e.Norm, e.Heads, e.Activation, e.Epsilon, e.Dropout),
		Params: e.attentive().params(),
		MACs:   e.attentive().macs,
		Apply:  e.block,
		Native: e.attentive().native,
	}}
}

// attentive is the block's own part of the configuration.
func (e *Encoder) attentive() attentive {
	return attentive{e.Dim, e.Heads, e.Hidden, e.Norm, e.Activation, e.Epsilon, e.Dropout}
}

// Tap implements [Backbone].
func (e *Encoder) Tap(k int) layer.Op {
	op := layer.Op{
		Name:      TapName(k),
		Signature: fmt.Sprintf("encoder tap norm=%s pool=%s pooler=%s", e.Norm, e.Pool, e.Pooler),
		MACs:      layer.NoMACs,
		Apply:     e.tap,
		Native:    e.nativeTap,
	}
	if e.Norm == "pre" {
		op.Signature += fmt.Sprintf(" eps=%g", e.Epsilon)
		op.Params = layer.LayerNormParams("norm", e.Dim)
	}
	if e.Pooler != "" {
		op.Params = append(op.Params, layer.DenseParams("pooler", e.Dim, e.Dim, layer.Normal(0.02))...)
		op.MACs = func(int) int64 { return int64(e.Dim) * int64(e.Dim) }
	}
	return op
}

// Keep implements [Backbone].
func (e *Encoder) Keep(blocks []int) (Backbone, error) {
	if err := CheckKeep(e, blocks); err != nil {
		return nil, err
	}
	kept := *e
	kept.Layers = len(blocks)
	return &kept, nil
}

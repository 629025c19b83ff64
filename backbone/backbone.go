// Package backbone holds networks cut into a stem and blocks that show their hidden states.
//
// The contract: the stem takes a sample to state 0 and block k takes state k-1 to state k, for k = 1 … Depth. Both are
// pure functions ([layer.Op]) of the state and their weights. A tap reads one vector [batch, TapDim(k)] from state k; it
// is computed only where a head reads. A state may have several parts (an encoder carries its padding mask); part 0 is
// the hidden state and the tap's subject, the others travel unchanged.
//
// Weights of block k are named "block.<k>.<parameter>", those of the stem "stem.<parameter>" and those of the tap at
// depth k, if it has any, "tap.<k>.<parameter>". Blocks that tie their weights share one name.
//
// A backbone is a final struct that is its own configuration: its JSON form is what config files and bundles hold. To
// plug in your own, implement [Backbone] on a struct, run backbonetest.Run on it and call [Register].
package backbone

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/layarun/layarun/layer"
)

// Backbone is a network cut into blocks. All methods but Validate may be called only on a valid value; they are pure.
type Backbone interface {
	// Validate reports every fault of the configuration with field, value and what was expected.
	Validate() error
	// Input is what one sample is: one part, [features], [height, width, channels] or, as Int32, [Length].
	Input() layer.Spec
	// Depth is the number of blocks.
	Depth() int
	// State lists the parts of state k, 0 <= k <= Depth.
	State(k int) []layer.Spec
	// Stem takes the input to state 0.
	Stem() layer.Op
	// Block takes state k-1 to state k, 1 <= k <= Depth.
	Block(k int) Block
	// Tap takes state k to one vector [batch, TapDim(k)], 0 <= k <= Depth.
	Tap(k int) layer.Op
	// TapDim is the width of the tap at depth k.
	TapDim(k int) int
	// Keep returns the smaller backbone made of the given blocks (ascending, 1-based). Without weights of its own it fits
	// those of this backbone after [KeepWeights]. It is an error to drop a block before the last kept one that is not
	// removable.
	Keep(blocks []int) (Backbone, error)
}

// Block is the unit a backbone is cut into.
type Block struct {
	layer.Op
	// Removable says that the block is residual and keeps its state's shape, so that the network is still defined without it.
	Removable bool
}

// Folder is a backbone whose inference form has fewer parameters than its training form (batch normalisation folded
// into the convolutions before it). The bundle holds the folded form.
type Folder interface {
	Backbone
	// Fold returns the inference form and its weights; the receiver and weights are left alone. It is the identity on a
	// backbone that is folded already.
	Fold(weights layer.Weights) (Backbone, layer.Weights, error)
}

var kinds = map[string]func() Backbone{}

// Register makes a kind of backbone known to [Decode]. new returns a pointer to a value holding the defaults. It is
// meant for init functions and panics if the kind is taken.
func Register(kind string, new func() Backbone) {
	if _, taken := kinds[kind]; taken {
		panic("backbone: kind " + kind + " is registered twice")
	}
	kinds[kind] = new
}

// Kinds lists the registered kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Decode reads a backbone's JSON form, {"kind": "mlp", …}: fields that are left out keep their defaults, unknown fields
// are errors, and the result is valid.
func Decode(data []byte) (Backbone, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("backbone: %w", err)
	}
	var kind string
	if err := json.Unmarshal(fields["kind"], &kind); err != nil {
		return nil, fmt.Errorf("backbone: field \"kind\" must be one of %s", strings.Join(Kinds(), ", "))
	}
	new, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("backbone: kind is %q, want one of %s", kind, strings.Join(Kinds(), ", "))
	}
	delete(fields, "kind")
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("backbone: %w", err)
	}
	b := new()
	dec := json.NewDecoder(bytes.NewReader(rest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(b); err != nil {
		return nil, fmt.Errorf("backbone: %s: %w", kind, err)
	}
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return b, nil
}

// Encode writes the JSON form that Decode reads.
func Encode(b Backbone) ([]byte, error) {
	kind := ""
	for k, new := range kinds {
		if fmt.Sprintf("%T", new()) == fmt.Sprintf("%T", b) {
			kind = k
		}
	}
	if kind == "" {
		return nil, fmt.Errorf("backbone: type %T is not registered", b)
	}
	fields, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("backbone: %w", err)
	}
	head := fmt.Sprintf("{\"kind\":%q", kind)
	if string(fields) == "{}" {
		return []byte(head + "}"), nil
	}
	return append([]byte(head+","), fields[1:]...), nil
}

// Ops lists the stem and the blocks in order; their parameters are the backbone's, but for taps.
func Ops(b Backbone) []layer.Op {
	ops := []layer.Op{b.Stem()}
	for k := 1; k <= b.Depth(); k++ {
		ops = append(ops, b.Block(k).Op)
	}
	return ops
}

// BlockName is the prefix of block k's weights.
func BlockName(k int) string { return fmt.Sprintf("block.%d", k) }

// TapName is the prefix of the weights of the tap at depth k.
func TapName(k int) string { return fmt.Sprintf("tap.%d", k) }

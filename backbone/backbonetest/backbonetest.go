// Package backbonetest is the conformance suite of backbones: what the rest of the program takes for granted about
// every [backbone.Backbone], checked on the pure-Go backend.
//
// Call [Run] from a test of your own backbone, once per variant of its configuration. Keep the configuration small:
// widths of about ten and two to four blocks, no two sizes equal so that swapped axes cannot go unseen.
package backbonetest

import (
	"testing"

	"github.com/layarun/layarun/backbone"
)

// Options says what the suite cannot learn from a backbone. The zero value does for float inputs.
type Options struct {
	// Vocab is the number of token ids, for backbones over ids.
	Vocab int
	// Length is the number of positions of a batch of ids; the suite also runs twice as many. 0 means 6.
	Length int
	// Seed draws weights and inputs.
	Seed uint64
}

// rule is a sentence of the contract and its check, which returns how it was broken.
type rule struct {
	name, sentence string
	check          func(*suite) error
}

var rules = []rule{
	{"json", "the JSON form holds the whole configuration, and unknown fields are refused", checkJSON},
	{"params", "weights have unique names, positive dimensions and one declaration each, however many blocks share them", checkParams},
	{"shapes", "stem, blocks and taps give exactly what State and TapDim declare", checkShapes},
	{"parts", "parts of the state after the first travel unchanged", checkParts},
	{"batch", "a batch of n gives what n batches of one give", checkBatch},
	{"padding", "padding changes nothing", checkPadding},
	{"sequence", "stem and blocks run one by one give what one graph of them gives", checkSequence},
	{"deterministic", "inference is a pure function: it gives the same bits twice", checkDeterministic},
	{"rows", "a NaN in one row of the batch touches no other row", checkRows},
	{"signature", "operations of equal signature, weight shapes and state shapes compute the same and cost the same", checkSignatures},
	{"macs", "MACs counts the products and convolutions of one sample exactly, and some block costs something", checkMACs},
	{"keep-all", "Keep of all blocks is the original", checkKeepAll},
	{"keep-prefix", "Keep of the first k blocks gives state and tap k of the original", checkKeepPrefix},
	{"keep-without", "a removable block keeps its state's shape, and Keep without it skips it and nothing else", checkKeepWithout},
	{"keep-refuses", "Keep refuses no blocks, unordered or unknown blocks and the loss of a block that is not removable", checkKeepRefuses},
	{"native", "native kernels compute what the graphs compute, whatever samples share a call", checkNative},
	{"train", "in training every weight that is not frozen has a finite gradient and only frozen ones are set", checkTraining},
	{"fold", "the folded form gives the same answers and leaves its origin alone", checkFold},
}

// Run checks b against every rule of the contract, as one subtest each. A failure names the rule it breaks.
func Run(t *testing.T, b backbone.Backbone, opts Options) {
	t.Helper()
	if err := b.Validate(); err != nil {
		t.Fatalf("the suite needs a valid configuration: %v", err)
	}
	s, err := newSuite(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(s); err != nil {
				t.Errorf("the contract says: %s.\n%v", r.sentence, err)
			}
		})
	}
}

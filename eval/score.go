package eval

import (
	"context"
	"fmt"
	"slices"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/exit"
)

// scoreBatch is the number of samples handed to the runtime at a time, which makes batches of them as it sees fit.
const scoreBatch = 512

// Score runs every sample of the set through the whole network and returns what every exit says of it. It names the
// runtime's bundle and the set by their digests. MACs are means over the lengths at which the samples run, padded on a backend. progress may be nil.
//
// A sample whose last logits are not finite is an error: the network is broken, and nothing about it is worth a table.
func Score(ctx context.Context, r *layarun.Runtime, set *dataset.Set, progress func(done, total int)) (*exit.Table, error) {
	inputs, err := NewInputs(r, set)
	if err != nil {
		return nil, err
	}
	t := &exit.Table{
		Bundle: r.Digest(), Split: set.Digest(), Exits: r.Exits(), Reads: r.Reads(), Classes: r.Classes(),
		Labels: slices.Clone(set.Labels), MACs: inputs.macs(true), Plain: inputs.macs(false),
	}
	for from := 0; from < set.Len(); from += scoreBatch {
		q := inputs.Request(from, min(from+scoreBatch, set.Len()))
		q.Policy, q.AllExits = exit.Full().Name, true
		answers, err := r.Predict(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("eval: score: %w", err)
		}
		for i, a := range answers {
			if a.Err != nil {
				return nil, fmt.Errorf("eval: score: sample %d of %s: %w", from+i, set.Name, a.Err)
			}
			appendAnswer(t, a)
		}
		if progress != nil {
			progress(len(t.Logits), set.Len())
		}
	}
	return t, t.Validate()
}

// appendAnswer adds the row of an answer that holds all exits.
func appendAnswer(t *exit.Table, a layarun.Answer) {
	scores := make([]exit.Scores, len(a.Exits))
	for k, logits := range a.Exits {
		scores[k] = exit.ScoresOf(logits)
	}
	t.Logits, t.Scores = append(t.Logits, a.Exits), append(t.Scores, scores)
	if t.Reads != nil {
		t.Alpha = append(t.Alpha, a.Alpha)
	}
}

// Inputs are the samples of a set as one runtime takes them: texts are encoded already, so that timings leave
// tokenisation out.
type Inputs struct {
	runtime *layarun.Runtime
	set     *dataset.Set
	tokens  [][]int32 // text only
}

// NewInputs prepares the samples of a set for a runtime. Dimensions and classes must be the network's own.
func NewInputs(r *layarun.Runtime, set *dataset.Set) (*Inputs, error) {
	if !slices.Equal(set.Dims, r.Dims()) {
		return nil, fmt.Errorf("eval: samples of %s have dims %v, network %q takes %v", set.Name, set.Dims, r.Name(), r.Dims())
	}
	if !slices.Equal(set.Classes, r.Classes()) {
		return nil, fmt.Errorf("eval: %s has the classes %q, network %q answers with %q", set.Name, set.Classes, r.Name(), r.Classes())
	}
	in := &Inputs{runtime: r, set: set}
	for i, text := range set.Texts {
		ids, err := r.Tokens(text)
		if err != nil {
			return nil, fmt.Errorf("eval: %s: text %d: %w", set.Name, i, err)
		}
		in.tokens = append(in.tokens, ids)
	}
	return in, nil
}

// Len is the number of samples.
func (in *Inputs) Len() int { return in.set.Len() }

// Request asks for answers to the samples from..to-1. It copies none of them.
func (in *Inputs) Request(from, to int) layarun.Request {
	if in.tokens != nil {
		return layarun.Request{Tokens: in.tokens[from:to]}
	}
	size := in.set.Size()
	return layarun.Request{Values: in.set.Values[from*size : to*size]}
}

// macs is the cost of leaving at each exit, the mean over the samples where their lengths differ.
func (in *Inputs) macs(exitsOn bool) []int64 {
	lengths := map[int]int64{} // at which they run: samples
	for _, ids := range in.tokens {
		lengths[in.runtime.PaddedLength(len(ids))]++
	}
	if in.tokens == nil {
		lengths[0] = 1
	}
	exits := in.runtime.Exits()
	macs := make([]int64, len(exits))
	for k, depth := range exits {
		var sum, n int64
		for length, samples := range lengths {
			sum += samples * in.runtime.MACs(depth, length, exitsOn)
			n += samples
		}
		macs[k] = (sum + n/2) / n
	}
	return macs
}

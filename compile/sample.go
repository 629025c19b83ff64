package compile

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/gomlx/gomlx/core/tensors"
)

// Sample is one sample on its way through the segments: its input until it starts, then a row of a batch, and beside it
// what the head has said so far. It belongs to whoever got it from the engine and is used by one goroutine at a time.
type Sample struct {
	// Lane is the index of its padded length in Lengths and Buckets; samples of different lanes do not share a batch.
	Lane int
	// Keep says what is kept beyond the answer at the exit taken.
	Keep Keep

	values []float32 // the input, until the first segment has run
	tokens []int32
	length int // tokens; 0 if the sample is no sequence

	batch        *rows // where its state lies
	row          int
	state, carry *held // the same, of a sample on native kernels

	scores []float32   // of the reads passed
	vals   [][]float32 // z of the reads passed, if kept
	logits [][]float32 // of the latest answer, or of all answers, if kept
}

// Keep says what a sample remembers on its way.
type Keep uint8

// What a sample can remember beyond its latest answer.
const (
	KeepValues  Keep = 1 << iota // the values z of every read: they explain the answer
	KeepAnswers                  // the logits of every exit passed, not only the latest
)

// rows is a batch on the device: the parts of state and carry, shared by the samples whose rows they hold.
type rows struct {
	parts  []*tensors.Tensor
	bucket int
	live   atomic.Int32 // samples that still refer to it
}

// release gives up one sample's row and, with the last one, the memory.
func (r *rows) release() {
	if r.live.Add(-1) == 0 {
		for _, t := range r.parts {
			t.MustFinalizeAll()
		}
	}
}

// NewSample prepares a sample with a fixed-size input: values are [height, width, channels] or [features], row-major.
// The engine keeps the slice until the first segment has run.
func (e *Engine) NewSample(values []float32, keep Keep) (*Sample, error) {
	input := e.network.Backbone.Input()
	if e.network.Sequences() {
		return nil, fmt.Errorf("compile: the network takes sequences of ids, not values")
	}
	if len(values) != input.Size(0) {
		return nil, fmt.Errorf("compile: a sample has %d values, want %d (%v)", len(values), input.Size(0), input.Dims)
	}
	return &Sample{values: values, Keep: keep}, nil
}

// vocabulary is a backbone that says how many ids it knows.
type vocabulary interface{ Vocabulary() int }

// NewSequence prepares a sample that is a sequence of ids of the vocabulary, at least one and at most the longest of
// Lengths.
func (e *Engine) NewSequence(tokens []int32, keep Keep) (*Sample, error) {
	if !e.network.Sequences() {
		return nil, fmt.Errorf("compile: the network takes values, not sequences of ids")
	}
	longest := e.lengths[len(e.lengths)-1]
	if len(tokens) == 0 || len(tokens) > longest {
		return nil, fmt.Errorf("compile: a sequence has %d ids, want 1 to %d", len(tokens), longest)
	}
	if v, ok := e.network.Backbone.(vocabulary); ok { // an id beyond the table would fail the whole batch, or read another row
		for i, id := range tokens {
			if id < 0 || int(id) >= v.Vocabulary() {
				return nil, fmt.Errorf("compile: id %d of a sequence is %d, want 0 to %d", i, id, v.Vocabulary()-1)
			}
		}
	}
	lane, _ := slices.BinarySearch(e.lengths, len(tokens))
	return &Sample{tokens: tokens, length: len(tokens), Keep: keep, Lane: lane}, nil
}

// Logits are those of the latest answer; nil before the first.
func (s *Sample) Logits() []float32 {
	if len(s.logits) == 0 {
		return nil
	}
	return s.logits[len(s.logits)-1]
}

// AllLogits are those of every answer passed, in order of depth, with KeepAnswers.
func (s *Sample) AllLogits() [][]float32 { return s.logits }

// Scores are the head's scores of the reads passed (alpha = softmax(scores / tau)), if anything is kept; nil for heads
// without attention.
func (s *Sample) Scores() []float32 { return s.scores }

// Values are z of the reads passed, with KeepValues.
func (s *Sample) Values() [][]float32 { return s.vals }

// Release gives up a sample that will not be run again. It must be called once for every sample that has been run.
func (e *Engine) Release(s *Sample) {
	if s.batch != nil {
		s.batch.release()
		s.batch = nil
	}
	s.state.drop()
	s.carry.drop()
	s.state, s.carry = nil, nil
}

// remember takes a report into the sample. Scores over depth come one by one (each) or all at once.
func (s *Sample) remember(r report, each bool) {
	if s.Keep&KeepValues != 0 {
		s.vals = append(s.vals, slices.Clone(r.value))
	}
	switch {
	case s.Keep == 0 || len(r.score) == 0:
	case each:
		s.scores = append(s.scores, r.score...)
	default:
		s.scores = slices.Clone(r.score)
	}
	if len(r.logits) == 0 {
		return
	}
	if s.Keep&KeepAnswers != 0 || len(s.logits) == 0 {
		s.logits = append(s.logits, slices.Clone(r.logits))
		return
	}
	copy(s.logits[0], r.logits)
}

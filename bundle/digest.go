package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/safetensors"
)

// Digest names everything that an answer depends on: backbone, head, weights, plan, and how texts and pictures become samples. It is
// what certificates, profiles and score tables refer to; changing any of it voids certificates. It does not depend on how
// the files are laid out, nor on names, notes and policies. docs/format.md says how to compute it.
//
// It reads every weight (about a second for a gigabyte), so keep the result rather than asking twice. b must be valid.
func (b *Bundle) Digest() string {
	h := sha256.New()
	network, err := backbone.Encode(b.Backbone)
	if err != nil {
		panic(err) // b is not valid
	}
	fmt.Fprintln(h, "layarun bundle", formatVersion)
	fmt.Fprintln(h, "backbone", hashJSON(json.RawMessage(network)))
	if b.HasHead() {
		fmt.Fprintln(h, "head", hashJSON(b.Head))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Weights)) {
		w := sha256.New()
		if err := safetensors.WriteValues(w, b.Weights[name]); err != nil {
			panic(err) // a hash takes everything; the tensor was finalised
		}
		shape := strings.ReplaceAll(fmt.Sprint(b.Weights[name].Shape().Dimensions), " ", ",")
		fmt.Fprintln(h, "weight", name, shape, hex.EncodeToString(w.Sum(nil)))
	}
	if b.MaxLength > 0 {
		fmt.Fprintln(h, "max_length", b.MaxLength)
	}
	if b.Tokenizer != nil {
		fmt.Fprintln(h, "tokenizer", hashBytes(b.Tokenizer))
	}
	if !b.Fit.IsZero() {
		fmt.Fprintln(h, "fit", hashJSON(b.Fit))
	}
	if b.Plan != nil {
		fmt.Fprintln(h, "plan", hashJSON(b.Plan))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashJSON is the sha256 of v's JSON in canonical form: keys sorted, no white space, numbers as ECMAScript writes them
// (RFC 8785), which is how encoding/json writes them.
func hashJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // b is not valid
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		panic(err) // text was written above
	}
	var canonical bytes.Buffer
	enc := json.NewEncoder(&canonical) // writes maps with sorted keys
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		panic(err) // tree was decoded above
	}
	return hashBytes(bytes.TrimSuffix(canonical.Bytes(), []byte("\n")))
}

func hashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tally hashes and counts what passes through it.
type tally struct {
	sum hash.Hash
	n   int64
}

func newTally() *tally { return &tally{sum: sha256.New()} }

// Write implements [io.Writer]; it does not fail.
func (t *tally) Write(data []byte) (int, error) {
	t.n += int64(len(data))
	return t.sum.Write(data)
}

func (t *tally) info() fileInfo {
	return fileInfo{SHA256: hex.EncodeToString(t.sum.Sum(nil)), Size: t.n}
}

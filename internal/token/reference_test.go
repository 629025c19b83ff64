package token_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/layarun/layarun/internal/token"
)

// references are the tokenizers that testdata/compare.py wrote: BERT's, one that keeps accents, and bytes by BPE.
var references = []string{"wordpiece.json", "cased.json", "bytes.json"}

// reference is one of them, with the digests of what the Hugging Face library makes of texts with it.
func reference(t *testing.T, name string) (tok *token.Tokenizer, digests map[string]string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if tok, err = token.Load(data); err != nil {
		t.Fatal(err)
	}
	var all map[string]map[string]string
	text, err := os.ReadFile("testdata/digests.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return tok, all[name]
}

// digest is that of compare.py: a line of ids for each text, at most 64.
func digest(tok *token.Tokenizer, texts iter.Seq[string]) string {
	h := sha256.New()
	var line []byte
	for text := range texts {
		line = line[:0]
		for i, id := range tok.Encode(text, 64) {
			if i > 0 {
				line = append(line, ' ')
			}
			line = strconv.AppendInt(line, int64(id), 10)
		}
		h.Write(append(line, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// characters are those of compare.py: every character of the planes that have any, in three places.
func characters(yield func(string) bool) {
	for _, r := range [][2]rune{{1, 0xd800}, {0xe000, 0x20000}, {0x2b700, 0x2b930}, {0xe0000, 0xe0200}} {
		for c := r[0]; c < r[1]; c++ {
			if !yield("a" + string(c) + "b " + string(c) + "\ne" + string(c)) {
				return
			}
		}
	}
}

// Every character there is, and random strings of what tokenizers stumble over, become the ids of the Hugging Face library.
// If it fails after an update of Go, whose tables follow Unicode: see newer.go.
func TestEncodeEqualsHuggingFace(t *testing.T) {
	file, err := os.ReadFile("testdata/hard.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	var hard []string
	if err := json.Unmarshal(text, &hard); err != nil {
		t.Fatal(err)
	}
	for _, name := range references {
		tok, want := reference(t, name)
		if got := digest(tok, characters); got != want["characters"] {
			t.Errorf("%s: ids of all characters have digest %s, want %s", name, got, want["characters"])
		}
		if got := digest(tok, slices.Values(hard)); got != want["hard"] {
			t.Errorf("%s: ids of the hard texts have digest %s, want %s", name, got, want["hard"])
		}
	}
}

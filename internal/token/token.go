// Package token turns text into the ids an encoder reads.
//
// There is one form, a Hugging Face tokenizer.json of one of two families: BERT's (BertNormalizer, BertPreTokenizer,
// WordPiece) and that of GPT-2 and RoBERTa (ByteLevel, BPE), each with a template of special tokens. [Build] writes one for
// a model that is trained from scratch, [FromVocabulary] and [FromMerges] for models that keep theirs in older files;
// [Load] reads all of them. Other tokenizers are refused. The ids are those of the Hugging Face library for any text, which
// testdata/compare.py shows for every character there is.
package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Tokenizer encodes text. It is never changed, so it is safe for concurrent use.
type Tokenizer struct {
	encoder        encoder
	added          []addedToken // longer ones first
	prefix, suffix []int32      // of the template: [CLS] and [SEP]
	pad            int32
	size           int
}

// encoder makes ids of text without special tokens. It gives them to emit until that returns false, and then returns false.
type encoder interface {
	encode(text string, emit func(id int32) bool) bool
}

// PadID is the id that fills a batch; a mask leaves it out.
func (t *Tokenizer) PadID() int32 { return t.pad }

// VocabSize is one more than the largest id.
func (t *Tokenizer) VocabSize() int { return t.size }

// Encode is the ids of text between the template's special tokens, at most maxLen of them: the text's end is cut, the
// special tokens stay (of those too, the first maxLen). Bytes that are no UTF-8 are read as U+FFFD.
func (t *Tokenizer) Encode(text string, maxLen int) []int32 {
	room := maxLen - len(t.prefix) - len(t.suffix)
	if room < 0 {
		return slices.Concat(t.prefix, t.suffix)[:max(0, maxLen)]
	}
	ids := slices.Clone(t.prefix)
	emit := func(id int32) bool {
		if room > 0 {
			ids = append(ids, id)
		}
		room--
		return room > 0
	}
	text = strings.ToValidUTF8(text, "\ufffd")
	for text != "" && room > 0 {
		at, token := t.nextAdded(text)
		if token == nil {
			t.encoder.encode(text, emit)
			break
		}
		before, after := text[:at], text[at+len(token.Content):]
		if token.Lstrip {
			before = strings.TrimRightFunc(before, unicode.IsSpace)
		}
		if token.Rstrip {
			after = strings.TrimLeftFunc(after, unicode.IsSpace)
		}
		if t.encoder.encode(before, emit) {
			emit(int32(token.ID))
		}
		text = after
	}
	return append(ids, t.suffix...)
}

// nextAdded finds the first added token in text, of those at the same place the longest; nil if there is none.
func (t *Tokenizer) nextAdded(text string) (at int, token *addedToken) {
	at = len(text)
	for i := range t.added {
		content := t.added[i].Content
		if j := strings.Index(text[:min(len(text), at-1+len(content))], content); j >= 0 {
			at, token = j, &t.added[i]
		}
	}
	return at, token
}

// mostIDs bounds ids, and with them what a small file can make a network's table be.
const mostIDs = 1 << 24

// Load reads a tokenizer.json. It refuses kinds of tokenizer that it would not follow exactly, ids out of range, and files
// without a token for padding, [PAD] or <pad>.
func Load(data []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", err)
	}
	t := &Tokenizer{}
	var err error
	if t.encoder, err = f.encoder(); err != nil {
		return nil, err
	}
	if t.prefix, t.suffix, err = f.PostProcessor.template(); err != nil {
		return nil, err
	}
	for i, added := range f.AddedTokens {
		if added.Content == "" || added.ID < 0 || added.ID >= mostIDs {
			return nil, fmt.Errorf("token: added_tokens[%d] is %q with id %d, want a text and an id of 0 to %d", i, added.Content, added.ID, mostIDs-1)
		}
		if added.SingleWord || added.Normalized && f.Normalizer != nil {
			return nil, fmt.Errorf("token: added_tokens[%d], %q, is single_word or normalized, want neither", i, added.Content)
		}
	}
	t.added = slices.Clone(f.AddedTokens)
	slices.SortStableFunc(t.added, func(a, b addedToken) int { return len(b.Content) - len(a.Content) })
	t.pad, t.size, err = f.ids(slices.Concat(t.prefix, t.suffix))
	return t, err
}

// ids returns the id of padding and one more than the largest id of vocabulary, added tokens and template.
func (f *file) ids(template []int32) (pad int32, size int, err error) {
	pad = -1
	note := func(token string, id int) {
		if token == "[PAD]" || token == "<pad>" {
			pad = int32(id)
		}
		size = max(size, id+1)
	}
	for token, id := range f.Model.Vocab {
		note(token, id)
	}
	for _, added := range f.AddedTokens {
		note(added.Content, added.ID)
	}
	for _, id := range template {
		if int(id) >= size {
			return 0, 0, fmt.Errorf("token: post_processor uses id %d, but the largest is %d", id, size-1)
		}
	}
	if pad < 0 {
		return 0, 0, errors.New("token: there is neither a [PAD] nor a <pad> token")
	}
	return pad, size, nil
}

// Package token turns text into the ids an encoder reads.
//
// There is one form, a Hugging Face tokenizer.json of the BERT family: BertNormalizer, BertPreTokenizer, WordPiece and a
// template of special tokens. [Build] writes one for a model that is trained from scratch; [Load] reads both kinds.
// Other tokenizers are refused: the library underneath accepts them, but its byte-level BPE and its Unigram do not give
// the ids of the original.
package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gomlx/go-huggingface/tokenizers/hftokenizer"
)

// Tokenizer encodes text. It is never changed, so it is safe for concurrent use.
type Tokenizer struct {
	words          *hftokenizer.Tokenizer // normaliser, pre-tokeniser and WordPiece; without special tokens
	prefix, suffix []int32                // of the template: [CLS] and [SEP]
	pad            int32
	size           int
}

// PadID is the id that fills a batch; a mask leaves it out.
func (t *Tokenizer) PadID() int32 { return t.pad }

// VocabSize is one more than the largest id.
func (t *Tokenizer) VocabSize() int { return t.size }

// Encode is the ids of text between the template's special tokens, at most maxLen of them: the text's end is cut, the
// special tokens stay (of those too, the first maxLen). A run of more than 1,024 bytes without white space is divided
// there as if it had some.
func (t *Tokenizer) Encode(text string, maxLen int) []int32 {
	room := maxLen - len(t.prefix) - len(t.suffix)
	if room < 0 {
		return slices.Concat(t.prefix, t.suffix)[:max(0, maxLen)]
	}
	ids := slices.Clone(t.prefix)
	for piece := range pieces(text) {
		for _, id := range t.words.Encode(clean(piece)) {
			if room == 0 {
				return append(ids, t.suffix...)
			}
			ids = append(ids, int32(id))
			room--
		}
	}
	return append(ids, t.suffix...)
}

// pieces divides text at white space, where words end in any case. The library's time grows with the square of what it is
// given at once, and ids past maxLen need not be computed.
func pieces(text string) func(yield func(string) bool) {
	const usual, most = 512, 1024 // bytes
	return func(yield func(string) bool) {
		for len(text) > usual {
			end := min(len(text), most)
			cut := usual + strings.IndexFunc(text[usual:end], unicode.IsSpace)
			if cut < usual {
				cut = end
				for cut < len(text) && !utf8.RuneStart(text[cut]) && cut > end-utf8.UTFMax {
					cut--
				}
			}
			if !yield(text[:cut]) {
				return
			}
			text = text[cut:]
		}
		yield(text)
	}
}

// clean does what BertNormalizer's clean_text does to control characters and white space. The library keeps format
// characters (U+200D) and line separators.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			return -1
		case unicode.IsSpace(r):
			return ' '
		}
		return r
	}, text)
}

// file is what we read of a tokenizer.json; the library reads the rest.
type file struct {
	AddedTokens   []addedToken   `json:"added_tokens"`
	Normalizer    *normalizer    `json:"normalizer"`
	PreTokenizer  *kind          `json:"pre_tokenizer"`
	PostProcessor *postProcessor `json:"post_processor"`
	Model         model          `json:"model"`
}

type kind struct {
	Type string `json:"type"`
}

type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	Lstrip     bool   `json:"lstrip"`
	Rstrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type normalizer struct {
	Type               string `json:"type"`
	CleanText          bool   `json:"clean_text"`
	HandleChineseChars bool   `json:"handle_chinese_chars"`
	StripAccents       *bool  `json:"strip_accents"`
	Lowercase          bool   `json:"lowercase"`
}

type model struct {
	Type                    string         `json:"type"`
	UnkToken                string         `json:"unk_token"`
	ContinuingSubwordPrefix string         `json:"continuing_subword_prefix"`
	MaxInputCharsPerWord    int            `json:"max_input_chars_per_word"`
	Vocab                   map[string]int `json:"vocab"`
}

// Load reads a tokenizer.json. It refuses kinds of tokenizer that it would not follow exactly, ids out of range, and files
// without the tokens [UNK] (under whatever name) and [PAD].
func Load(data []byte) (*Tokenizer, error) {
	var parts map[string]json.RawMessage
	var f file
	if err := errors.Join(json.Unmarshal(data, &parts), json.Unmarshal(data, &f)); err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	prefix, suffix, err := f.PostProcessor.template()
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{prefix: prefix, suffix: suffix}
	if t.pad, t.size, err = f.ids(slices.Concat(prefix, suffix)); err != nil {
		return nil, err
	}
	// What stands around the words is added here, so that truncation can keep it.
	for _, unused := range []string{"post_processor", "decoder", "truncation", "padding"} {
		delete(parts, unused)
	}
	rest, err := json.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", err)
	}
	if t.words, err = hftokenizer.NewFromContent(nil, rest); err != nil {
		return nil, fmt.Errorf("token: tokenizer.json: %w", err)
	}
	return t, nil
}

// check refuses what the library would read otherwise than it is meant.
func (f *file) check() error {
	if f.Model.Type != "WordPiece" {
		return fmt.Errorf("token: model is %q, want WordPiece", f.Model.Type)
	}
	if f.Normalizer == nil || f.Normalizer.Type != "BertNormalizer" || !f.Normalizer.CleanText {
		return errors.New("token: normalizer must be BertNormalizer with clean_text")
	}
	if f.PreTokenizer == nil || f.PreTokenizer.Type != "BertPreTokenizer" {
		return errors.New("token: pre_tokenizer must be BertPreTokenizer")
	}
	if _, ok := f.Model.Vocab[f.Model.UnkToken]; !ok {
		return fmt.Errorf("token: unk_token %q is not in the vocabulary of %d", f.Model.UnkToken, len(f.Model.Vocab))
	}
	return nil
}

// ids returns the id of [PAD] and one more than the largest id of vocabulary, added tokens and template.
func (f *file) ids(template []int32) (pad int32, size int, err error) {
	const most = 1 << 24
	pad = -1
	note := func(token string, id int) {
		if id < 0 || id >= most {
			err = fmt.Errorf("token: id of %q is %d, want 0 to %d", token, id, most-1)
		}
		if token == "[PAD]" {
			pad = int32(id)
		}
		size = max(size, id+1)
	}
	for token, id := range f.Model.Vocab {
		note(token, id)
	}
	for i, added := range f.AddedTokens {
		if added.Content == "" {
			return 0, 0, fmt.Errorf("token: added_tokens[%d] has no content", i)
		}
		note(added.Content, added.ID)
	}
	for _, id := range template {
		if int(id) >= size {
			err = fmt.Errorf("token: post_processor uses id %d, but the largest is %d", id, size-1)
		}
	}
	if err == nil && pad < 0 {
		err = errors.New("token: there is no [PAD] token")
	}
	return pad, size, err
}

package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// file is what is read of a tokenizer.json.
type file struct {
	AddedTokens   []addedToken   `json:"added_tokens"`
	Normalizer    *normalizer    `json:"normalizer"`
	PreTokenizer  *preTokenizer  `json:"pre_tokenizer"`
	PostProcessor *postProcessor `json:"post_processor"`
	Model         model          `json:"model"`
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

type preTokenizer struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space,omitempty"` // of ByteLevel
	UseRegex       *bool  `json:"use_regex,omitempty"`        // of ByteLevel
}

type model struct {
	Type     string         `json:"type"`
	UnkToken *string        `json:"unk_token"`
	Vocab    map[string]int `json:"vocab"`
	// Of WordPiece.
	ContinuingSubwordPrefix *string `json:"continuing_subword_prefix"`
	MaxInputCharsPerWord    int     `json:"max_input_chars_per_word,omitempty"`
	// Of BPE.
	Merges          []json.RawMessage `json:"merges,omitempty"` // "a b" or ["a", "b"]
	Dropout         *float64          `json:"dropout,omitempty"`
	EndOfWordSuffix *string           `json:"end_of_word_suffix,omitempty"`
	ByteFallback    bool              `json:"byte_fallback,omitempty"`
	IgnoreMerges    bool              `json:"ignore_merges,omitempty"`
}

// encoder is the model of the file with what stands before it.
func (f *file) encoder() (encoder, error) {
	for name, id := range f.Model.Vocab {
		if id < 0 || id >= mostIDs {
			return nil, fmt.Errorf("token: id of %q is %d, want 0 to %d", name, id, mostIDs-1)
		}
	}
	switch f.Model.Type {
	case "WordPiece":
		return f.wordPiece()
	case "BPE":
		return f.byteLevel()
	}
	return nil, fmt.Errorf("token: model is %q, want WordPiece or BPE", f.Model.Type)
}

func (f *file) wordPiece() (encoder, error) {
	if f.Normalizer == nil || f.Normalizer.Type != "BertNormalizer" || !f.Normalizer.CleanText {
		return nil, errors.New("token: normalizer must be BertNormalizer with clean_text")
	}
	if f.PreTokenizer == nil || f.PreTokenizer.Type != "BertPreTokenizer" {
		return nil, errors.New("token: pre_tokenizer must be BertPreTokenizer")
	}
	m := f.Model
	b := &bert{normalizer: *f.Normalizer, vocab: m.ids(), continuing: text(m.ContinuingSubwordPrefix, "##"), longest: m.MaxInputCharsPerWord}
	if b.longest == 0 {
		b.longest = longest
	}
	var known bool
	if b.unknown, known = b.vocab[text(m.UnkToken, "")]; !known {
		return nil, fmt.Errorf("token: unk_token %q is not in the vocabulary of %d", text(m.UnkToken, ""), len(m.Vocab))
	}
	return b, nil
}

// byteLevel reads a BPE that spells all text by bytes, so that nothing is unknown.
func (f *file) byteLevel() (encoder, error) {
	m, pre := f.Model, f.PreTokenizer
	switch {
	case f.Normalizer != nil:
		return nil, fmt.Errorf("token: normalizer is %q, want none beside BPE", f.Normalizer.Type)
	case pre == nil || pre.Type != "ByteLevel" || pre.UseRegex != nil && !*pre.UseRegex:
		return nil, errors.New("token: pre_tokenizer must be ByteLevel with its expression beside BPE")
	case m.Dropout != nil && *m.Dropout != 0 || text(m.ContinuingSubwordPrefix, "") != "" || text(m.EndOfWordSuffix, "") != "" || m.ByteFallback || m.IgnoreMerges:
		return nil, errors.New("token: model has dropout, continuing_subword_prefix, end_of_word_suffix, byte_fallback or ignore_merges, want none of them")
	}
	b := &bpe{vocab: m.ids(), ranks: map[[2]string]int{}, prefixSpace: pre.AddPrefixSpace}
	for value, name := range byteNames {
		if _, ok := b.vocab[name]; !ok {
			return nil, fmt.Errorf("token: the vocabulary of %d has no %q, which stands for byte %d", len(m.Vocab), name, value)
		}
	}
	for i, raw := range m.Merges {
		pair, ok := mergeOf(raw)
		if !ok {
			return nil, fmt.Errorf("token: merges[%d] is %.40s, want two tokens", i, raw)
		}
		if _, ok = b.vocab[pair[0]+pair[1]]; !ok {
			return nil, fmt.Errorf("token: merges[%d] makes %q, which the vocabulary does not have", i, pair[0]+pair[1])
		}
		b.ranks[pair] = i
	}
	return b, nil
}

// mergeOf reads a merge in either of its two forms.
func mergeOf(raw json.RawMessage) (pair [2]string, ok bool) {
	var list []string
	var line string
	if json.Unmarshal(raw, &list) != nil && json.Unmarshal(raw, &line) == nil {
		list = strings.Split(line, " ")
	}
	if len(list) != 2 {
		return pair, false
	}
	return [2]string(list), true
}

func text(s *string, otherwise string) string {
	if s == nil {
		return otherwise
	}
	return *s
}

// ids narrows the vocabulary, whose ids are in range.
func (m model) ids() map[string]int32 {
	ids := make(map[string]int32, len(m.Vocab))
	for token, id := range m.Vocab {
		ids[token] = int32(id)
	}
	return ids
}

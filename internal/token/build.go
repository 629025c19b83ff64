package token

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// specials are the first tokens of a built vocabulary; their ids are their places.
var specials = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}

const continuing = "##"

// longest word, in bytes, that WordPiece looks up; BERT's value.
const longest = 100

// Build writes a tokenizer.json with at most size tokens for the given texts: the special tokens, the characters (alone
// and, with ##, inside a word) and the most frequent words. Words seen once are left out: spelling them is what trains
// the characters, with which a word never seen before is spelt. Characters take at most a quarter of the tokens. The same
// texts, in any order, give the same bytes.
func Build(texts []string, size int) ([]byte, error) {
	if size < 2*len(specials) {
		return nil, fmt.Errorf("token: vocabulary size is %d, want at least %d", size, 2*len(specials))
	}
	f := empty()
	words, characters := count(texts, f.Normalizer)
	add := func(token string) {
		if _, known := f.Model.Vocab[token]; !known && len(f.Model.Vocab) < size {
			f.Model.Vocab[token] = len(f.Model.Vocab)
		}
	}
	for i, r := range byCount(characters) {
		if 2*(i+1) > size/4 {
			break
		}
		add(string(r))
		add(continuing + string(r))
	}
	for _, word := range byCount(words) {
		if words[word] > 1 && len(word) <= longest {
			add(word)
		}
	}
	return f.write()
}

func (f *builtFile) write() ([]byte, error) {
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return append(data, '\n'), nil
}

// empty is a tokenizer.json of BERT's kind that knows the special tokens only.
func empty() *builtFile {
	special := func(token string, typeID int) map[string]templatePart {
		return map[string]templatePart{"SpecialToken": {ID: token, TypeID: typeID}}
	}
	first, second := map[string]templatePart{"Sequence": {ID: "A"}}, map[string]templatePart{"Sequence": {ID: "B", TypeID: 1}}
	f := &builtFile{Version: "1.0", file: file{
		Normalizer:   &normalizer{Type: "BertNormalizer", CleanText: true, HandleChineseChars: true, Lowercase: true},
		PreTokenizer: &preTokenizer{Type: "BertPreTokenizer"},
		PostProcessor: &postProcessor{
			Type:          "TemplateProcessing",
			Single:        []map[string]templatePart{special("[CLS]", 0), first, special("[SEP]", 0)},
			Pair:          []map[string]templatePart{special("[CLS]", 0), first, special("[SEP]", 0), second, special("[SEP]", 1)},
			SpecialTokens: map[string]specialToken{},
		},
		Model: model{Type: "WordPiece", UnkToken: new("[UNK]"), ContinuingSubwordPrefix: new(continuing), MaxInputCharsPerWord: longest, Vocab: map[string]int{}},
	}}
	f.Decoder.Type, f.Decoder.Prefix, f.Decoder.Cleanup = "WordPiece", continuing, true
	for id, token := range specials {
		f.Model.Vocab[token] = id
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: id, Content: token, Special: true})
	}
	for _, token := range specials[2:] {
		f.PostProcessor.SpecialTokens[token] = specialToken{ID: token, IDs: []int{f.Model.Vocab[token]}, Tokens: []string{token}}
	}
	return f
}

// Basic says how BERT's basic tokenizer treats text before words are looked up. The zero value is that of a cased model.
type Basic struct {
	Lowercase    bool
	StripAccents *bool // nil: as Lowercase
	KeepChinese  bool  // Chinese characters are not words of their own
}

// FromVocabulary writes the tokenizer.json of BERT's tokenizer for the lines of its vocab.txt, whose numbers are the ids.
// As there, of two equal lines the second counts.
func FromVocabulary(lines []string, b Basic) ([]byte, error) {
	f := empty()
	f.Normalizer.Lowercase, f.Normalizer.StripAccents, f.Normalizer.HandleChineseChars = b.Lowercase, b.StripAccents, !b.KeepChinese
	f.Model.Vocab = map[string]int{}
	for id, line := range lines {
		f.Model.Vocab[strings.TrimRight(line, "\r\n")] = id
	}
	f.AddedTokens = nil
	for _, token := range append(slices.Clone(specials), "[MASK]") {
		id, known := f.Model.Vocab[token]
		if !known && token != "[MASK]" {
			return nil, fmt.Errorf("token: the vocabulary of %d lines has no %s", len(lines), token)
		}
		if known {
			f.AddedTokens = append(f.AddedTokens, addedToken{ID: id, Content: token, Special: true})
		}
	}
	slices.SortFunc(f.AddedTokens, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	for _, token := range specials[2:] {
		f.PostProcessor.SpecialTokens[token] = specialToken{ID: token, IDs: []int{f.Model.Vocab[token]}, Tokens: []string{token}}
	}
	return f.write()
}

// FromMerges writes the tokenizer.json of RoBERTa's tokenizer for its vocab.json and merges.txt. prefixSpace gives a text
// that begins without a space one.
func FromMerges(vocab map[string]int, merges string, prefixSpace bool) ([]byte, error) {
	f := &builtFile{Version: "1.0", file: file{
		PreTokenizer:  &preTokenizer{Type: "ByteLevel", AddPrefixSpace: prefixSpace},
		PostProcessor: &postProcessor{Type: "RobertaProcessing"},
		Model:         model{Type: "BPE", Vocab: vocab},
	}}
	f.Decoder.Type = "ByteLevel"
	for line := range strings.Lines(merges) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#version") {
			continue
		}
		raw, err := json.Marshal(line)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		f.Model.Merges = append(f.Model.Merges, raw)
	}
	for _, token := range []string{"<s>", "<pad>", "</s>", "<unk>", "<mask>"} {
		id, known := vocab[token]
		if !known {
			return nil, fmt.Errorf("token: the vocabulary of %d has no %s", len(vocab), token)
		}
		f.AddedTokens = append(f.AddedTokens, addedToken{ID: id, Content: token, Special: true, Lstrip: token == "<mask>"})
	}
	f.PostProcessor.Cls = json.RawMessage(fmt.Sprintf(`["<s>", %d]`, vocab["<s>"]))
	f.PostProcessor.Sep = json.RawMessage(fmt.Sprintf(`["</s>", %d]`, vocab["</s>"]))
	return f.write()
}

// builtFile has the fields that other readers of the format expect besides.
type builtFile struct {
	Version    string    `json:"version"`
	Truncation *struct{} `json:"truncation"`
	Padding    *struct{} `json:"padding"`
	file
	Decoder struct {
		Type    string `json:"type"`
		Prefix  string `json:"prefix,omitempty"`
		Cleanup bool   `json:"cleanup,omitempty"`
	} `json:"decoder"`
}

// count counts words and characters as the tokenizer will see them.
func count(texts []string, n *normalizer) (words map[string]int, characters map[rune]int) {
	words, characters = map[string]int{}, map[rune]int{}
	for _, text := range texts {
		for word := range wordsOf(n.normalise(text)) {
			words[word]++
			for _, r := range word {
				characters[r]++
			}
		}
	}
	return words, characters
}

// byCount lists keys from the most to the least frequent, equal ones in order.
func byCount[K cmp.Ordered](counts map[K]int) []K {
	return slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

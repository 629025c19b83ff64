package pretrained

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/token"
)

// text is what a network that reads text asks of its tokenizer.
type text struct {
	pad     int // id of padding
	longest int // tokens, by the position table
}

// The files that say how text becomes tokens.
const (
	tokenizerFile       = "tokenizer.json"
	tokenizerConfigFile = "tokenizer_config.json"
	vocabFile           = "vocab.txt"
	bytesFile           = "vocab.json" // beside mergesFile
	mergesFile          = "merges.txt"
	sentenceFile        = "sentence_bert_config.json"
	poolingFile         = "1_Pooling/config.json"
)

// tokenizerConfig is what is read of tokenizer_config.json; the rest of it concerns texts that are generated, or repeats
// tokenizer.json.
type tokenizerConfig struct {
	LowerCase    *bool    `json:"do_lower_case"`
	StripAccents *bool    `json:"strip_accents"`
	Chinese      *bool    `json:"tokenize_chinese_chars"`
	Basic        *bool    `json:"do_basic_tokenize"`
	NeverSplit   []string `json:"never_split"`
	MaxLength    *float64 `json:"model_max_length"` // 1e30 stands for none
	PrefixSpace  bool     `json:"add_prefix_space"`
	Padding      string   `json:"padding_side"`
}

// readTokenizer sets tokenizer and greatest length, and checks that they fit the network.
func (m *Model) readTokenizer(dir *folder, want *text) error {
	config, err := readJSON[tokenizerConfig](dir, tokenizerConfigFile)
	if err != nil {
		return err
	}
	name := tokenizerFile
	if m.Tokenizer, err = dir.readIfThere(tokenizerFile); err != nil {
		return err
	}
	if m.Tokenizer == nil {
		if m.Tokenizer, name, err = fromOlderFiles(dir, config); err != nil {
			return err
		}
	} else if err := config.agrees(m.Tokenizer); err != nil {
		return err
	}
	tokens, err := token.Load(m.Tokenizer)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if int(tokens.PadID()) != want.pad {
		return fmt.Errorf("%s: padding has id %d, want %d, the pad_token_id of %s", name, tokens.PadID(), want.pad, configFile)
	}
	if vocab := m.Backbone.(*backbone.Encoder).Vocab; tokens.VocabSize() > vocab {
		return fmt.Errorf("%s: the largest id is %d, want less than %d, the vocab_size of %s", name, tokens.VocabSize()-1, vocab, configFile)
	}
	m.MaxLength = want.longest
	if config.MaxLength != nil && *config.MaxLength < float64(m.MaxLength) {
		m.MaxLength = int(*config.MaxLength)
	}
	sentence, err := readJSON[struct {
		MaxLength int `json:"max_seq_length"`
	}](dir, sentenceFile)
	if sentence.MaxLength > 0 {
		m.MaxLength = min(m.MaxLength, sentence.MaxLength)
	}
	return err
}

// fromOlderFiles makes a tokenizer.json of what tokenizers kept before there was one, and says which file counts.
func fromOlderFiles(dir *folder, config tokenizerConfig) (data []byte, name string, err error) {
	vocabulary, err := dir.readIfThere(vocabFile)
	if err != nil {
		return nil, "", err
	}
	if vocabulary != nil {
		data, err = fromVocabulary(vocabulary, config)
		return data, vocabFile, err
	}
	vocab, err := readJSON[map[string]int](dir, bytesFile)
	if err != nil {
		return nil, "", err
	}
	if vocab == nil {
		return nil, "", fmt.Errorf("there is no tokenizer, want %s, %s, or %s with %s", tokenizerFile, vocabFile, bytesFile, mergesFile)
	}
	merges, err := dir.read(mergesFile)
	if err != nil {
		return nil, "", err
	}
	if data, err = token.FromMerges(vocab, string(merges), config.PrefixSpace); err != nil {
		err = fmt.Errorf("%s: %w", bytesFile, err)
	}
	return data, bytesFile, err
}

// fromVocabulary makes a tokenizer.json of vocab.txt, as BertTokenizer reads it.
func fromVocabulary(vocabulary []byte, config tokenizerConfig) ([]byte, error) {
	if config.Basic != nil && !*config.Basic || len(config.NeverSplit) > 0 {
		return nil, fmt.Errorf("%s: do_basic_tokenize and never_split are set, want neither", tokenizerConfigFile)
	}
	lines := strings.Split(strings.TrimSuffix(string(vocabulary), "\n"), "\n")
	data, err := token.FromVocabulary(lines, token.Basic{
		Lowercase: config.LowerCase == nil || *config.LowerCase, StripAccents: config.StripAccents,
		KeepChinese: config.Chinese != nil && !*config.Chinese,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", vocabFile, err)
	}
	return data, nil
}

// agrees reports where tokenizer_config.json contradicts the normalizer of tokenizer.json: transformers then follows the
// former, other programs the latter.
func (c tokenizerConfig) agrees(tokenizer []byte) error {
	var file struct {
		Normalizer *struct {
			Type         string `json:"type"`
			Lowercase    bool   `json:"lowercase"`
			StripAccents *bool  `json:"strip_accents"`
			Chinese      bool   `json:"handle_chinese_chars"`
		} `json:"normalizer"`
	}
	if err := json.Unmarshal(tokenizer, &file); err != nil {
		return fmt.Errorf("%s: %w", tokenizerFile, err)
	}
	n := file.Normalizer
	if c.Padding != "" && c.Padding != "right" {
		return fmt.Errorf("%s: padding_side is %q, want right", tokenizerConfigFile, c.Padding)
	}
	if n == nil || n.Type != "BertNormalizer" {
		return nil // none of these fields is about it
	}
	for _, pair := range []struct {
		field           string
		here, tokenizer *bool
	}{{"do_lower_case", c.LowerCase, &n.Lowercase}, {"tokenize_chinese_chars", c.Chinese, &n.Chinese}, {"strip_accents", c.StripAccents, n.StripAccents}} {
		if pair.here != nil && (pair.tokenizer == nil || *pair.here != *pair.tokenizer) {
			return fmt.Errorf("%s: %s is %t, but the normalizer of %s says otherwise", tokenizerConfigFile, pair.field, *pair.here, tokenizerFile)
		}
	}
	return nil
}

// pooling is how sentence-transformers makes one vector of the hidden states, "mean" where the folder does not say.
func (f *folder) pooling() (string, error) {
	modes, err := readJSON[map[string]any](f, poolingFile)
	if err != nil {
		return "", err
	}
	var on []string
	for _, name := range sortedKeys(modes) {
		if strings.HasPrefix(name, "pooling_mode_") && modes[name] == true {
			on = append(on, name)
		}
	}
	switch {
	case modes == nil || slices.Equal(on, []string{"pooling_mode_mean_tokens"}):
		return "mean", nil
	case slices.Equal(on, []string{"pooling_mode_cls_token"}):
		return "cls", nil
	}
	return "", fmt.Errorf("%s: %q are set, want pooling_mode_mean_tokens or pooling_mode_cls_token alone", poolingFile, on)
}

// readJSON reads some fields of a file that may be missing.
func readJSON[T any](f *folder, name string) (v T, err error) {
	data, err := f.readIfThere(name)
	if err != nil || data == nil {
		return v, err
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

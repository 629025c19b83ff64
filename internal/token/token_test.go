package token_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/layarun/layarun/internal/token"
)

// small is built by hand below: specials 0-3; of the characters t (5 times), a (3), c, e, h (2 each) and s (1) the first
// five fit into a quarter of 40, each with its ## form, 4-13; then the words seen twice, cat 14 and the 15.
func small(t testing.TB) *token.Tokenizer {
	t.Helper()
	data, err := token.Build([]string{"The cat", "the CAT sat"}, 40)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := token.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func Example() {
	data, err := token.Build([]string{"the cat", "the cat sat"}, 40)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := token.Load(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Encode("The cat, the hat", 16), t.VocabSize(), t.PadID())
	// Output: [2 15 14 1 15 12 7 5 3] 16 0
}

func TestEncode(t *testing.T) {
	tok := small(t)
	for _, test := range []struct {
		name, text string
		maxLen     int
		want       []int32
	}{
		{"words and spelt words", "the hat", 16, []int32{2, 15, 12, 7, 5, 3}},
		{"punctuation stands alone", "cat's", 16, []int32{2, 14, 1, 1, 3}},
		{"empty", "", 16, []int32{2, 3}},
		{"white space", " \t\r\n\u00a0\u2028 ", 16, []int32{2, 3}},
		{"accents and case", "THÉ cát", 16, []int32{2, 15, 14, 3}},
		{"combining accent", "the\u0301", 16, []int32{2, 15, 3}},
		{"unknown character", "thé\u4e2dcat", 16, []int32{2, 15, 1, 14, 3}}, // CJK is a word of its own
		{"emoji", "cat 😺", 16, []int32{2, 14, 1, 3}},
		{"control characters", "c\x00a\x07t\u200b\ufffd\x7f", 16, []int32{2, 14, 3}},
		{"not UTF-8", "ca\xfft", 16, []int32{2, 14, 3}},
		{"line separator divides", "cat\u2028cat", 16, []int32{2, 14, 14, 3}},
		{"over-long word", strings.Repeat("t", 101), 16, []int32{2, 1, 3}},
		{"special token in the text", "cat[SEP]cat", 16, []int32{2, 14, 3, 14, 3}},
		{"cut", "the cat the cat", 4, []int32{2, 15, 14, 3}},
		{"cut inside a word", "hat", 4, []int32{2, 12, 7, 3}},
		{"just fits", "the cat", 4, []int32{2, 15, 14, 3}},
		{"special tokens only", "the cat", 2, []int32{2, 3}},
		{"too short for them", "the cat", 1, []int32{2}},
		{"nothing", "the cat", 0, []int32{}},
		{"negative", "the cat", -1, []int32{}},
	} {
		if got := tok.Encode(test.text, test.maxLen); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q gives %v, want %v", test.name, test.text, got, test.want)
		}
	}
}

// Pieces are cut near 512 bytes; words of 3 letters and a space put every offset at a cut.
func TestLongTextIsEncodedPieceByPiece(t *testing.T) {
	tok := small(t)
	for shift := range 8 {
		got := tok.Encode(strings.Repeat(" ", shift)+strings.Repeat("the cat ", 5000), 20000)
		if len(got) != 10002 || slices.Contains(got, 1) {
			t.Fatalf("shift %d: %d ids, want 10000 words and 2 special tokens, none unknown", shift, len(got))
		}
	}
	// Without white space: each comma is a token, each word between two cuts of 1,024 bytes is whole.
	if got := tok.Encode(strings.Repeat("cat,", 1<<18), 9); !slices.Equal(got, []int32{2, 14, 1, 14, 1, 14, 1, 14, 3}) {
		t.Errorf("a long run gives %v", got)
	}
	if got := tok.Encode(strings.Repeat("中", 1<<14), 1<<15); len(got) != 1<<14+2 {
		t.Errorf("%d characters give %d ids", 1<<14, len(got))
	}
}

func TestEncodeConcurrently(t *testing.T) {
	tok := small(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if got := tok.Encode("the hat", 16); !slices.Equal(got, []int32{2, 15, 12, 7, 5, 3}) {
					t.Errorf("got %v", got)
				}
			}
		})
	}
	group.Wait()
}

func TestBuildKeepsToSizeAndIgnoresOrder(t *testing.T) {
	texts := []string{"one two three", "three two", "three, ünïcödé ünïcödé"}
	for size := 8; size < 60; size++ {
		data, err := token.Build(texts, size)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := token.Load(data)
		if err != nil {
			t.Fatal(err)
		}
		if tok.VocabSize() > size {
			t.Errorf("size %d: %d tokens", size, tok.VocabSize())
		}
		backwards := slices.Clone(texts)
		slices.Reverse(backwards)
		if again, _ := token.Build(backwards, size); string(again) != string(data) {
			t.Errorf("size %d: the order of texts changed the vocabulary", size)
		}
	}
	if _, err := token.Build(texts, 7); err == nil {
		t.Error("a vocabulary of 7 was built")
	}
}

func TestLoadReadsBertProcessing(t *testing.T) {
	data := change(t, "post_processor", `{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}`)
	tok, err := token.Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Encode("cat cat cat", 4); !slices.Equal(got, []int32{2, 14, 14, 3}) {
		t.Errorf("got %v", got)
	}
}

// change is the small tokenizer with one top-level field replaced.
func change(t *testing.T, field, value string) []byte {
	t.Helper()
	data, err := token.Build([]string{"the cat", "the cat sat"}, 40)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	fields[field] = json.RawMessage(value)
	data, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLoadRefuses(t *testing.T) {
	vocab := func(entries string) string {
		return `{"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 1` + entries + `}}`
	}
	template := func(single string) string { return `{"type": "TemplateProcessing", "single": ` + single + `}` }
	for name, test := range map[string]struct{ field, value, want string }{
		"BPE beside BERT":      {"model", `{"type": "BPE", "vocab": {}, "merges": []}`, "normalizer is \"BertNormalizer\", want none beside BPE"},
		"another model":        {"model", `{"type": "Unigram", "vocab": {}}`, "model is \"Unigram\", want WordPiece or BPE"},
		"added and normalized": {"added_tokens", `[{"id": 1, "content": "x", "normalized": true}]`, "single_word or normalized"},
		"no unknown token":     {"model", `{"type": "WordPiece", "vocab": {"a": 0}}`, "unk_token"},
		"negative id":          {"model", vocab(`, "a": -1`), `"a" is -1`},
		"huge id":              {"model", vocab(`, "a": 16777216`), "16777216"},
		"vocabulary as list":   {"model", `{"type": "WordPiece", "vocab": [["a", 0.5]]}`, "vocab"},
		"added without text":   {"added_tokens", `[{"id": 1, "content": ""}]`, "added_tokens[0]"},
		"added out of range":   {"added_tokens", `[{"id": -5, "content": "x"}]`, "-5"},
		"another normalizer":   {"normalizer", `{"type": "NFC"}`, "normalizer"},
		"no normalizer":        {"normalizer", `null`, "normalizer"},
		"another pretokenizer": {"pre_tokenizer", `{"type": "ByteLevel"}`, "pre_tokenizer"},
		"another template":     {"post_processor", `{"type": "Other"}`, "post_processor"},
		"template without text": {"post_processor", template(`[{"SpecialToken": {"id": "[CLS]"}}]`),
			"0 sequences"},
		"template of neither": {"post_processor", template(`[{}]`), "single[0]"},
		"special out of vocabulary": {"post_processor", `{"type": "BertProcessing", "sep": ["[SEP]", 99], "cls": ["[CLS]", 2]}`,
			"99"},
		"special without id": {"post_processor", `{"type": "BertProcessing", "sep": ["[SEP]"], "cls": ["[CLS]", 2]}`, "[SEP]"},
	} {
		_, err := token.Load(change(t, test.field, test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, test.want)
		}
	}
	padless := []byte(`{"model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"[UNK]": 0}},
		"normalizer": {"type": "BertNormalizer", "clean_text": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}}`)
	if _, err := token.Load(padless); err == nil || !strings.Contains(err.Error(), "[PAD]") {
		t.Errorf("without padding the error is %v", err)
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"model": 3}`, `{"model": {"type": "WordPiece"}`} {
		if _, err := token.Load([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// bytesWith is the byte-level tokenizer of testdata with one field of the file, or of its model, replaced.
func bytesWith(t *testing.T, section, field, value string) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/bytes.json")
	if err != nil {
		t.Fatal(err)
	}
	var fields, model map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(fields["model"], &model); err != nil {
		t.Fatal(err)
	}
	if section == "model" {
		model[field] = json.RawMessage(value)
	} else {
		fields[field] = json.RawMessage(value)
	}
	if fields["model"], err = json.Marshal(model); err != nil {
		t.Fatal(err)
	}
	if data, err = json.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLoadRefusesOtherBytes(t *testing.T) {
	for _, test := range []struct{ section, field, value, want string }{
		{"", "normalizer", `{"type": "NFC"}`, `normalizer is "NFC", want none`},
		{"", "pre_tokenizer", `{"type": "ByteLevel", "use_regex": false}`, "pre_tokenizer must be ByteLevel"},
		{"", "pre_tokenizer", `{"type": "Whitespace"}`, "pre_tokenizer must be ByteLevel"},
		{"model", "dropout", "0.1", "want none of them"},
		{"model", "byte_fallback", "true", "want none of them"},
		{"model", "end_of_word_suffix", `"</w>"`, "want none of them"},
		{"model", "vocab", `{"<pad>": 0, "a": 1}`, "which stands for byte 0"},
		{"model", "merges", `["a b c"]`, `merges[0] is "a b c", want two tokens`},
		{"model", "merges", `[["a"]]`, `merges[0] is ["a"], want two tokens`},
		{"model", "merges", `["a \u0110"]`, `merges[0] makes "aĐ", which the vocabulary`},
	} {
		_, err := token.Load(bytesWith(t, test.section, test.field, test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: error is %v, want one with %q", test.field, test.value, err, test.want)
		}
	}
}

// The older files make the same tokenizer as tokenizer.json.
func TestFromMerges(t *testing.T) {
	data, err := os.ReadFile("testdata/bytes.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Model struct {
			Vocab  map[string]int
			Merges [][2]string
		}
	}
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	merges := "#version: 0.2\n"
	for _, pair := range f.Model.Merges {
		merges += pair[0] + " " + pair[1] + "\n"
	}
	want, _ := reference(t, "bytes.json")
	for _, space := range []bool{false, true} {
		built, err := token.FromMerges(f.Model.Vocab, merges, space)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.Load(built)
		if err != nil {
			t.Fatal(err)
		}
		text := "doesn't stop: 3.14   café\n"
		if a, b := got.Encode(text, 64), want.Encode(map[bool]string{true: " "}[space]+text, 64); !slices.Equal(a, b) {
			t.Errorf("prefix space %t: %v, want %v", space, a, b)
		}
	}
	if _, err := token.FromMerges(map[string]int{"a": 0}, "", false); err == nil || !strings.Contains(err.Error(), "no <s>") {
		t.Errorf("built without special tokens: %v", err)
	}
}

// A word of any length is merged in time that hardly grows faster than it.
func TestLongWord(t *testing.T) {
	tok, _ := reference(t, "bytes.json")
	if got := tok.Encode(strings.Repeat("中a", 1<<18), 8); len(got) != 8 {
		t.Errorf("got %v, want 8 ids", got)
	}
}

func FuzzEncode(f *testing.F) {
	tok := small(f)
	for _, text := range []string{"the cat", "", "thé 中 😺 \x00 [SEP] \xff", strings.Repeat("ab ", 400)} {
		f.Add(text, 16)
	}
	f.Fuzz(func(t *testing.T, text string, maxLen int) {
		maxLen %= 5000
		ids := tok.Encode(text, maxLen)
		if len(ids) > max(0, maxLen) {
			t.Fatalf("%d ids, want at most %d", len(ids), maxLen)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("id %d is not in a vocabulary of %d", id, tok.VocabSize())
			}
		}
		if maxLen >= 2 && (ids[0] != 2 || ids[len(ids)-1] != 3) {
			t.Fatalf("special tokens are missing in %v", ids)
		}
	})
}

func FuzzLoad(f *testing.F) {
	data, err := token.Build([]string{"the cat", "the cat sat"}, 40)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := token.Load(data)
		if err != nil {
			return
		}
		for _, id := range tok.Encode("The cat, thé 中 hat [SEP]", 32) {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("id %d is not in a vocabulary of %d", id, tok.VocabSize())
			}
		}
	})
}

package token

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// bert is BertNormalizer, BertPreTokenizer and WordPiece, in one pass from text to ids.
type bert struct {
	normalizer normalizer
	vocab      map[string]int32
	unknown    int32
	continuing string // before a piece that does not begin a word: "##"
	longest    int    // characters of a word that is looked up
}

// encode gives the ids of text to emit, until that returns false.
func (b *bert) encode(text string, emit func(id int32) bool) bool {
	for word := range wordsOf(b.normalizer.normalise(text)) {
		for _, id := range b.pieces(word) {
			if !emit(id) {
				return false
			}
		}
	}
	return true
}

// pieces is WordPiece: the longest piece of the vocabulary that the rest of the word begins with, again and again. A word
// that cannot be spelt so to its end is unknown as a whole, and so is one that is too long.
func (b *bert) pieces(word string) []int32 {
	unknown := []int32{b.unknown}
	if utf8.RuneCountInString(word) > b.longest {
		return unknown
	}
	var ids []int32
	for start := 0; start < len(word); {
		prefix := ""
		if start > 0 {
			prefix = b.continuing
		}
		end := len(word)
		for ; end > start; end-- {
			if end < len(word) && !utf8.RuneStart(word[end]) {
				continue
			}
			if id, ok := b.vocab[prefix+word[start:end]]; ok {
				ids = append(ids, id)
				break
			}
		}
		if end == start {
			return unknown
		}
		start = end
	}
	return ids
}

// normalise is BertNormalizer, always with clean_text: control characters go, white space becomes spaces, Chinese characters
// stand apart, accents are stripped, letters made small.
func (n *normalizer) normalise(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	for _, r := range text {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			out.WriteByte(' ')
		case r == 0 || r == utf8.RuneError || control(r):
		case unicode.IsSpace(r):
			out.WriteByte(' ')
		case n.HandleChineseChars && chinese(r):
			out.WriteByte(' ')
			out.WriteRune(r)
			out.WriteByte(' ')
		default:
			out.WriteRune(r)
		}
	}
	text = out.String()
	if strip := n.StripAccents; strip == nil && n.Lowercase || strip != nil && *strip {
		text = strings.Map(func(r rune) rune {
			if mark(r) {
				return -1
			}
			return r
		}, norm.NFD.String(text))
	}
	if n.Lowercase {
		text = lower(text)
	}
	return text
}

// lower makes each character small by itself, whatever stands beside it.
func lower(text string) string {
	if strings.ContainsRune(text, 'İ') { // the one character that becomes two
		text = strings.ReplaceAll(text, "İ", "i\u0307")
	}
	return strings.Map(unicode.ToLower, text)
}

// wordsOf is BertPreTokenizer on normalised text: words between white space, punctuation marks each for themselves.
func wordsOf(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start := 0
		for i, r := range text {
			space := unicode.IsSpace(r)
			if !space && !punctuation(r) {
				continue
			}
			if start < i && !yield(text[start:i]) {
				return
			}
			if start = i + utf8.RuneLen(r); !space && !yield(text[i:start]) {
				return
			}
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}

// punctuation counts ASCII's symbols ($, +, ~) too, as BERT does.
func punctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return unicode.IsPunct(r) || unicode.IsSymbol(r)
	}
	return unicode.IsPunct(r) && !unicode.Is(newer, r) || slices.Contains(formerPunctuation, r)
}

// mark reports what stripping accents takes away.
func mark(r rune) bool { return unicode.Is(unicode.Mn, r) && !unicode.Is(newer, r) || r == formerMark }

// control reports what cleaning takes away.
func control(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(newer, r)
}

// chinese are the blocks of CJK ideographs that BERT divides, one of which it begins 256 characters late.
func chinese(r rune) bool {
	return r >= 0x3400 && (r <= 0x4dbf || r >= 0x4e00 && r <= 0x9fff || r >= 0xf900 && r <= 0xfaff || r >= 0x20000 && r <= 0x2a6df ||
		r >= 0x2a700 && r <= 0x2b73f || r >= 0x2b740 && r <= 0x2b81f || r >= 0x2b920 && r <= 0x2ceaf || r >= 0x2f800 && r <= 0x2fa1f)
}

package token

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// bpe is byte-level byte-pair encoding (Radford et al. 2019), as GPT-2 and RoBERTa use it.
type bpe struct {
	vocab       map[string]int32
	ranks       map[[2]string]int // of the merges: the smaller is made first
	prefixSpace bool              // a text that begins without a space is given one
}

// encode gives the ids of text to emit, until that returns false.
func (b *bpe) encode(text string, emit func(id int32) bool) bool {
	if text == "" {
		return true
	}
	if first, _ := utf8.DecodeRuneInString(text); b.prefixSpace && !unicode.IsSpace(first) {
		text = " " + text
	}
	for word := range gptWords(text) {
		for _, piece := range b.merge(spell(word)) {
			if !emit(b.vocab[piece]) { // Load has seen to it that every byte is there, and every merge
				return false
			}
		}
	}
	return true
}

// merge joins neighbours, always the pair that was learnt first and of equal pairs the leftmost, as long as there is one.
// Words have any length, so candidates wait in a heap; those that a merge beside them has overtaken are dropped when their
// turn comes.
func (b *bpe) merge(parts []string) []string {
	left, right := make([]int, len(parts)), make([]int, len(parts)) // neighbours that are left, by place
	var waiting candidates
	consider := func(i int) {
		if i < 0 || right[i] == len(parts) {
			return
		}
		if rank, ok := b.ranks[[2]string{parts[i], parts[right[i]]}]; ok {
			heap.Push(&waiting, candidate{rank, i, parts[i], parts[right[i]]})
		}
	}
	for i := range parts {
		left[i], right[i] = i-1, i+1
	}
	for i := range parts {
		consider(i)
	}
	for len(waiting) > 0 {
		c := heap.Pop(&waiting).(candidate)
		at := c.at
		if parts[at] != c.first || right[at] == len(parts) || parts[right[at]] != c.second {
			continue
		}
		gone := right[at]
		parts[at] += parts[gone]
		parts[gone] = "" // no part is empty, so nothing that waits for it can be taken
		if right[at] = right[gone]; right[at] < len(parts) {
			left[right[at]] = at
		}
		consider(left[at])
		consider(at)
	}
	return slices.DeleteFunc(parts, func(part string) bool { return part == "" })
}

// candidate is a pair that may be merged: its rank, and the place and text of its parts.
type candidate struct {
	rank, at      int
	first, second string
}

// candidates is a heap by rank, then place.
type candidates []candidate

func (c candidates) Len() int           { return len(c) }
func (c candidates) Less(i, j int) bool { return cmp.Or(c[i].rank-c[j].rank, c[i].at-c[j].at) < 0 }
func (c candidates) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)        { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// gptWords divides text as GPT-2's expression does:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func gptWords(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			n := gptWord(text)
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
	}
}

// gptWord is the length of the word that text begins with.
func gptWord(text string) int {
	for _, ending := range []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, ending) {
			return len(ending)
		}
	}
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	if r, _ := utf8.DecodeRuneInString(text[start:]); start < len(text) && classOf(r) != space {
		return start + run(text[start:], classOf(r))
	}
	// White space: all of it at the end of the text, else all but the last, which goes to the word behind it if it is a space.
	n := run(text, space)
	if n == len(text) {
		return n
	}
	_, last := utf8.DecodeLastRuneInString(text[:n])
	if n > last {
		return n - last
	}
	return n
}

// The classes of characters that make words.
const (
	space = iota
	letter
	number
	other
)

func classOf(r rune) int {
	switch {
	case unicode.IsSpace(r):
		return space
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return number
	}
	return other
}

// run is the length of the characters of one class that text begins with.
func run(text string, class int) int {
	for i, r := range text {
		if classOf(r) != class {
			return i
		}
	}
	return len(text)
}

// byteNames are the characters that stand for the 256 bytes in vocabulary and merges: printable ones for themselves, the
// others in order from U+0100.
var byteNames = func() (names [256]string) {
	next := rune(256)
	for b := range names {
		r := rune(b)
		if !(r >= '!' && r <= '~' || r >= 0xa1 && r <= 0xac || r >= 0xae && r <= 0xff) {
			r = next
			next++
		}
		names[b] = string(r)
	}
	return names
}()

func spell(word string) []string {
	parts := make([]string, len(word))
	for i := range len(word) {
		parts[i] = byteNames[word[i]]
	}
	return parts
}

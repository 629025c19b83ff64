package train

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/dataset"
)

func TestPaddedLength(t *testing.T) {
	want := []int{8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}
	for longest := 1; longest <= 512; longest++ {
		at, _ := slices.BinarySearch(want, longest)
		if got := paddedLength(longest, 512); got != want[at] {
			t.Fatalf("%d tokens are padded to %d, want %d", longest, got, want[at])
		}
		if got := paddedLength(longest, 20); got > 20 {
			t.Fatalf("%d tokens are padded to %d, the network has 20", longest, got)
		}
	}
}

// Batches hold every sample at most once and all but those that do not fill one; the same seed makes the same; and texts
// in one are of about one length.
func TestBatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, size := rapid.IntRange(1, 3000).Draw(t, "n"), rapid.IntRange(1, 40).Draw(t, "size")
		seed := rapid.Uint64().Draw(t, "seed")
		size = min(size, n)
		s := &samples{set: &dataset.Set{Texts: make([]string, n), Labels: make([]int, n)}, max: 64}
		lengths := rand.New(rand.NewPCG(seed, 1))
		for range n {
			s.tokens = append(s.tokens, make([]int32, 1+lengths.IntN(64)))
		}
		make := func() [][]int {
			rng := rand.New(rand.NewPCG(seed, 2))
			return s.batches(rng.Perm(n), size, rng)
		}
		all := make()
		if again := make(); !slices.EqualFunc(all, again, slices.Equal[[]int]) {
			t.Fatal("the same seed makes other batches")
		}
		seen := map[int]bool{}
		padded, random := 0, 0
		for _, b := range all {
			if len(b) != size {
				t.Fatalf("a batch has %d samples, want %d", len(b), size)
			}
			for _, i := range b {
				if seen[i] {
					t.Fatalf("sample %d is in two batches", i)
				}
				seen[i] = true
			}
			padded += s.length(b)
		}
		if len(seen) != n/size*size {
			t.Fatalf("%d samples of %d in batches of %d", len(seen), n, size)
		}
		for b := range slices.Chunk(rand.New(rand.NewPCG(seed, 2)).Perm(n)[:n/size*size], size) {
			random += s.length(b)
		}
		if padded > random {
			t.Fatalf("padded to %d in all, in the order drawn it would be %d", padded, random)
		}
	})
}

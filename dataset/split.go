package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Splits are four disjoint parts of one set. Everything is fitted on Train, chosen on Validation, certified once on
// Calibration and reported on Test. Calibration is empty where a published protocol leaves none.
type Splits struct {
	Train, Validation, Calibration, Test *Set
}

// Sizes are numbers of samples; what is left over is the training split.
type Sizes struct {
	Validation, Calibration, Test int
}

// DefaultSizes are those for n samples of which nothing is known: a tenth to choose, a fifth to certify, a fifth to
// report, half to train.
func DefaultSizes(n int) Sizes { return Sizes{Validation: n / 10, Calibration: n / 5, Test: n / 5} }

// Split deals a set into four parts. The same set, sizes and seed give the same parts. Each part has its share of every
// class. Samples of one group, and samples that are identical (texts: up to case and white space), stay together, so a
// part may miss its size by about the size of a group; without groups and duplicates sizes are exact. Within a part the
// samples keep their order. It is an error if the sizes leave no sample to train on.
func Split(s *Set, sizes Sizes, seed uint64) (*Splits, error) {
	if err := sizes.check(s); err != nil {
		return nil, err
	}
	parts := deal(s, sizes, seed)
	if len(parts[0]) == 0 {
		return nil, fmt.Errorf("dataset: %s: nothing is left to train on: its groups are too large to divide", s.Name)
	}
	var sets [4]*Set
	for p, indices := range parts {
		slices.Sort(indices)
		sets[p] = s.Subset(indices)
	}
	return &Splits{Train: sets[0], Validation: sets[1], Calibration: sets[2], Test: sets[3]}, nil
}

func (p *Splits) validate() error {
	return errors.Join(p.Train.Validate(), p.Validation.Validate(), p.Calibration.Validate(), p.Test.Validate())
}

func (z Sizes) check(s *Set) error {
	if z.Validation < 0 || z.Calibration < 0 || z.Test < 0 {
		return fmt.Errorf("dataset: %s: sizes are %+v, want 0 or more samples each", s.Name, z)
	}
	// Compared one by one: their sum may overflow.
	rest := s.Len()
	for _, size := range []int{z.Validation, z.Calibration, z.Test} {
		if size >= rest {
			return fmt.Errorf("dataset: %s: %d samples cannot give validation %d, calibration %d and test %d and leave some to train on",
				s.Name, s.Len(), z.Validation, z.Calibration, z.Test)
		}
		rest -= size
	}
	return nil
}

// deal gives the indices of train, validation, calibration and test. Units are drawn as from an urn: each goes to a part
// with a probability proportional to what the part still needs of the unit's class. That fills every quota exactly when
// units are single samples, and favours no part with the large units, which come first.
func deal(s *Set, sizes Sizes, seed uint64) [4][]int {
	need := quotas(s, sizes)
	rng := rand.New(rand.NewPCG(seed, 0))
	all := units(s)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b []int) int { return cmp.Compare(len(b), len(a)) })
	var parts [4][]int
	for _, unit := range all {
		p := drawPart(s, unit, need, rng)
		parts[p] = append(parts[p], unit...)
		for _, i := range unit {
			need[p][s.Labels[i]+1]--
		}
	}
	return parts
}

func drawPart(s *Set, unit []int, need [4][]int, rng *rand.Rand) int {
	var weight [4]int
	total := 0
	for p := range need {
		for _, i := range unit {
			weight[p] += max(0, need[p][s.Labels[i]+1])
		}
		total += weight[p]
	}
	if total == 0 {
		return 0
	}
	ticket := rng.IntN(total)
	for p, w := range weight {
		if ticket < w {
			return p
		}
		ticket -= w
	}
	panic("dataset: a ticket beyond the urn")
}

// quotas is the number of samples each part should get of each label; index 0 is for samples without one.
func quotas(s *Set, sizes Sizes) [4][]int {
	rest := make([]int, len(s.Classes)+1)
	for _, label := range s.Labels {
		rest[label+1]++
	}
	var need [4][]int
	for p, size := range []int{sizes.Validation, sizes.Calibration, sizes.Test} {
		need[p+1] = apportion(size, rest)
		for c, q := range need[p+1] {
			rest[c] -= q
		}
	}
	need[0] = rest
	return need
}

// apportion divides size over classes in proportion to counts by largest remainders; no class gets more than its count.
func apportion(size int, counts []int) []int {
	total := 0
	for _, n := range counts {
		total += n
	}
	quota, order := make([]int, len(counts)), make([]int, len(counts))
	remainder := make([]float64, len(counts))
	left := size
	for c, n := range counts {
		ideal := float64(size) * float64(n) / float64(total)
		quota[c] = int(math.Floor(ideal))
		remainder[c] = ideal - float64(quota[c])
		order[c] = c
		left -= quota[c]
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(remainder[b], remainder[a]) })
	for _, c := range order[:left] {
		quota[c]++
	}
	return quota
}

// units lists the samples that must stay together: those of one group and those that are identical, transitively. Units
// are in the order of their first samples.
func units(s *Set) [][]int {
	parent := make([]int, s.Len())
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	byGroup, byContent := map[int]int{}, map[identity]int{}
	for i := range parent {
		parent[i] = i
		if s.Groups != nil {
			join(byGroup, s.Groups[i], i, parent, find)
		}
		join(byContent, s.identity(i), i, parent, find)
	}
	var all [][]int
	place := map[int]int{}
	for i := range parent {
		root := find(i)
		at, ok := place[root]
		if !ok {
			at = len(all)
			place[root] = at
			all = append(all, nil)
		}
		all[at] = append(all[at], i)
	}
	return all
}

func join[K comparable](first map[K]int, key K, i int, parent []int, find func(int) int) {
	if j, seen := first[key]; seen {
		parent[find(i)] = find(j)
	} else {
		first[key] = i
	}
}

// identity is equal for samples with the same content, whatever their labels.
type identity [sha256.Size]byte

func (s *Set) identity(i int) identity {
	if s.IsText() {
		return sha256.Sum256([]byte(strings.Join(strings.Fields(strings.ToLower(s.Texts[i])), " ")))
	}
	row := s.Row(i)
	buf := make([]byte, 0, 4*len(row))
	for _, v := range row {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
	}
	return sha256.Sum256(buf)
}

// Without is the samples of s that occur in none of others (texts: up to case and white space). Training on samples that
// are tested on would make the test say nothing.
func (s *Set) Without(others ...*Set) *Set {
	known := map[identity]bool{}
	for _, other := range others {
		for i := range other.Len() {
			known[other.identity(i)] = true
		}
	}
	var keep []int
	for i := range s.Len() {
		if !known[s.identity(i)] {
			keep = append(keep, i)
		}
	}
	if len(keep) == s.Len() {
		return s
	}
	return s.Subset(keep)
}

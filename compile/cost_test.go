package compile_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/layarun/layarun/compile"
)

func TestKeepBuckets(t *testing.T) {
	for _, c := range []struct {
		name    string
		batches []int
		ms      []float64 // of a batch
		want    []int
	}{
		{"cost grows with the batch from the start", []int{1, 2, 4, 8}, []float64{1, 2, 4, 8}, []int{1}},
		{"a launch costs as much as a sample", []int{1, 2, 4, 8, 16, 32}, []float64{2, 3, 5, 9, 17, 33}, []int{1, 2, 4, 8, 16}}, // 17/16 is within 5 % of 33/32, 9/8 is not
		{"batches up to 8 take as long as one", []int{1, 2, 4, 8, 16}, []float64{5, 5, 5, 5.2, 11}, []int{1, 8}},
		{"requests are powers of two", []int{1, 2, 4, 6, 8, 16}, []float64{4, 5, 7, 9, 12, 24}, []int{1, 2, 4, 6, 8}},
		{"the power of two is dear", []int{1, 2, 3, 4}, []float64{1, 1.2, 1.5, 2.8}, []int{1, 2, 3}},
		{"no power of two was timed", []int{1, 3, 6}, []float64{4, 6, 9}, []int{1, 3, 6}},
		{"one size", []int{4}, []float64{3}, []int{4}},
		{"large batches are slow", []int{1, 4, 16, 64}, []float64{4, 8, 16, 128}, []int{1, 4, 16}},
	} {
		var costs []compile.Cost
		for i, b := range c.batches {
			costs = append(costs, compile.Cost{Batch: b, Time: time.Duration(c.ms[i] * float64(time.Millisecond))})
		}
		if got := compile.KeepBuckets(costs); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Measuring goes on until sizes up to four times the best have brought nothing: sizes near each other differ by noise.
func TestCostsStop(t *testing.T) {
	for _, c := range []struct {
		batches []int
		ms      []float64
		want    bool
	}{
		{[]int{1}, []float64{1}, false},
		{[]int{1, 2, 3, 4}, []float64{4, 4.1, 6.3, 8.4}, false}, // 2 is best, and 8 not tried
		{[]int{1, 2, 3, 4, 8}, []float64{4, 4.1, 6.3, 8.4, 13}, false},
		{[]int{1, 2, 3, 4, 8}, []float64{4, 4.1, 6.3, 8.4, 17}, true},
		{[]int{1, 2, 4}, []float64{1, 2.1, 4.1}, true},
		{[]int{1, 2, 4}, []float64{1, 1.98, 3.92}, false}, // 1 is close to the best, and 16 may still be far better
	} {
		var costs []compile.Cost
		for i, b := range c.batches {
			costs = append(costs, compile.Cost{Batch: b, Time: time.Duration(c.ms[i] * float64(time.Millisecond))})
		}
		if got := compile.Flat(costs); got != c.want {
			t.Errorf("%v in %v ms: stop %v, want %v", c.batches, c.ms, got, c.want)
		}
	}
}

// Something else that slows the machine down while some sizes are timed changes nothing, and sizes that it kept from being
// tried are tried later.
func TestCostsAmidNoise(t *testing.T) {
	buckets := []int{1, 2, 3, 4, 6, 8, 12, 16}
	quiet := func(bucket int) time.Duration { return time.Duration(10+bucket) * time.Millisecond }
	want := make([]compile.Cost, len(buckets))
	for i, b := range buckets {
		want[i] = compile.Cost{Batch: b, Time: quiet(b)}
	}
	for busy := range 3 {
		var progress []int
		round, timed := -1, map[int]bool{}
		got, err := compile.CostsOf([][]int{buckets}, func(_ int, sizes []int, i int, first bool) (time.Duration, error) {
			if first != !timed[sizes[i]] {
				t.Errorf("busy in round %d: size %d is timed, for the first time: %v", busy, sizes[i], first)
			}
			if timed[sizes[i]] = true; i == 0 {
				round++
			}
			if round == busy && sizes[i] > 2 {
				return 10 * quiet(sizes[i]), nil
			}
			return quiet(sizes[i]), nil
		}, func(done, _ int) { progress = append(progress, done) })
		if err != nil || len(got) != 1 || !slices.Equal(got[0], want) {
			t.Errorf("busy in round %d: got %v (%v), want %v", busy, got, err, want)
		}
		if !slices.IsSorted(progress) || progress[len(progress)-1] != 3*len(buckets) {
			t.Errorf("busy in round %d: progress %v, want it to rise to %d", busy, progress, 3*len(buckets))
		}
	}
}

// The longer samples are, the sooner they fill a batch: what is too large for one length is not tried for the next.
func TestCostsOfLanes(t *testing.T) {
	buckets := []int{1, 2, 4, 8, 16, 32}
	tokens := []int{16, 32, 64, 128}
	var last int
	got, err := compile.CostsOf([][]int{buckets, buckets, buckets, {2, 3}}, func(lane int, sizes []int, i int, _ bool) (time.Duration, error) {
		return time.Duration(max(64, sizes[i]*tokens[lane])), nil // batches of less than 64 tokens leave the device idle
	}, func(done, total int) {
		if last = total - done; last < 0 {
			t.Errorf("%d of %d are done", done, total)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var sizes [][]int
	for _, costs := range got {
		sizes = append(sizes, nil)
		for _, c := range costs {
			sizes[len(sizes)-1] = append(sizes[len(sizes)-1], c.Batch)
		}
	}
	// 4 × 16 tokens are enough, which 16 × 16 show; then 2 × 32 and 1 × 64 are; at least one size of a lane is tried.
	if want := [][]int{{1, 2, 4, 8, 16}, {1, 2, 4}, {1, 2}, {2}}; !slices.EqualFunc(sizes, want, slices.Equal[[]int]) {
		t.Errorf("sizes %v were timed, want %v", sizes, want)
	}
	if last > 3 { // of the last lane a size was not tried
		t.Errorf("the last progress leaves %d to do", last)
	}
}

// Every backend and kind of network can be measured, and what was measured is the buckets of each lane, in their order.
func TestCosts(t *testing.T) { onEachEngine(t, costs) }

func costs(t *testing.T, d *compile.Device) {
	for _, name := range []string{"mlp", "encoder"} {
		n := networksFor(t, d)[name]
		lengths, buckets := []int{0}, [][]int{{1, 2, 4}}
		if n.Sequences() {
			lengths, buckets = []int{16, 32}, [][]int{{1, 2, 4}, {1, 3}}
		}
		e, err := compile.NewEngine(d, n, weightsOf(n, 1), lengths, buckets)
		if err != nil {
			t.Fatal(err)
		}
		var seen []int
		costs, err := e.Costs(t.Context(), func(done, _ int) { seen = append(seen, done) })
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 || !slices.IsSorted(seen) {
			t.Errorf("%s: progress %v, want numbers that rise", name, seen)
		}
		if len(costs) != len(buckets) {
			t.Fatalf("%s: costs of %d lanes, want %d", name, len(costs), len(buckets))
		}
		for lane := range costs {
			for i, c := range costs[lane] {
				if c.Batch != buckets[lane][i] || c.Time <= 0 {
					t.Errorf("%s: costs are %v, want some time for sizes of %v", name, costs, buckets)
				}
			}
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Costs(cancelled, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", name, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

package oracle_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/benchmarks/internal/oracle"
)

// costs draws a network of up to two segments whose batches may slow each other down more or less than they share.
func costs(t *rapid.T) *oracle.Costs {
	c := &oracle.Costs{
		Buckets: rapid.SampledFrom([][]int{{1}, {1, 2}, {2}, {1, 3}, {1, 2, 4}}).Draw(t, "buckets"),
		Widths:  []int{1, 2},
	}
	segments := rapid.IntRange(1, 2).Draw(t, "segments")
	for range c.Widths {
		var times [][]float64
		for range segments {
			times = append(times, rapid.SliceOfN(rapid.Float64Range(1, 9), len(c.Buckets), len(c.Buckets)).Draw(t, "times"))
		}
		c.Times = append(c.Times, times)
	}
	return c
}

// No schedule of two workers beats the bound: the best is found by trying all of them.
func TestArrivalIsALowerBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := costs(t)
		left := rapid.SliceOfN(rapid.IntRange(0, c.Segments()-1), 1, 3).Draw(t, "left")
		got, err := c.Arrival(left)
		if err != nil {
			t.Fatal(err)
		}
		best := search{c}.best(start(c, left), 0, math.Inf(1))
		if got > best*(1+1e-9) { // sums in another order
			t.Fatalf("the bound is %v, but samples that leave after %v can be done in %v", got, left, best)
		}
		if len(left) == 1 && got < best*(1-1e-9) {
			t.Fatalf("the bound for one sample is %v, want %v: there is only one way", got, best)
		}
	})
}

// TestCut compares the dynamic program with all ways to cut, in a network of one segment and one worker.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		buckets := rapid.SampledFrom([][]int{{1}, {1, 2, 4}, {3}, {2, 5}}).Draw(t, "buckets")
		c := &oracle.Costs{Buckets: buckets, Widths: []int{1},
			Times: [][][]float64{{rapid.SliceOfN(rapid.Float64Range(1, 9), len(buckets), len(buckets)).Draw(t, "times")}}}
		n := rapid.IntRange(1, 12).Draw(t, "n")
		got, err := c.Arrival(make([]int, n))
		if err != nil {
			t.Fatal(err)
		}
		if want := cuts(c, n); math.Abs(got-want) > 1e-9 {
			t.Fatalf("%d samples cost %v, want %v", n, got, want)
		}
	})
}

// cuts tries every first bucket, however many samples it then holds.
func cuts(c *oracle.Costs, n int) float64 {
	if n <= 0 {
		return 0
	}
	best := math.Inf(1)
	for at, b := range c.Buckets {
		best = min(best, c.Times[0][0][at]+cuts(c, n-b))
	}
	return best
}

// The figures are worked out by hand. Two segments; a batch of one takes 2 alone and 3 beside another, one of two takes
// 3 and 4.
func TestByHand(t *testing.T) {
	c := &oracle.Costs{Buckets: []int{1, 2}, Widths: []int{1, 2}, Times: [][][]float64{{{2, 3}, {2, 3}}, {{3, 4}, {3, 4}}}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		left []int
		want float64
		why  string
	}{
		{[]int{0}, 2, "one segment alone"},
		{[]int{1}, 4, "both segments, one after the other"},
		{[]int{0, 0}, 3, "as one batch of two, or as two beside each other"},
		{[]int{0, 1}, 5, "3 as above and 2 alone; at λ = 2/3 the longer sample is charged 2 a segment, the other 1"},
		{[]int{0, 0, 0, 0}, 4, "two batches of two beside each other"},
	} {
		if got, err := c.Arrival(row.left); err != nil || math.Abs(got-row.want) > 1e-12 {
			t.Errorf("samples that leave after %v: %v, %v, want %v: %s", row.left, got, err, row.want, row.why)
		}
	}
	// 100 samples through the first segment, 50 through the second; with two under way the best rate is 3/2 per sample,
	// either way; with three, a batch of two beside another costs 4/2 for 2 samples.
	left := append(make([]int, 50), slices.Repeat([]int{1}, 50)...)
	for _, row := range []struct {
		inFlight int
		want     float64
	}{{1, 300}, {2, 225}, {3, 150}, {32, 150}} {
		if got, err := c.Stream(left, row.inFlight); err != nil || got != row.want {
			t.Errorf("a stream with %d under way: %v, %v, want %v", row.inFlight, got, err, row.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	good := oracle.Costs{Buckets: []int{1}, Widths: []int{1}, Times: [][][]float64{{{1}}}}
	for _, row := range []struct {
		change func(c *oracle.Costs)
		want   string
	}{
		{func(c *oracle.Costs) { c.Buckets = nil }, "buckets are []"},
		{func(c *oracle.Costs) { c.Widths = []int{2} }, "widths are [2]"},
		{func(c *oracle.Costs) { c.Widths = []int{1, 2} }, "times of 1 widths, want 2"},
		{func(c *oracle.Costs) { c.Times = [][][]float64{{}} }, "0 segments"},
		{func(c *oracle.Costs) { c.Times = [][][]float64{{{1, 2}}} }, "segment 0 has 2 times"},
		{func(c *oracle.Costs) { c.Times = [][][]float64{{{0}}} }, "times of segment 0 at width 1 are [0]"},
	} {
		c := good
		row.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want an error about %q", err, row.want)
		}
	}
	if _, err := good.Arrival([]int{1}); err == nil {
		t.Error("a sample that leaves after segment 1 of 1 is no error")
	}
	if _, err := good.Stream([]int{0}, 0); err == nil {
		t.Error("0 samples in flight are no error")
	}
}

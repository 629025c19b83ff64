package compile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"pgregory.net/rapid"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
)

// onEachMemory runs a test on every backend, and as on an accelerator: where host and device share no memory, and for
// XLA with a client that executes while the host goes on.
func onEachMemory(t *testing.T, test func(t *testing.T, d *compile.Device)) {
	onEachEngine(t, test)
	t.Run("go apart", func(t *testing.T) { test(t, &compile.Device{Backend: newApart(t), Name: "go"}) })
	for _, d := range testbackend.All(t) {
		if d.Name != "xla:cpu" {
			continue
		}
		path, _ := compile.FindPlugin("cpu")
		b, err := compute.NewWithConfig("xla:" + path + ",shared_buffers=false")
		if err != nil {
			t.Fatal(err)
		}
		defer b.Finalize()
		t.Run("xla:cpu apart", func(t *testing.T) { test(t, &compile.Device{Backend: b, Name: "xla:cpu"}) })
	}
}

func newApart(t testing.TB) *testbackend.Ledger {
	return &testbackend.Ledger{Backend: testbackend.Go(t), Apart: true}
}

// Whichever rows of whichever batches make the next one, in whatever order, the answers are those of one graph; no state
// goes to the host, nothing is compiled, and nothing stays.
func TestRowsOnTheDevice(t *testing.T) {
	for _, name := range []string{"mlp", "encoder"} {
		t.Run(name, func(t *testing.T) {
			n, l := networks(t)[name], newApart(t)
			w := weightsOf(n, 7)
			e := newEngine(t, l, n, w)
			weights := l.Buffers.Load()
			if err := e.Compile(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			compiled := l.Compiled.Load()
			inputs := randomInputs(n, 9, rand.New(rand.NewPCG(3, 3)))
			var want [][][]float32
			for i := range inputs {
				inputs[i].tokens = inputs[i].tokens[:min(16, len(inputs[i].tokens))] // one lane
				want = append(want, whole(t, n, w, inputs[i]))
			}
			rapid.Check(t, func(rt *rapid.T) {
				way := map[*compile.Sample]int{}
				for i, in := range inputs {
					way[start(t, e, in)] = i
				}
				for i := range e.Depths() {
					stepRows(rt, e, l, i, way)
					for _, s := range samplesOf(way) {
						if i == len(e.Depths())-1 || rapid.IntRange(0, 3).Draw(rt, "leaves") == 0 {
							checkClose(rt, fmt.Sprint("sample ", way[s]), s.AllLogits(), want[way[s]][:i+1])
							e.Release(s)
							delete(way, s)
						}
					}
				}
				if got := l.Buffers.Load(); got != weights {
					rt.Fatalf("%d buffers are alive, want the %d weights", got, weights)
				}
			})
			if now := l.Compiled.Load(); now != compiled {
				t.Errorf("%d executables compiled by Compile, %d after running", compiled, now)
			}
		})
	}
}

func samplesOf(way map[*compile.Sample]int) []*compile.Sample {
	var all []*compile.Sample
	for s := range way {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *compile.Sample) int { return way[a] - way[b] })
	return all
}

// stepRows takes the samples through a segment in batches of any division and order.
func stepRows(rt *rapid.T, e *compile.Engine, l *testbackend.Ledger, segment int, way map[*compile.Sample]int) {
	if len(way) == 0 {
		return
	}
	for left := rapid.Permutation(samplesOf(way)).Draw(rt, "order"); len(left) > 0; {
		count := rapid.IntRange(1, min(4, len(left))).Draw(rt, "batch")
		batch := left[:count]
		left = left[count:]
		up, down, executions := l.Up.Load(), l.Down.Load(), l.Executions.Load()
		if _, err := e.Run(segment, segment, batch); err != nil {
			rt.Fatal(err)
		}
		if segment == 0 {
			continue
		}
		bucket := []int64{1, 2, 4, 4}[count-1]
		moves := l.Executions.Load() - executions - 1
		if got := l.Up.Load() - up; moves > int64(count) || got != 4*bucket*moves {
			rt.Fatalf("%d samples: %d moves and %d bytes up, want a move per source at most, with an int32 per row", count, moves, got)
		}
		// The report: 6 values, a score over depth, 3 logits and 3 gates of 4 bytes.
		if got := l.Down.Load() - down; got != bucket*13*4 {
			rt.Fatalf("%d samples: %d bytes down, want the report of %d", count, got, bucket*13*4)
		}
	}
}

// sources says how samples lie and which of them make the next batch: the sizes of batches at segment 0, and rows of them.
type sources struct {
	batches []int
	rows    [][2]int
}

// place takes samples through segment 0 as told and returns all of them, by batch and row.
func (c sources) place(t *testing.T, e *compile.Engine) ([][]*compile.Sample, error) {
	t.Helper()
	inputs := randomInputs(e.Network(), 16, rand.New(rand.NewPCG(1, 1)))
	var all [][]*compile.Sample
	for _, count := range c.batches {
		var batch []*compile.Sample
		for range count {
			batch = append(batch, start(t, e, inputs[0]))
			inputs = inputs[1:]
		}
		if _, err := e.Run(0, 0, batch); err != nil {
			return all, err
		}
		all = append(all, batch)
	}
	return all, nil
}

func (c sources) pick(all [][]*compile.Sample) []*compile.Sample {
	var batch []*compile.Sample
	for _, at := range c.rows {
		batch = append(batch, all[at[0]][at[1]])
	}
	return batch
}

// What lies together in order costs nothing; else each source costs a launch, and a source of the batch's own size none
// beside another.
func TestLaunchesToMakeABatch(t *testing.T) {
	l := newApart(t)
	n := networks(t)["mlp"]
	e := newEngine(t, l, n, weightsOf(n, 1))
	for name, c := range map[string]struct {
		sources
		want int64
	}{
		"the same batch":            {sources{[]int{4}, [][2]int{{0, 0}, {0, 1}, {0, 2}, {0, 3}}}, 0},
		"with padding":              {sources{[]int{3}, [][2]int{{0, 0}, {0, 1}, {0, 2}}}, 0},
		"another order":             {sources{[]int{2}, [][2]int{{0, 1}, {0, 0}}}, 1},
		"a gap":                     {sources{[]int{4}, [][2]int{{0, 0}, {0, 2}, {0, 3}}}, 1},
		"fewer":                     {sources{[]int{4}, [][2]int{{0, 1}, {0, 2}}}, 1},
		"one of many":               {sources{[]int{4}, [][2]int{{0, 0}}}, 1},
		"two, refilled":             {sources{[]int{4, 4}, [][2]int{{0, 1}, {0, 3}, {1, 0}, {1, 2}}}, 1},
		"two, the second full size": {sources{[]int{1, 4}, [][2]int{{0, 0}, {1, 1}, {1, 3}}}, 1},
		"two smaller":               {sources{[]int{2, 2}, [][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}}}, 2},
		"two larger":                {sources{[]int{4, 4}, [][2]int{{1, 3}, {0, 2}}}, 2},
		"three, refilled":           {sources{[]int{4, 4, 4}, [][2]int{{0, 3}, {1, 3}, {2, 3}, {0, 1}}}, 2},
		"four of one":               {sources{[]int{1, 1, 1, 1}, [][2]int{{0, 0}, {1, 0}, {2, 0}, {3, 0}}}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := c.place(t, e)
			if err != nil {
				t.Fatal(err)
			}
			before := l.Executions.Load()
			if _, err := e.Run(1, 1, c.pick(all)); err != nil {
				t.Fatal(err)
			}
			if got := l.Executions.Load() - before - 1; got != c.want {
				t.Errorf("%d launches to make the batch, want %d", got, c.want)
			}
			for _, s := range slices.Concat(all...) {
				e.Release(s)
			}
		})
	}
}

// Whichever launch fails, what was made on the way to the batch goes with it.
func TestNothingStaysOfAFailedMove(t *testing.T) {
	l := newApart(t)
	n := networks(t)["mlp"]
	e := newEngine(t, l, n, weightsOf(n, 1))
	weights := l.Buffers.Load()
	c := sources{[]int{2, 2, 4}, [][2]int{{0, 1}, {1, 0}, {2, 2}}} // a launch for the third, which has the size, and one of the others; then the last
	broken := errors.New("broken")
	const launches = 3 + 2 + 1
	for fails := 1; fails <= launches+1; fails++ {
		count := 0
		l.Executed = func() error {
			if count++; count == fails {
				return broken
			}
			return nil
		}
		all, err := c.place(t, e)
		if err == nil {
			_, err = e.Run(1, 1, c.pick(all))
		}
		if errors.Is(err, broken) != (fails <= launches) {
			t.Errorf("launch %d of %d fails: error %v", fails, launches, err)
		}
		for _, s := range slices.Concat(all...) {
			e.Release(s)
		}
		if got := l.Buffers.Load(); got != weights {
			t.Errorf("launch %d fails: %d buffers are alive, want the %d weights", fails, got, weights)
		}
	}
}

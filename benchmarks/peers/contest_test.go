package main

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
)

// fake takes so many milliseconds a sample, plus so many a call.
type fake struct {
	sample, call float64
	answers      [][]float32
}

func (f fake) logits(context.Context, int) ([][]float32, error) { return f.answers, nil }

func (f fake) run(_ context.Context, l load, _ time.Duration) ([]stream, error) {
	ms := f.call + f.sample*float64(l.Batch)
	return slices.Repeat([]stream{{MS: []float64{ms, ms, 100 * ms}, Seconds: 3 * ms / 1000}}, l.Callers), nil
}

func TestTurnsGoRound(t *testing.T) {
	var order []int
	values, err := takeTurns(t.Context(), 3, 3, func(i int) (float64, error) {
		order = append(order, i)
		return float64(len(order)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v: a round to warm up, then each round begins with the next", order, want)
	}
	// The place in the order at which each was called, without the first round.
	for i, want := range [][]float64{{6, 8, 10}, {4, 9, 11}, {5, 7, 12}} {
		if !slices.Equal(values[i], want) {
			t.Errorf("values of %d are %v, want %v", i, values[i], want)
		}
	}
}

func TestTurnsEnd(t *testing.T) {
	broken := errors.New("broken")
	if _, err := takeTurns(t.Context(), 2, 3, func(i int) (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the turn", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := takeTurns(ctx, 2, 3, func(int) (float64, error) { calls++; cancel(); return 0, nil })
	if !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("error %v after %d turns, want the end of the context after one", err, calls)
	}
}

func TestLatencyAndThroughput(t *testing.T) {
	c := &comparison{rounds: 4, turn: time.Second}
	// layarun's calls take 2 ms and 1 per sample, the peer's 8 and 0.5.
	all, rows := []contender{fake{sample: 1, call: 2}, fake{sample: 0.5, call: 8}}, make([]result.PeerRuntime, 2)
	if err := c.latency(t.Context(), all, rows, load{Batch: 8, Callers: 1, Threads: 2}); err != nil {
		t.Fatal(err)
	}
	own, peer := rows[0].Latency[0], rows[1].Latency[0]
	if own.MS.Median != 10 || own.Speed.Median != 1 || peer.MS.Median != 12 || peer.Speed.Q1 != 1.2 || peer.Speed.N != 4 || peer.Batch != 8 {
		t.Errorf("rows %+v and %+v, want 10 ms, 12 ms and the ratio 1.2 over four rounds", own, peer)
	}
	if err := c.throughput(t.Context(), all, rows, 2); err != nil {
		t.Fatal(err)
	}
	// Fakes never slow each other down, so most callers and the largest batch win: 4 × 64 samples in 66 ms, 2 × 64 in 40.
	mine, theirs := rows[0].Throughput, rows[1].Throughput
	if mine.Batch != 64 || mine.Callers != 4 || math.Abs(mine.PerSecond.Median-4*64/0.066) > 1e-6 {
		t.Errorf("layarun's throughput %+v, want 3879 samples/s from 4 callers in batches of 64", mine)
	}
	if theirs.Batch != 64 || theirs.Callers != 2 || theirs.Threads != 1 || math.Abs(theirs.PerSecond.Median-3200) > 1e-6 || math.Abs(theirs.Speed.Median-4*64/0.066/3200) > 1e-9 {
		t.Errorf("the peer's throughput %+v, want 3200 samples/s and layarun 1.21 times as fast", theirs)
	}
}

func TestCallersEndApart(t *testing.T) {
	streams := []stream{{MS: []float64{10, 10}, Seconds: 0.02}, {MS: []float64{50}, Seconds: 0.05}}
	if got := perSecond(streams, 8); got != 2*8/0.02+8/0.05 {
		t.Errorf("%v samples/s, want the sum of 800 and 160", got)
	}
	if got, err := median(streams); err != nil || got != 10 {
		t.Errorf("median %v, %v, want 10 of 10, 10 and 50", got, err)
	}
}

func TestCandidates(t *testing.T) {
	if got, want := len(candidates(false, 2)), 2*len(batches); got != want {
		t.Errorf("%d loads on two cores, want %d: one call on both, or one on each", got, want)
	}
	if got := len(candidates(false, 1)); got != len(batches) {
		t.Errorf("%d loads on one core, want %d", got, len(batches))
	}
	for _, l := range slices.Concat(candidates(false, 2), candidates(true, 2)) {
		if sampleCount%l.Batch != 0 {
			t.Errorf("batches of %d do not divide %d samples", l.Batch, sampleCount)
		}
	}
}

func TestLogitsMustAgree(t *testing.T) {
	own := fake{answers: [][]float32{{1, 2}, {3, 4}}}
	got, err := compare(t.Context(), own, fake{answers: [][]float32{{1, 2}, {3, 4.00005}}})
	if err != nil || math.Abs(got-5e-5) > 1e-6 { // float32 at 4 is 5e-7 apart
		t.Errorf("difference %v, %v, want 5e-5", got, err)
	}
	for name, answers := range map[string][][]float32{
		"too far":       {{1, 2}, {3.0002, 4}},
		"not a number":  {{1, float32(math.NaN())}, {3, 4}},
		"too few":       {{1, 2}},
		"other classes": {{1, 2}, {3}},
	} {
		if _, err := compare(t.Context(), own, fake{answers: answers}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMergeKeepsTheOthers(t *testing.T) {
	p := &result.Peers{Networks: []result.PeerNetwork{{Name: names[0], Rounds: 1}, {Name: names[2], Rounds: 1}}}
	merge(p, result.PeerNetwork{Name: names[1], Rounds: 2})
	merge(p, result.PeerNetwork{Name: names[0], Rounds: 2})
	for i, want := range []int{2, 2, 1} {
		if p.Networks[i].Name != names[i] || p.Networks[i].Rounds != want {
			t.Errorf("place %d has %s of %d rounds, want %s of %d", i, p.Networks[i].Name, p.Networks[i].Rounds, names[i], want)
		}
	}
}

func TestRandomBundle(t *testing.T) {
	n := &network{dir: t.TempDir() + "/bundle"}
	if err := saveRandom(n.dir, `{"kind": "mlp", "input": [3], "widths": [4]}`, 0); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(n.dir)
	if err != nil || !slices.Equal(b.Head.Reads, []int{0, 1}) {
		t.Errorf("bundle %+v, %v, want one whose head reads depths 0 and 1", b, err)
	}
	if _, err := openNetwork(t.Context(), "vgg", n.dir, ""); err == nil || !strings.Contains(err.Error(), "vgg") {
		t.Errorf("error %v, want one that names the unknown network", err)
	}
}

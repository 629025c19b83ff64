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
	all, rows := []contender{fake{sample: 1, call: 2}, fake{sample: 0.5, call: 8}}, []result.PeerRuntime{{Name: result.Own}, {Name: "torch"}}
	if err := c.latency(t.Context(), all, rows, load{Batch: 8, Callers: 1, Threads: 2}); err != nil {
		t.Fatal(err)
	}
	own, peer := rows[0].Latency[0], rows[1].Latency[0]
	if own.MS.Median != 10 || own.Speed.Median != 1 || peer.MS.Median != 12 || peer.Speed.Q1 != 1.2 || peer.Speed.N != 4 || peer.Batch != 8 {
		t.Errorf("rows %+v and %+v, want 10 ms, 12 ms and the ratio 1.2 over four rounds", own, peer)
	}
	if err := c.throughput(t.Context(), &network{count: 64}, all, rows, 2); err != nil {
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

func TestWithExits(t *testing.T) {
	c, n := &comparison{rounds: 2, turn: time.Second}, &network{count: 64, certified: &result.Certified{}}
	// layarun takes a millisecond a sample, with exits half of that; every call of the peer takes 3 of them, 64 calls a turn.
	owns := []contender{fake{sample: 1, answers: [][]float32{{1, 2}}}, fake{sample: 0.5}}
	ms := strings.Repeat("3,", 63) + "3"
	answers := []string{`{"logits": [[1, 2]]}` + "\n", `{"versions": {"fake": "1.2"}}` + "\n"}
	// Turns: 3 batches of latency in 2 rounds and one to warm up, 5 loads on one core, and as many rounds of the best.
	for range 3*3 + len(batches) + 3 {
		answers = append(answers, `{"streams": [{"ms": [`+ms+`], "seconds": 0.2}], "idle": 1, "idle_cpu": 0.01}`+"\n")
	}
	p, asked := scripted(t, answers...)
	rows, err := c.contest(t.Context(), n, owns, []*peer{p}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 3 || rows[0].Name != result.Own || rows[1].Name != result.OwnWithExits || rows[2].Name != "fake" || rows[2].Idle != 0.01 {
		t.Fatalf("rows %+v, want layarun, layarun with exits and the peer", rows)
	}
	// A fake has calls of 8, 8 and 800 ms in batches of 8 at a millisecond: the mean is 34 times 8 and counts, not the median.
	l := rows[0].Latency[1]
	if l.MS.Median != 272 || l.Speed.Median != 1 || l.ExitsSpeed.Median != 2 {
		t.Errorf("layarun's latency %+v, want the mean of 272 ms, and with exits twice the speed", l)
	}
	if l := rows[2].Latency[1]; l.MS.Median != 3 || math.Abs(l.Speed.Median-3.0/272) > 1e-9 || math.Abs(l.ExitsSpeed.Median-3.0/136) > 1e-9 {
		t.Errorf("the peer's latency %+v, want 3 ms ÷ 272 and 136", l)
	}
	// The peer has 64 × 64 samples in 0.2 s.
	if f := rows[2].Throughput; f.Batch != 64 || math.Abs(f.ExitsSpeed.Median-2*f.Speed.Median) > 1e-9 || math.Abs(f.PerSecond.Median-20480) > 1e-6 {
		t.Errorf("the peer's throughput %+v, want 20480 samples/s, and with exits twice as much as without", f)
	}
	if f := rows[1].Throughput; f.Callers != 4 || f.ExitsSpeed.Median != 1 || f.Speed.Median != 0.5 {
		t.Errorf("throughput with exits %+v, want four callers as for layarun, and twice its speed", f)
	}
	for range 2 {
		<-asked
	}
	if got, want := <-asked, `{"do":"time","batch":1,"callers":1,"threads":1,"pass":64,"seconds":1}`; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	for range 3*3 - 1 {
		<-asked
	}
	// Throughput, whose end counts too, is taken for longer.
	if got, want := <-asked, `{"do":"time","batch":1,"callers":1,"threads":1,"pass":64,"seconds":5}`; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestCallersEndApart(t *testing.T) {
	streams := []stream{{MS: []float64{10, 10}, Seconds: 0.02}, {MS: []float64{50}, Seconds: 0.05}}
	if got := perSecond(streams, 8); got != 3*8/0.05 {
		t.Errorf("%v samples/s, want 24 samples until the last caller ends", got)
	}
	if got, err := median(streams); err != nil || got != 10 {
		t.Errorf("median %v, %v, want 10 of 10, 10 and 50", got, err)
	}
}

func TestCandidates(t *testing.T) {
	n := &network{count: 64}
	if got, want := len(candidates(n, false, 2)), 2*len(batches); got != want {
		t.Errorf("%d loads on two cores, want %d: one call on both, or one on each", got, want)
	}
	if got := len(candidates(n, false, 1)); got != len(batches) {
		t.Errorf("%d loads on one core, want %d", got, len(batches))
	}
	for _, l := range slices.Concat(candidates(n, false, 2), candidates(n, true, 2)) {
		if n.count%l.Batch != 0 || l.Pass != 0 {
			t.Errorf("batches of %d do not divide %d samples, or pass %d is not 0", l.Batch, n.count, l.Pass)
		}
	}
	n = &network{count: 512, certified: &result.Certified{}}
	for _, l := range candidates(n, true, 2) {
		want := 512
		if l.Batch == 1 {
			want = 64
		}
		if l.Pass != want || l.Pass%l.Batch != 0 {
			t.Errorf("passes over %d samples in batches of %d, want %d", l.Pass, l.Batch, want)
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
	if _, err := openNetwork(t.Context(), "vgg", n.dir, "", ""); err == nil || !strings.Contains(err.Error(), "vgg") {
		t.Errorf("error %v, want one that names the unknown network", err)
	}
}

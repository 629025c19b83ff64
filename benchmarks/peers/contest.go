package main

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
)

var (
	// latencies are the batches that are timed one call at a time.
	latencies = []int{1, 8, 32}
	// batches are those among which every runtime finds its best throughput. All divide the number of samples.
	batches = []int{1, 8, 16, 32, 64}
	// crowds are the numbers of callers with which layarun does; it puts them into one batch.
	crowds = []int{1, 2, 4}
)

const (
	// crowdTurns is how many times as long as a turn of one caller one for throughput lasts: its end, when not every caller has
	// a call to make, counts too.
	crowdTurns = 5
	// tolerance is the largest difference of a logit between two runtimes; they add in other orders.
	tolerance = 1e-4
	// mostIdle is the share of a core that a peer may take while others have their turn, its threads that wait for the
	// next call included.
	mostIdle = 0.05
)

// contest measures all runtimes. The first results are layarun's: owns is itself at full depth and, if there is a second, with
// exits.
func (c *comparison) contest(ctx context.Context, n *network, owns []contender, peers []*peer, cores int) ([]result.PeerRuntime, error) {
	all := slices.Clone(owns)
	rows := []result.PeerRuntime{{Name: result.Own}, {Name: result.OwnWithExits}}[:len(owns)]
	for _, p := range peers {
		difference, err := compare(ctx, owns[0], p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		versions, err := p.versions()
		if err != nil {
			return nil, err
		}
		say("%s %s: logits differ by at most %.1g", p.name, versions[p.name], difference)
		all, rows = append(all, p), append(rows, result.PeerRuntime{Name: p.name, Versions: versions, Difference: difference})
	}
	for _, batch := range latencies {
		if err := c.latency(ctx, all, rows, n.load(batch, 1, cores)); err != nil {
			return nil, err
		}
	}
	if err := c.throughput(ctx, n, all, rows, cores); err != nil {
		return nil, err
	}
	for i, p := range peers {
		idle := p.idleCPU / p.idle
		if idle > mostIdle {
			return nil, fmt.Errorf("%s took %.2f of a core while others had their turn, want at most %v", p.name, idle, mostIdle)
		}
		rows[len(owns)+i].Idle = idle
	}
	return rows, nil
}

// compare is the largest difference of a logit; an error beyond the tolerance.
func compare(ctx context.Context, own, peer contender) (float64, error) {
	const n = 32
	a, err := own.logits(ctx, n)
	if err != nil {
		return 0, err
	}
	b, err := peer.logits(ctx, n)
	if err != nil {
		return 0, err
	}
	if len(b) != len(a) {
		return 0, fmt.Errorf("logits of %d samples, want %d", len(b), len(a))
	}
	largest := 0.0
	for i := range a {
		if len(b[i]) != len(a[i]) {
			return 0, fmt.Errorf("sample %d has %d logits, want %d", i, len(b[i]), len(a[i]))
		}
		for k := range a[i] {
			d := math.Abs(float64(a[i][k]) - float64(b[i][k]))
			if !(d <= tolerance) { // not a number, too
				return d, fmt.Errorf("sample %d, logit %d is %v, layarun's %v, want at most %v apart", i, k, b[i][k], a[i][k], tolerance)
			}
			largest = max(largest, d)
		}
	}
	return largest, nil
}

// latency times one call at a time and adds the result to every row.
func (c *comparison) latency(ctx context.Context, all []contender, rows []result.PeerRuntime, l load) error {
	ms, err := takeTurns(ctx, len(all), c.rounds, func(i int) (float64, error) {
		streams, err := all[i].run(ctx, l, c.turn)
		if err != nil {
			return 0, err
		}
		if l.Pass > 0 {
			return mean(streams), nil
		}
		return median(streams)
	})
	if err != nil {
		return err
	}
	for i := range rows {
		t := result.PeerLatency{Batch: l.Batch}
		if t.MS, err = eval.NewSpread(ms[i]); err != nil {
			return err
		}
		if t.Speed, t.ExitsSpeed, err = speeds(rows, func(k int) []float64 { return ratios(ms[i], ms[k]) }); err != nil {
			return err
		}
		rows[i].Latency = append(rows[i].Latency, t)
		say("batch %d, %s: %.2f ms, %s", l.Batch, rows[i].Name, t.MS.Median, faster(t.Speed, t.ExitsSpeed))
	}
	return nil
}

// throughput lets every runtime find its best load, and then take turns with that.
func (c *comparison) throughput(ctx context.Context, n *network, all []contender, rows []result.PeerRuntime, cores int) error {
	best := make([]load, len(all))
	for i, runtime := range all {
		var err error
		best[i], err = fastest(candidates(n, rows[i].IsOwn(), cores), func(l load) (float64, error) { return c.rate(ctx, runtime, l) })
		if err != nil {
			return err
		}
	}
	rates, err := takeTurns(ctx, len(all), c.rounds, func(i int) (float64, error) { return c.rate(ctx, all[i], best[i]) })
	if err != nil {
		return err
	}
	for i := range rows {
		t := result.PeerThroughput{Batch: best[i].Batch, Callers: best[i].Callers, Threads: best[i].Threads}
		if t.PerSecond, err = eval.NewSpread(rates[i]); err != nil {
			return err
		}
		if t.Speed, t.ExitsSpeed, err = speeds(rows, func(k int) []float64 { return ratios(rates[k], rates[i]) }); err != nil {
			return err
		}
		rows[i].Throughput = t
		say("%s: %.0f samples/s from %d callers in batches of %d, %s", rows[i].Name, t.PerSecond.Median, t.Callers, t.Batch, faster(t.Speed, t.ExitsSpeed))
	}
	return nil
}

// rate is the samples per second under a load.
func (c *comparison) rate(ctx context.Context, runtime contender, l load) (float64, error) {
	streams, err := runtime.run(ctx, l, crowdTurns*c.turn)
	if err != nil {
		return 0, err
	}
	return perSecond(streams, l.Batch), nil
}

// candidates are the loads tried for throughput: one call on all cores, or one call per core; for layarun, some numbers of
// callers.
func candidates(n *network, own bool, cores int) []load {
	var all []load
	for _, batch := range batches {
		if own {
			for _, callers := range crowds {
				all = append(all, n.load(batch, callers, cores))
			}
			continue
		}
		all = append(all, n.load(batch, 1, cores))
		if cores > 1 {
			all = append(all, n.load(batch, cores, 1))
		}
	}
	return all
}

// fastest is the load of the highest rate.
func fastest(loads []load, rate func(load) (float64, error)) (best load, err error) {
	top := math.Inf(-1)
	for _, l := range loads {
		r, err := rate(l)
		if err != nil {
			return best, err
		}
		if r > top {
			best, top = l, r
		}
	}
	return best, nil
}

// takeTurns measures n contenders in rounds. The first turn goes round, so that drifts of the machine meet all alike. A
// round before the first is not counted. The result is [contender][round].
func takeTurns(ctx context.Context, n, rounds int, turn func(i int) (float64, error)) ([][]float64, error) {
	values := make([][]float64, n)
	for round := -1; round < rounds; round++ {
		for k := range n {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (k + round + 1) % n
			value, err := turn(i)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				values[i] = append(values[i], value)
			}
		}
	}
	return values, nil
}

// median is that of all calls.
func median(streams []stream) (float64, error) {
	var all []float64
	for _, s := range streams {
		all = append(all, s.MS...)
	}
	spread, err := eval.NewSpread(all)
	return spread.Median, err
}

// mean is that of all calls.
func mean(streams []stream) float64 {
	sum, n := 0.0, 0
	for _, s := range streams {
		for _, ms := range s.MS {
			sum += ms
		}
		n += len(s.MS)
	}
	return sum / float64(n)
}

// perSecond is the rate of all callers together until the last of them ends. The sum of their own rates would count the
// callers who are answered first while the others wait.
func perSecond(streams []stream, batch int) float64 {
	samples, longest := 0.0, 0.0
	for _, s := range streams {
		samples, longest = samples+float64(batch*len(s.MS)), max(longest, s.Seconds)
	}
	return samples / longest
}

// ratios divides round by round.
func ratios(over, under []float64) []float64 {
	all := slices.Clone(over)
	for i := range all {
		all[i] /= under[i]
	}
	return all
}

// speeds are how many times as fast as some runtime layarun is, and layarun with exits if it is the second row; times says it
// for row k, round by round.
func speeds(rows []result.PeerRuntime, times func(k int) []float64) (own, exits eval.Spread, err error) {
	if own, err = eval.NewSpread(times(0)); err != nil || len(rows) < 2 || rows[1].Name != result.OwnWithExits {
		return own, exits, err
	}
	exits, err = eval.NewSpread(times(1))
	return own, exits, err
}

// faster says what speeds found.
func faster(own, exits eval.Spread) string {
	s := fmt.Sprintf("layarun %.2f times as fast", own.Median)
	if exits.N > 0 {
		s += fmt.Sprintf(", with exits %.2f", exits.Median)
	}
	return s
}

package eval

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// driver puts a load on a candidate, turn after turn.
type driver struct {
	candidate Candidate
	load      Load
	samples   int
	seed      uint64
	sent      atomic.Int64 // requests, in all turns: the next goes on where the last stopped
}

// turn is what became of the requests of one turn.
type turn struct {
	elapsed    time.Duration // from the start to the last answer
	latencies  []float64     // ms, ascending; of a request given up what it had waited
	unanswered int           // requests given up
	behind     bool          // requests came faster than they were answered
	work       Work
}

// timed is a turn, or in the round that warms up a quarter of one, in which nothing was compiled.
func (d *driver) timed(ctx context.Context, round int, length time.Duration) (turn, error) {
	if round < 0 {
		length = max(length/4, 1)
	}
	return uncompiled(d.candidate, func() (turn, error) {
		before, start := d.candidate.work(), time.Now()
		drive := d.closed
		if d.load.Rate > 0 {
			drive = d.open
		}
		requests, err := drive(ctx, uint64(round+1), length)
		if err != nil {
			return turn{}, err
		}
		t := turn{elapsed: time.Since(start), work: d.candidate.work().since(before)}
		t.count(requests, length, d.load.Rate > 0)
		return t, nil
	})
}

// request is one that was sent.
type request struct {
	due     time.Duration // since the start of the turn
	latency time.Duration // since it was due
	givenUp bool
}

// count fills in what the requests tell, of an open loop whether they came too fast.
func (t *turn) count(requests []request, length time.Duration, open bool) {
	slices.SortFunc(requests, func(a, b request) int { return cmp.Compare(a.due, b.due) })
	for _, r := range requests {
		t.latencies = append(t.latencies, milliseconds(r.latency))
		if r.givenUp {
			t.unanswered++
		}
	}
	if open {
		t.behind = t.unanswered > 0 || grew(t.latencies) > growth*milliseconds(length)
	}
	slices.Sort(t.latencies)
}

// grew is by how much the median of the last quarter lies above that of the first.
func grew(values []float64) float64 {
	quarter := (len(values) + 3) / 4
	first := slices.Sorted(slices.Values(values[:quarter]))
	last := slices.Sorted(slices.Values(values[len(values)-quarter:]))
	return percentile(last, 0.5) - percentile(first, 0.5)
}

func (t turn) answered() int          { return len(t.latencies) - t.unanswered }
func (t turn) rate(batch int) float64 { return float64(t.answered()*batch) / t.elapsed.Seconds() }

// send lets the candidate answer the next request.
func (d *driver) send(ctx context.Context) error {
	places := int64(d.samples / d.load.Batch)
	from := int((d.sent.Add(1)-1)%places) * d.load.Batch
	return d.candidate.Predict(ctx, from, from+d.load.Batch)
}

// closed lets callers send requests back to back until the time is over, each of them at least one.
func (d *driver) closed(ctx context.Context, _ uint64, length time.Duration) ([]request, error) {
	perCaller := make([][]request, d.load.Callers)
	callers, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for caller := range perCaller {
		callers.Go(func() error {
			for due := time.Duration(0); due < length; due = time.Since(start) {
				if err := d.send(ctx); err != nil {
					return err
				}
				perCaller[caller] = append(perCaller[caller], request{due: due, latency: time.Since(start) - due})
			}
			return nil
		})
	}
	err := callers.Wait()
	return slices.Concat(perCaller...), err
}

// What tells that requests come faster than they are answered; see [UnderLoad].
const (
	growth      = 0.05 // of latency during a turn, in turns
	mostWaiting = 10_000
)

// errTooSlow ends the requests of a turn that cannot be served.
var errTooSlow = errors.New("eval: requests come faster than they are answered")

// open sends requests when they are due, whether or not the last are answered, and waits for the answers.
func (d *driver) open(ctx context.Context, round uint64, length time.Duration) ([]request, error) {
	patience, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	defer time.AfterFunc(2*length, func() { giveUp(errTooSlow) }).Stop()
	requests, patience := errgroup.WithContext(patience)
	var mu sync.Mutex
	var sent []request
	var waiting atomic.Int64
	rng := rand.New(rand.NewPCG(d.seed, round))
	start := time.Now()
	for due := time.Duration(0); due < length; due += d.gap(rng) {
		if due > 0 && !wait(patience, due-time.Since(start)) {
			break
		}
		if waiting.Add(1) > mostWaiting {
			giveUp(errTooSlow)
		}
		requests.Go(func() error {
			defer waiting.Add(-1)
			err := d.send(patience)
			r := request{due: due, latency: time.Since(start) - due}
			if errors.Is(err, context.Canceled) && context.Cause(patience) == errTooSlow {
				r.givenUp, err = true, nil
			}
			mu.Lock()
			sent = append(sent, r)
			mu.Unlock()
			return err
		})
	}
	err := requests.Wait()
	if err == nil {
		err = ctx.Err() // ended while nothing was on its way
	}
	return sent, err
}

// gap is the time between two arrivals of a Poisson process.
func (d *driver) gap(rng *rand.Rand) time.Duration {
	return time.Duration(rng.ExpFloat64() / d.load.Rate * float64(time.Second))
}

// wait tells whether the time passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

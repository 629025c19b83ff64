//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/exit"
)

const (
	askers     = 16 // of the mixed load
	mostAsked  = 48 // samples in one request
	readings   = 120
	settled    = 1. / 3 // of the load passes before memory is expected to be flat
	flatWithin = 0.02   // of the mean, over what is left of the load
)

// watch puts a mixed load on the runtime for a while and reads the memory in use meanwhile.
func watch(ctx context.Context, w *workload.Workload, r *layarun.Runtime, length time.Duration) (*result.Memory, error) {
	load, stop := context.WithCancel(ctx)
	defer stop()
	m := &result.Memory{Seconds: length.Seconds()}
	var answers, cancelled atomic.Int64
	faults := make([]error, askers)
	var all sync.WaitGroup
	for a := range askers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(a)))
			for faults[a] == nil && load.Err() == nil {
				ok, gone, err := mixed(load, rng, w, r)
				answers.Add(ok)
				cancelled.Add(gone)
				faults[a] = err
			}
		})
	}
	var err error
	m.Points, err = read(ctx, length)
	stop()
	all.Wait()
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, err
	}
	m.Answers, m.Cancelled = answers.Load(), cancelled.Load()
	m.RSS = growth(m.Points, func(p result.InUse) int64 { return p.RSS })
	m.Heap = growth(m.Points, func(p result.InUse) int64 { return p.Heap })
	return m, nil
}

// mixed makes one request of a random size, with the policy, exits off, a bound or a threshold, now and then with all that
// can be told of an answer. The caller gives up on one in eight before or while it runs.
func mixed(ctx context.Context, rng *rand.Rand, w *workload.Workload, r *layarun.Runtime) (answered, cancelled int64, err error) {
	n := 1 + rng.IntN(mostAsked)
	from := rng.IntN(w.Len() - n)
	q := w.Request(from, from+n, w.Policy.Name)
	switch rng.IntN(4) {
	case 0:
		q.Policy = exit.Full().Name
	case 1:
		deepest := r.Exits()[rng.IntN(len(r.Exits()))]
		q.MaxExit = &deepest
	case 2:
		threshold := rng.Float64()
		q.Threshold = &threshold
	}
	q.Explain, q.AllExits = rng.IntN(8) == 0, rng.IntN(8) == 0
	call := ctx
	if rng.IntN(8) == 0 {
		var giveUp context.CancelFunc
		call, giveUp = context.WithTimeout(ctx, time.Duration(rng.IntN(2000))*time.Microsecond)
		defer giveUp()
	}
	answers, err := r.Predict(call, q)
	if err != nil && call.Err() != nil {
		return 0, int64(n), nil
	}
	for _, a := range answers {
		switch {
		case a.Err == nil:
			answered++
		case call.Err() != nil || errors.Is(a.Err, layarun.ErrDeadline):
			cancelled++
		default:
			return answered, cancelled, a.Err
		}
	}
	return answered, cancelled, err
}

// read reads the memory in use, at even intervals over the length.
func read(ctx context.Context, length time.Duration) ([]result.InUse, error) {
	begin := time.Now()
	tick := time.NewTicker(length / readings)
	defer tick.Stop()
	var points []result.InUse
	for range readings {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
		p := result.InUse{Seconds: time.Since(begin).Seconds()}
		var err error
		if p.RSS, err = resident(); err != nil {
			return nil, err
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		p.Heap = int64(stats.HeapAlloc)
		points = append(points, p)
	}
	return points, nil
}

// resident is the resident set of this process, in bytes.
func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var total, pages int64
	if _, err := fmt.Sscan(string(text), &total, &pages); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// growth is the median of the slopes between all pairs of readings of the later part (Theil 1950, Sen 1968): a few
// readings that fell on a large request do not tilt it.
func growth(points []result.InUse, of func(result.InUse) int64) result.Growth {
	later := points[int(settled*float64(len(points))):]
	var slopes []float64
	var g result.Growth
	for i, p := range later {
		g.Mean += float64(of(p)) / float64(len(later))
		for _, q := range later[:i] {
			slopes = append(slopes, float64(of(p)-of(q))/(p.Seconds-q.Seconds))
		}
	}
	slices.Sort(slopes)
	slope := slopes[len(slopes)/2]
	g.PerMinute = 60 * slope
	g.Grown = slope * (later[len(later)-1].Seconds - later[0].Seconds) / g.Mean
	g.Flat = g.Grown <= flatWithin
	return g
}

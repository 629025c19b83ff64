//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/eval"
)

// throughput measures what 1 to 512 callers get, each asking for one sample after another.
func (p plan) throughput(ctx context.Context, w *workload.Workload, r *layarun.Runtime) ([]result.Throughput, error) {
	var all []result.Throughput
	for _, callers := range []int{1, 8, 64, 512} {
		x := result.Throughput{Callers: callers}
		var rates, ms []float64
		for turn := range p.repetitions + 1 {
			begin := time.Now()
			times, err := ask(ctx, w, r, callers, p.turn)
			if err != nil {
				return nil, err
			}
			if turn > 0 { // the first warms up
				rates = append(rates, float64(len(times))/time.Since(begin).Seconds())
				ms = append(ms, times...)
			}
		}
		var err error
		if x.PerSecond, err = eval.NewSpread(rates); err != nil {
			return nil, err
		}
		if x.MS, err = eval.NewSpread(ms); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, nil
}

// ask lets the callers ask for a while and returns the ms of every answer.
func ask(ctx context.Context, w *workload.Workload, r *layarun.Runtime, callers int, length time.Duration) ([]float64, error) {
	ms, faults := make([][]float64, callers), make([]error, callers)
	end := time.Now().Add(length)
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := c; faults[c] == nil && time.Now().Before(end); i++ {
				at := i % w.Len()
				begin := time.Now()
				_, faults[c] = workload.Predict(ctx, r, w.Request(at, at+1, w.Policy.Name))
				ms[c] = append(ms[c], time.Since(begin).Seconds()*1000)
			}
		})
	}
	all.Wait()
	return slices.Concat(ms...), errors.Join(faults...)
}

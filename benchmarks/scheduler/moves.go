//go:build linux

package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

// free is a network that costs nothing: what is left is the scheduler. A quarter of the samples leaves at each exit.
type free struct {
	workers int
	next    atomic.Int64
	scores  [64][]exit.Scores // taken in turn: far more than batches run at a time
}

func newFree(workers int) *free {
	f := &free{workers: workers}
	for i := range f.scores {
		f.scores[i] = make([]exit.Scores, 32)
	}
	return f
}

func (f *free) Depths() []int    { return []int{0, 2, 4, 6} }
func (f *free) Buckets() [][]int { return [][]int{{1, 2, 4, 8, 16, 32}} }
func (f *free) Workers() int     { return f.workers }
func (f *free) Go(task func())   { go task() }
func (f *free) Release(int)      {}

func (f *free) Run(_, segment int, batch []int) ([]exit.Scores, error) {
	scores := f.scores[int(f.next.Add(1))%len(f.scores)]
	for i, id := range batch {
		p := float32(0)
		if id%4 == segment {
			p = 1
		}
		scores[i] = exit.Scores{p, p, p}
	}
	return scores[:len(batch)], nil
}

// moves measures several ways of calling, with one worker and with one per core.
func (p plan) moves(ctx context.Context) ([]result.Move, error) {
	var all []result.Move
	for _, workers := range []int{1, runtime.GOMAXPROCS(0)} {
		for _, m := range []result.Move{{Callers: 1, Samples: 1}, {Callers: 1, Samples: 32}, {Callers: 1, Samples: 1024}, {Callers: 64, Samples: 1}} {
			m.Workers = workers
			if err := p.move(ctx, &m); err != nil {
				return nil, err
			}
			all = append(all, m)
		}
	}
	return all, nil
}

// move measures one way of calling.
func (p plan) move(ctx context.Context, m *result.Move) (err error) {
	net := newFree(m.Workers)
	s, err := schedule.New(net, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	policy := exit.Policy{Name: "sure", Gate: exit.MaxProb, Exits: []int{0, 2, 4}, Thresholds: []exit.Threshold{.5, .5, .5}}
	rule, err := schedule.NewRule(policy, net.Depths(), 0, 6)
	if err != nil {
		return err
	}
	var micros []float64
	for turn := range p.repetitions + 1 {
		begin := time.Now()
		n, err := turnOf(ctx, s, rule, *m, p.turn)
		if err != nil {
			return err
		}
		if turn > 0 { // the first warms up
			micros = append(micros, float64(time.Since(begin).Microseconds())/float64(n))
		}
	}
	m.Micros, err = eval.NewSpread(micros)
	return err
}

// turnOf lets the callers hand in samples for a while and returns how many were answered.
func turnOf(ctx context.Context, s *schedule.Scheduler[int], rule *schedule.Rule, m result.Move, length time.Duration) (int64, error) {
	var answered atomic.Int64
	faults := make([]error, m.Callers)
	var all sync.WaitGroup
	end := time.Now().Add(length)
	for c := range m.Callers {
		all.Go(func() {
			jobs := make([]schedule.Job[int], m.Samples)
			for faults[c] == nil && time.Now().Before(end) {
				for i := range jobs {
					jobs[i] = schedule.Job[int]{State: c + i, Rule: rule}
				}
				faults[c] = s.Do(ctx, jobs, func(int, schedule.Result[int]) {})
				answered.Add(int64(len(jobs)))
			}
		})
	}
	all.Wait()
	return answered.Load(), errors.Join(faults...)
}

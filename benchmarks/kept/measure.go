package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/oracle"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/eval"
)

// measure fills n.
func (p *plan) measure(ctx context.Context, w *workload.Workload, r *layarun.Runtime, n *result.KeptNetwork) (err error) {
	stages, err := newStages(w, p.options.Device)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stages.engine.Close()) }()
	n.Workers = stages.workers
	n.Exits = stages.depths()
	leaving, err := left(ctx, w, r, n.Exits)
	if err != nil {
		return err
	}
	n.Shares, n.MACs = shares(leaving, len(n.Exits)), saving(w, r, n.Exits, leaving)
	var points []result.KeptPoint
	for _, batch := range p.batches {
		points = append(points, result.KeptPoint{Batch: batch})
	}
	if p.callers > 0 {
		points = append(points, result.KeptPoint{Callers: p.callers})
	}
	for i := range points {
		if err := p.point(ctx, w, r, stages, leaving, &points[i]); err != nil {
			return err
		}
	}
	n.Points = points
	if n.CostsOff, err = median(stages.rounds[exitsOff]); err != nil {
		return err
	}
	n.CostsOn, err = median(stages.rounds[exitsOn])
	return err
}

// shares of the samples that leave at each exit.
func shares(left []int, exits int) []float64 {
	s := make([]float64, exits)
	for _, i := range left {
		s[i] += 1 / float64(len(left))
	}
	return s
}

// point times one way of arriving. In every repetition batches in single spans are timed first, so that runtime, oracle and rule
// meet the same machine; what is compared is compared within a repetition.
func (p *plan) point(ctx context.Context, w *workload.Workload, r *layarun.Runtime, stages *stages, leaving []int, point *result.KeptPoint) error {
	var off, on, oracleOff, oracleOn, rule []float64
	for repetition := range p.repetitions {
		if err := stages.round(); err != nil {
			return err
		}
		costsOff, costsOn := stages.latest(exitsOff), stages.latest(exitsOn)
		ms, err := p.turns(ctx, w, r, *point, repetition)
		if err != nil {
			return err
		}
		off, on = append(off, ms[0]), append(on, ms[1])
		least, err := bound(costsOff, make([]int, len(leaving)), *point) // one span, after which all leave
		if err != nil {
			return err
		}
		oracleOff = append(oracleOff, least)
		if least, err = bound(costsOn, leaving, *point); err != nil {
			return err
		}
		oracleOn = append(oracleOn, least)
		took, err := rehearse(ctx, costsOn, stages.workers, leaving, *point)
		if err != nil {
			return err
		}
		rule = append(rule, took)
	}
	for _, s := range []struct {
		to          *eval.Spread
		over, under []float64
	}{
		{&point.Off, off, nil}, {&point.On, on, nil}, {&point.OracleOff, oracleOff, nil}, {&point.OracleOn, oracleOn, nil}, {&point.RuleOn, rule, nil},
		{&point.Saving, off, on}, {&point.OracleSaving, oracleOff, oracleOn}, {&point.Kept, oracleOn, on}, {&point.ByRule, oracleOn, rule}, {&point.InRunning, rule, on},
	} {
		values := slices.Clone(s.over)
		for i, x := range s.under {
			values[i] /= x
		}
		spread, err := eval.NewSpread(values)
		if err != nil {
			return err
		}
		*s.to = spread
	}
	fmt.Fprintf(os.Stderr, "%s, batch %d, %d callers: %.3f ms off, %.3f on, %.0f %% kept\n", w.Name, point.Batch, point.Callers, point.Off.Median,
		point.On.Median, 100*point.Kept.Median)
	return nil
}

// turns lets the runtime answer all samples with exits off and with the policy, and returns the ms per sample of both. Who begins
// goes round.
func (p *plan) turns(ctx context.Context, w *workload.Workload, r *layarun.Runtime, point result.KeptPoint, repetition int) (ms [2]float64, err error) {
	order := []int{repetition % 2, 1 - repetition%2}
	batch := point.Batch
	var candidates []eval.Candidate
	for _, i := range order {
		c := w.Candidate(r, []string{off, w.Policy.Name}[i])
		if point.Callers > 0 {
			c, batch = stream(c, point.Callers), w.Len()
		}
		candidates = append(candidates, c)
	}
	timings, err := eval.Latency(ctx, candidates, eval.LatencyOptions{Samples: w.Len(), Batches: []int{batch}, Repetitions: 1})
	if err != nil {
		return ms, err
	}
	for place, i := range order {
		ms[i] = timings[place][0].MS.Median
	}
	return ms, nil
}

// stream lets callers ask for one sample each, again and again, until all have been asked for.
func stream(single eval.Candidate, callers int) eval.Candidate {
	return eval.Candidate{Name: single.Name, Compiled: single.Compiled, Predict: func(ctx context.Context, from, to int) error {
		var next atomic.Int64
		faults := make([]error, callers)
		var all sync.WaitGroup
		for c := range callers {
			all.Go(func() {
				for faults[c] == nil {
					i := from + int(next.Add(1)) - 1
					if i >= to {
						return
					}
					faults[c] = single.Predict(ctx, i, i+1)
				}
			})
		}
		all.Wait()
		return errors.Join(faults...)
	}}
}

// bound is the oracle's time per sample.
func bound(c *oracle.Costs, left []int, point result.KeptPoint) (float64, error) {
	var total float64
	if point.Callers > 0 {
		t, err := c.Stream(left, point.Callers)
		return t / float64(len(left)), err
	}
	for from := 0; from < len(left); from += point.Batch {
		t, err := c.Arrival(left[from:min(from+point.Batch, len(left))])
		if err != nil {
			return 0, err
		}
		total += t
	}
	return total / float64(len(left)), nil
}

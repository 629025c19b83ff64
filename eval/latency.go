package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// LatencyOptions say how candidates are timed.
type LatencyOptions struct {
	Samples     int   // streamed at every batch size; 0 leaves it to Report.Measure
	Batches     []int // sizes of the arriving batches
	Repetitions int
	Progress    func(done, total int) // may be nil
}

// DefaultLatencyOptions leave the number of samples to the speed of the machine.
func DefaultLatencyOptions() LatencyOptions {
	return LatencyOptions{Batches: []int{1, 8, 32}, Repetitions: 7}
}

// Validate reports every fault with field and value.
func (o LatencyOptions) Validate() error {
	var faults []error
	if o.Samples < 0 {
		faults = append(faults, fmt.Errorf("eval: latency: samples is %d, want at least 1, or 0 for a number that suits the machine", o.Samples))
	}
	if o.Repetitions < 1 {
		faults = append(faults, fmt.Errorf("eval: latency: repetitions is %d, want at least 1", o.Repetitions))
	}
	if len(o.Batches) == 0 || slices.Min(o.Batches) < 1 {
		faults = append(faults, fmt.Errorf("eval: latency: batches are %v, want sizes of at least 1", o.Batches))
	}
	return errors.Join(faults...)
}

// Timing is the wall-clock time of a candidate at one batch size.
type Timing struct {
	Batch   int    `json:"batch"`
	MS      Spread `json:"ms_per_sample"` // over the repetitions
	SpeedUp Spread `json:"speed_up"`      // time of the first candidate ÷ own, repetition by repetition
}

// Latency times candidates against the first of them. At a batch size a repetition lets every candidate answer all samples
// in batches of that size, each awaited before the next arrives, and divides the time by the samples. Candidates take
// turns, and the first turn goes round, so that drifts of the machine meet all of them alike. One pass of each before the
// first repetition is not timed, and a pass that had to compile something is made again: no compilation is in any time.
// The result is [candidate][batch].
//
// It is the model's time: whatever the candidates prepared beforehand, such as tokens, is not in it.
func Latency(ctx context.Context, candidates []Candidate, o LatencyOptions) ([][]Timing, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Samples == 0 {
		return nil, fmt.Errorf("eval: latency: %w", ErrEmpty)
	}
	out := make([][]Timing, len(candidates))
	done, total := 0, len(o.Batches)*len(candidates)*(o.Repetitions+1)
	for _, batch := range o.Batches {
		ms := make([][]float64, len(candidates)) // [candidate][repetition]
		for repetition, c := range takingTurns(o.Repetitions, len(candidates)) {
			run := timed
			if repetition < 0 {
				run = pass
			}
			elapsed, err := run(ctx, candidates[c], o.Samples, batch)
			if err != nil {
				return nil, fmt.Errorf("eval: latency of %s at batch %d: %w", candidates[c].Name, batch, err)
			}
			if repetition >= 0 {
				ms[c] = append(ms[c], elapsed.Seconds()*1000/float64(o.Samples))
			}
			if o.Progress != nil {
				done++
				o.Progress(done, total)
			}
		}
		for c := range candidates {
			timing, err := newTiming(batch, ms[0], ms[c])
			if err != nil {
				return nil, err
			}
			out[c] = append(out[c], timing)
		}
	}
	return out, nil
}

// timed is the time of a pass in which nothing was compiled.
func timed(ctx context.Context, c Candidate, samples, batch int) (time.Duration, error) {
	return uncompiled(c, func() (time.Duration, error) { return pass(ctx, c, samples, batch) })
}

// pass lets a candidate answer the samples in batches and returns the time it took.
func pass(ctx context.Context, c Candidate, samples, batch int) (time.Duration, error) {
	start := time.Now()
	for from := 0; from < samples; from += batch {
		if err := c.Predict(ctx, from, min(from+batch, samples)); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// Bounds of the number of samples that are timed by themselves.
const (
	fewestTimed = 64
	mostTimed   = 256
	passTime    = time.Second / 2
)

// fit is a number of samples, at most available, with which a pass of the candidate one by one takes about passTime.
func fit(ctx context.Context, c Candidate, available int) (int, error) {
	if err := c.Predict(ctx, 0, 1); err != nil { // compiles
		return 0, fmt.Errorf("eval: latency of %s: %w", c.Name, err)
	}
	available = min(available, mostTimed)
	start := time.Now()
	for n := range available {
		if n >= fewestTimed && time.Since(start) > passTime {
			return n, nil
		}
		if err := c.Predict(ctx, n, n+1); err != nil {
			return 0, fmt.Errorf("eval: latency of %s: %w", c.Name, err)
		}
	}
	return available, nil
}

func newTiming(batch int, reference, own []float64) (Timing, error) {
	ratios := make([]float64, len(own))
	for i, ms := range own {
		ratios[i] = reference[i] / ms
	}
	ms, err := NewSpread(own)
	if err != nil {
		return Timing{}, err
	}
	speedUp, err := NewSpread(ratios)
	return Timing{Batch: batch, MS: ms, SpeedUp: speedUp}, err
}

package eval

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Load is a way in which requests come: in a closed loop from callers who each send the next when they have the answer to
// the last, or in an open one at random times, whether the last are answered or not.
type Load struct {
	Callers int     `json:"callers,omitempty"` // of a closed loop; 0 in an open one
	Rate    float64 `json:"rate,omitempty"`    // of an open loop: requests per second, on average; 0 in a closed one
	Batch   int     `json:"batch"`             // samples in a request
}

// greatestRate of requests per second can still be sent one by one.
const greatestRate = 1e6

// Validate reports every fault with field and value.
func (l Load) Validate() error {
	var faults []error
	if l.Batch < 1 {
		faults = append(faults, fmt.Errorf("eval: load: batch is %d, want at least 1", l.Batch))
	}
	switch {
	case !(l.Rate >= 0 && l.Rate <= greatestRate): // also NaN
		faults = append(faults, fmt.Errorf("eval: load: rate is %v, want more than 0 and at most %g requests per second", l.Rate, greatestRate))
	case l.Callers < 0 || (l.Callers == 0) == (l.Rate == 0):
		faults = append(faults, fmt.Errorf("eval: load: callers is %d and rate %v, want one of them, above 0", l.Callers, l.Rate))
	}
	return errors.Join(faults...)
}

// LoadOptions say under which loads candidates are timed, and for how long.
type LoadOptions struct {
	Loads    []Load
	Samples  int           // requests take the samples 0..Samples-1 in turn, over and over
	Rounds   int           // of each load
	Turn     time.Duration // for which a candidate is under load in a round
	Seed     uint64        // of the times at which requests arrive in an open loop
	Progress func(done, total int)
}

// DefaultLoadOptions are callers that send single samples.
func DefaultLoadOptions() LoadOptions {
	return LoadOptions{Loads: []Load{{Callers: 1, Batch: 1}, {Callers: 8, Batch: 1}, {Callers: 32, Batch: 1}},
		Samples: 1024, Rounds: 5, Turn: time.Second, Seed: 1}
}

// Validate reports every fault with field and value.
func (o LoadOptions) Validate() error {
	var faults []error
	if len(o.Loads) == 0 {
		faults = append(faults, errors.New("eval: load: there are no loads"))
	}
	for _, l := range o.Loads {
		faults = append(faults, l.Validate())
		if l.Batch > o.Samples {
			faults = append(faults, fmt.Errorf("eval: load: batch is %d, want at most the number of samples, %d", l.Batch, o.Samples))
		}
	}
	if o.Rounds < 1 {
		faults = append(faults, fmt.Errorf("eval: load: rounds is %d, want at least 1", o.Rounds))
	}
	if o.Turn <= 0 {
		faults = append(faults, fmt.Errorf("eval: load: a turn is %v, want more than 0s", o.Turn))
	}
	return errors.Join(faults...)
}

// Loaded is what became of the candidates under one load.
type Loaded struct {
	Load
	Services []Service `json:"services"` // of each candidate
}

// Service is how a candidate served a load. Spreads are over the rounds. A latency is the time from sending a request, in
// an open loop from when it should have been sent, to its answer.
type Service struct {
	Name       string  `json:"name"`
	Requests   int     `json:"requests"`      // answered, in all rounds
	Fewest     int     `json:"fewest"`        // requests of a round, which its percentiles are of
	Throughput Spread  `json:"samples_per_s"` // answered
	P50        Spread  `json:"p50_ms"`        // median latency of a round
	P95        Spread  `json:"p95_ms"`
	P99        Spread  `json:"p99_ms"`
	Saved      *Spread `json:"time_saved,omitempty"` // share of the first candidate's time per sample in the same round; nil in an open loop, which sets the pace
	// CoreThroughput is samples per second of processor time of the whole process, whoever sends the requests included;
	// Cores is how many cores it kept busy. Both are nil where the system does not tell.
	CoreThroughput *Spread `json:"samples_per_core_s,omitempty"`
	Cores          *Spread `json:"cores_busy,omitempty"`
	MeanDepth      float64 `json:"mean_depth"`     // where samples left
	Rows           float64 `json:"rows_per_batch"` // samples in a batch that was run, on average
	Padding        float64 `json:"padding"`        // share of the rows that were run to fill batches up
	// Behind counts the rounds in which requests came faster than they were answered, and Unanswered the requests given up
	// in them, which count in the latencies with the time they had waited. Both are 0 in a closed loop.
	Behind     int  `json:"rounds_behind"`
	Unanswered int  `json:"unanswered"`
	Served     bool `json:"served"` // not behind in half of the rounds or more
}

// UnderLoad times candidates under loads. In a round of a load every candidate is under it for one turn, alone; they take
// turns, and the first turn goes round. A quarter of a turn of each before the first round is not timed, and a turn in
// which something was compiled is made again.
//
// A closed loop ends with the answers to the requests sent before the turn's time was over, and lasts until then. An open
// loop sends a request at once and then as a Poisson process, the same in a round for every candidate, and measures latency from the time
// at which a request was due, so that a service that holds up its callers does not hide it. The candidate has fallen
// behind when latency grew by more than a twentieth of the turn from the first quarter of the requests to the last, or
// when requests were given up: those still unanswered a whole turn after the last was due, or more than 10,000 waiting.
// Turns must therefore be much longer than a request takes.
//
// What candidates prepared beforehand, such as tokens, is in no time, and no network lies between.
func UnderLoad(ctx context.Context, candidates []Candidate, o LoadOptions) ([]Loaded, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var out []Loaded
	done, total := 0, len(o.Loads)*len(candidates)*(o.Rounds+1)
	for _, l := range o.Loads {
		turns := make([][]turn, len(candidates)) // [candidate][round]
		drivers := make([]driver, len(candidates))
		for i, c := range candidates {
			drivers[i] = driver{candidate: c, load: l, samples: o.Samples, seed: o.Seed}
		}
		for round, c := range takingTurns(o.Rounds, len(candidates)) {
			t, err := drivers[c].timed(ctx, round, o.Turn)
			if err != nil {
				return nil, fmt.Errorf("eval: %s with %s: %w", candidates[c].Name, l, err)
			}
			if round >= 0 {
				turns[c] = append(turns[c], t)
			}
			if o.Progress != nil {
				done++
				o.Progress(done, total)
			}
		}
		loaded := Loaded{Load: l}
		for c := range candidates {
			s, err := newService(candidates[c].Name, l, turns[0], turns[c])
			if err != nil {
				return nil, err
			}
			loaded.Services = append(loaded.Services, s)
		}
		out = append(out, loaded)
	}
	return out, nil
}

// newService sums up the turns of a candidate; reference are those of the first one.
func newService(name string, l Load, reference, own []turn) (Service, error) {
	s := Service{Name: name, Fewest: math.MaxInt}
	var work Work
	for _, t := range own {
		s.Requests += t.answered()
		s.Fewest = min(s.Fewest, len(t.latencies))
		s.Unanswered += t.unanswered
		if t.behind {
			s.Behind++
		}
		work = work.plus(t.work)
	}
	s.Served = 2*s.Behind < len(own)
	s.MeanDepth = float64(work.Depths) / float64(max(work.Answers, 1))
	s.Rows = float64(work.Rows) / float64(max(work.Batches, 1))
	s.Padding = float64(work.Padding) / float64(max(work.Rows+work.Padding, 1))
	return s, s.spread(l, reference, own)
}

// spread fills in what differs from round to round.
func (s *Service) spread(l Load, reference, own []turn) error {
	var faults []error
	over := func(of func(round int, t turn) float64) *Spread {
		values := make([]float64, len(own))
		for round, t := range own {
			values[round] = of(round, t)
		}
		spread, err := NewSpread(values)
		faults = append(faults, err)
		return &spread
	}
	s.Throughput = *over(func(_ int, t turn) float64 { return t.rate(l.Batch) })
	s.P50 = *over(func(_ int, t turn) float64 { return percentile(t.latencies, 0.5) })
	s.P95 = *over(func(_ int, t turn) float64 { return percentile(t.latencies, 0.95) })
	s.P99 = *over(func(_ int, t turn) float64 { return percentile(t.latencies, 0.99) })
	if l.Rate == 0 {
		s.Saved = over(func(round int, t turn) float64 { return 1 - reference[round].rate(l.Batch)/t.rate(l.Batch) })
	}
	if !slices.ContainsFunc(own, func(t turn) bool { return t.work.CPU <= 0 }) {
		s.CoreThroughput = over(func(_ int, t turn) float64 { return float64(t.answered()*l.Batch) / t.work.CPU.Seconds() })
		s.Cores = over(func(_ int, t turn) float64 { return t.work.CPU.Seconds() / t.elapsed.Seconds() })
	}
	return errors.Join(faults...)
}

// Budget is what a service has to keep to. Zero values ask nothing.
type Budget struct {
	P99        time.Duration // greatest 99th percentile of latency
	Throughput float64       // least samples per second
}

// Met tells whether a service keeps to the budget under a load, by the medians over its rounds. One that falls behind an
// open loop does not; one that keeps up with it has the throughput that the rate asks of it.
func (b Budget) Met(l Load, s Service) bool {
	throughput := s.Throughput.Median
	if l.Rate > 0 {
		throughput = l.Rate * float64(l.Batch)
	}
	return s.Served && throughput >= b.Throughput && (b.P99 == 0 || s.P99.Median <= milliseconds(b.P99))
}

package eval

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/exit"
)

// StageOptions say how stages are timed.
type StageOptions struct {
	Batch       int
	Repetitions int                   // 0: as many as take four seconds, from 5 to 101
	Progress    func(done, total int) // may be nil; total is 0 where it is not known
}

// Bounds of the number of repetitions that is chosen by itself.
const (
	fewestStages = 5
	mostStages   = 101
	stagesTime   = 4 * time.Second
)

// StageTimes measures what the stages of the inputs' network take at a batch size, and how much longer the network takes
// for the questions at its exits: an answer there, and one launch more, since segments that nobody can leave are run in
// one go. In every repetition a batch goes through the whole network once in one go and once segment by segment, in turns
// whose order goes round. The times are medians. The cost of asking is the median of the differences within a repetition,
// or 0 if that is negative, shared out evenly over the places where the network was cut.
//
// Samples of sequences are timed lane by lane, those that are about as long as the mean of the lane, and the times weighed with
// how frequent it is. A batch is filled by taking samples again where there are too few.
//
// It is the time of the segments run one after another: of the work that exits make for the scheduler and of batches that
// shrink where samples leave it knows nothing. At batch 1 there is none of the second.
func StageTimes(ctx context.Context, in *Inputs, o StageOptions) (exit.StageTimes, error) {
	s := exit.StageTimes{Batch: o.Batch, Exits: in.runtime.Exits()}
	if o.Batch < 1 || o.Repetitions < 0 {
		return s, fmt.Errorf("eval: stages: batch is %d and repetitions %d, want at least 1, and at least 0", o.Batch, o.Repetitions)
	}
	if in.Len() == 0 {
		return s, fmt.Errorf("eval: stages: %w", ErrEmpty)
	}
	lanes := in.lanes(o.Batch)
	if err := timeLanes(ctx, in.runtime, lanes, o); err != nil {
		return s, fmt.Errorf("eval: stages at batch %d: %w", o.Batch, err)
	}
	s.Run, s.Ask = make([]float64, len(s.Exits)), make([]float64, len(s.Exits))
	for _, l := range lanes {
		s.Repetitions = len(l.whole)
		if err := l.add(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// lane is a batch of samples of one lane and what it took.
type lane struct {
	request layarun.Request
	share   float64             // of the samples that are of this lane
	whole   [][]layarun.Stretch // [repetition][0], in one go
	asked   [][]layarun.Stretch // [repetition][segment], one by one, each with its answer
}

// lanes makes a batch of every lane that has samples, in ascending order of length.
func (in *Inputs) lanes(batch int) []*lane {
	members := map[int][]int{}
	of := in.runtime.Lanes()
	for i := range in.Len() {
		length := 0
		if in.tokens != nil {
			at := slices.IndexFunc(of, func(l layarun.Lane) bool { return len(in.tokens[i]) <= l.Length })
			length = of[at].Length
		}
		members[length] = append(members[length], i)
	}
	var lanes []*lane
	for _, length := range slices.Sorted(maps.Keys(members)) {
		samples := members[length]
		in.typicalFirst(samples)
		l := &lane{share: float64(len(samples)) / float64(in.Len())}
		for i := range batch {
			at := samples[i%len(samples)]
			one := in.Request(at, at+1)
			l.request.Tokens = append(l.request.Tokens, one.Tokens...)
			l.request.Values = append(l.request.Values, one.Values...)
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// typicalFirst puts samples first that are about as long as their mean: where nothing is padded, a sample takes as long as it
// is.
func (in *Inputs) typicalFirst(samples []int) {
	if in.tokens == nil {
		return
	}
	sum := 0
	for _, i := range samples {
		sum += len(in.tokens[i])
	}
	off := func(i int) int { return max(len(in.tokens[i])*len(samples)-sum, sum-len(in.tokens[i])*len(samples)) }
	slices.SortStableFunc(samples, func(i, j int) int { return cmp.Compare(off(i), off(j)) })
}

// timeLanes traces every lane in one go and segment by segment, in turns.
func timeLanes(ctx context.Context, r *layarun.Runtime, lanes []*lane, o StageOptions) error {
	var start time.Time
	turns := 2 * len(lanes)
	for repetition := -1; ; repetition++ { // -1 warms up
		if repetition == 0 {
			start = time.Now()
		}
		if enough(o.Repetitions, repetition, start) {
			return nil
		}
		for turn := range turns {
			if err := ctx.Err(); err != nil {
				return err
			}
			t := (turn + repetition + turns) % turns
			l := lanes[t/2]
			l.request.AllExits = t%2 == 1
			stretches, err := r.Trace(l.request)
			if err != nil {
				return err
			}
			switch {
			case repetition < 0:
			case l.request.AllExits:
				l.asked = append(l.asked, stretches)
			default:
				l.whole = append(l.whole, stretches)
			}
		}
		if o.Progress != nil {
			o.Progress(repetition+1, o.Repetitions)
		}
	}
}

// enough tells whether so many repetitions will do.
func enough(wanted, done int, start time.Time) bool {
	if wanted > 0 {
		return done == wanted
	}
	return done == mostStages || done >= fewestStages && time.Since(start) > stagesTime
}

// add adds the lane's part of the times to s.
func (l *lane) add(s *exit.StageTimes) error {
	segments := len(l.asked[0])
	times := make([][]float64, segments) // [segment][repetition]
	var more []float64
	for repetition, stretches := range l.asked {
		sum := 0.0
		for i, stretch := range stretches {
			us := micros(stretch.Time)
			times[i] = append(times[i], us)
			sum += us
		}
		more = append(more, sum-micros(l.whole[repetition][0].Time))
	}
	asking, err := NewSpread(more)
	if err != nil {
		return err
	}
	cut := max(0, asking.Median) / float64(max(1, segments-1))
	stage := 0
	perSample := l.share / float64(s.Batch)
	for i, segment := range l.asked[0] {
		took, err := NewSpread(times[i])
		if err != nil {
			return err
		}
		last := stage == len(s.Exits)-1
		own := min(cut, took.Median)
		if i == segments-1 {
			own = 0 // nothing is cut behind it
		}
		s.Run[stage] += perSample * (took.Median - own)
		if !last {
			s.Ask[stage] += perSample * own
		}
		if !last && segment.Depth == s.Exits[stage] {
			stage++
		}
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

package layarun

import (
	"context"
	"fmt"
	"time"

	"github.com/layarun/layarun/compile"
)

// Stretch is what one launch took for a batch, or one call of native kernels.
type Stretch struct {
	Depth int           // reached
	Time  time.Duration // wall-clock: upload, gathering, computing, and reading what the segment returns
}

// Trace takes the samples of a request through the whole network as one batch and times every launch, in order of depth.
// It is an instrument: no sample leaves and none is answered, and it goes past the scheduler, whose batches it disturbs.
// With q.AllExits every segment is a launch and every exit answers; otherwise there is one launch, and only the last
// answers. Policy and bounds are ignored. The samples are of one lane, and at most as many as its largest batch.
func (r *Runtime) Trace(q Request) ([]Stretch, error) {
	oneByOne := q.AllExits
	q.AllExits, q.Explain = false, false
	samples, err := r.samples(context.Background(), q)
	if err != nil {
		return nil, err
	}
	for i, s := range samples {
		if s.Lane != samples[0].Lane {
			return nil, fmt.Errorf("%w: trace: sample %d is padded to another length than sample 0, want one length", ErrRequest, i)
		}
	}
	return trace(r.engine, samples, oneByOne)
}

// trace runs the segments in order, one by one or in one go. A failed run has released the samples.
func trace(e *compile.Engine, samples []*compile.Sample, oneByOne bool) ([]Stretch, error) {
	depths := e.Depths()
	step := len(depths)
	if oneByOne {
		step = 1
	}
	var out []Stretch
	for first := 0; first < len(depths); first += step {
		last := first + step - 1
		start := time.Now()
		if _, err := e.Run(first, last, samples); err != nil {
			return nil, err
		}
		out = append(out, Stretch{Depth: depths[last], Time: time.Since(start)})
	}
	for _, s := range samples {
		e.Release(s)
	}
	return out, nil
}

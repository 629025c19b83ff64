package layarun

import (
	"fmt"
	"time"

	"github.com/layarun/layarun/compile"
)

// Stretch is what one segment of the network took for a batch.
type Stretch struct {
	Depth int           // reached
	Time  time.Duration // wall-clock: upload, gathering, computing, and reading what the segment returns
}

// Trace takes the samples of a request through the whole network as one batch and times every segment, in order of depth.
// It is an instrument: no sample leaves and none is answered, and it goes past the scheduler, whose batches it disturbs.
// With q.AllExits every exit answers, otherwise only the last; policy and bounds are ignored. The samples are of one
// padded length, and at most as many as the largest bucket.
func (r *Runtime) Trace(q Request) ([]Stretch, error) {
	answer := q.AllExits
	q.AllExits, q.Explain = false, false
	samples, err := r.samples(q)
	if err != nil {
		return nil, err
	}
	for i, s := range samples {
		if s.Lane != samples[0].Lane {
			return nil, fmt.Errorf("%w: trace: sample %d is padded to another length than sample 0, want one length", ErrRequest, i)
		}
	}
	return trace(r.engine, samples, answer)
}

// trace runs the segments in order. A failed run has released the samples.
func trace(e *compile.Engine, samples []*compile.Sample, answer bool) ([]Stretch, error) {
	depths := e.Depths()
	out := make([]Stretch, len(depths))
	for i, depth := range depths {
		start := time.Now()
		if _, err := e.Run(i, samples, answer || i == len(depths)-1); err != nil {
			return nil, err
		}
		out[i] = Stretch{Depth: depth, Time: time.Since(start)}
	}
	for _, s := range samples {
		e.Release(s)
	}
	return out, nil
}

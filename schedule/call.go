package schedule

import (
	"context"
	"sync"
	"sync/atomic"
)

// call is what the jobs of one submission share.
type call[S any] struct {
	ctx     context.Context
	mu      sync.Mutex // held while deliver runs
	deliver func(i int, r Result[S])
	lends   bool // who waits for the call may run batches until it has ended
	works   bool // and does
	// left counts the jobs without a delivery, and one more until the submission has ended.
	left  atomic.Int64
	ended chan struct{} // closed when left reaches 0; nil if nobody waits for that
	stop  func() bool   // ends the watch on ctx
	// dropped is why jobs were dropped, nil if none was. Workers write it, under the scheduler's lock, before left reaches 0.
	dropped error
}

// newCall watches ctx, so that samples dropped by a cancelled context need not wait for their turn.
func (s *Scheduler[S]) newCall(ctx context.Context, jobs int, deliver func(i int, r Result[S])) *call[S] {
	c := &call[S]{ctx: ctx, deliver: deliver}
	c.left.Store(int64(jobs) + 1)
	if ctx.Done() != nil {
		// While samples wait there is a worker, so none needs to be started to see this.
		c.stop = context.AfterFunc(ctx, func() { s.sweepDue.Store(true) })
	}
	return c
}

// wait says that somebody waits for the call of so many jobs to end.
func (c *call[S]) wait(jobs int) {
	c.ended = make(chan struct{})
	c.lends = jobs == 1
}

// done counts n jobs as dealt with.
func (c *call[S]) done(n int) {
	if c.left.Add(int64(-n)) > 0 {
		return
	}
	if c.stop != nil {
		c.stop()
	}
	if c.ended != nil {
		close(c.ended)
	}
}

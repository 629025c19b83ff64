package schedule

import (
	"fmt"
	"time"

	"github.com/layarun/layarun/exit"
)

// turn is one round of a worker. Its memory is used again in the next.
type turn[S any] struct {
	first, last int // segments
	batch       []sample[S]
	states      []S
	out         []delivery[S]
}

// delivery is a result on its way to the caller.
type delivery[S any] struct {
	call   *call[S]
	index  int
	result Result[S]
	state  S    // to be released
	lost   bool // unless Run failed and has done so
}

// start puts one more worker to work if samples wait and not all are at work.
func (s *Scheduler[S]) start() {
	if s.active < s.workers && s.queues.any() {
		s.active++
		s.segments.Go(s.task)
	}
}

// work runs batches until nothing waits or the call for which it is done, if there is one, has ended.
func (s *Scheduler[S]) work(c *call[S]) {
	t := s.turns.Get().(*turn[S])
	for (c == nil || c.left.Load() > 0) && s.next(t) {
		s.deliver(t)
		if len(t.batch) > 0 {
			s.run(t)
			s.deliver(t)
		}
	}
	s.turns.Put(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.start() // where something has come meanwhile, or is left
	if s.closed && s.active == 0 {
		close(s.stopped)
	}
}

// next finds something to do: samples to drop, a batch to run, or both. It returns false if there is nothing.
func (s *Scheduler[S]) next(t *turn[S]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.sweep(t, now)
	s.take(t, now)
	return len(t.batch) > 0 || len(t.out) > 0
}

// now is the time, if it matters to anyone.
func (s *Scheduler[S]) now() (t time.Time) {
	if !s.expiry.IsZero() {
		t = time.Now()
	}
	return t
}

// sweep drops what is dead wherever it waits. It looks only when something can have died. It does not see the samples in
// batches that run; those are looked at when they come back.
func (s *Scheduler[S]) sweep(t *turn[S], now time.Time) {
	expired := !s.expiry.IsZero() && !now.Before(s.expiry)
	if !s.sweepDue.Swap(false) && !expired {
		return
	}
	s.expiry = time.Time{}
	s.queues.sweep(func(smp *sample[S]) bool {
		if s.drop(t, smp, now) {
			return false
		}
		s.expire(smp.deadline)
		return true
	})
}

// take fills the batch from the queue that is next, FIFO. It looks at every sample once more: a context that ended just
// now may not have called for a sweep yet.
func (s *Scheduler[S]) take(t *turn[S], now time.Time) {
	t.batch = t.batch[:0]
	for len(t.batch) == 0 {
		queue := s.queues.pick()
		if queue == nil {
			return
		}
		for size := s.queues.share(queue, s.workers-s.busy); queue.len() > 0 && len(t.batch) < size; {
			smp := queue.pop()
			if !s.drop(t, &smp, now) {
				t.batch = append(t.batch, smp)
			}
		}
		if len(t.batch) > 0 {
			t.first, t.last = queue.segment, s.span(queue.segment, t.batch)
			s.queues.begin(queue)
		}
	}
	s.busy++
	s.start()
}

// drop prepares the delivery of a sample that must not be run any more, and reports whether it is one.
func (s *Scheduler[S]) drop(t *turn[S], smp *sample[S], now time.Time) bool {
	err := smp.call.ctx.Err()
	switch {
	case s.abort:
		err, s.cut = ErrClosed, true
	case err == nil && !smp.deadline.IsZero() && !now.Before(smp.deadline):
		err = ErrDeadline
	case err == nil:
		return false
	}
	if err != ErrDeadline {
		smp.call.dropped = err
	}
	t.out = append(t.out, delivery[S]{call: smp.call, index: smp.index, result: Result[S]{Err: err}, state: smp.state})
	s.stats.Delivered++
	s.stats.Dropped++
	return true
}

// span is the last segment that a batch from segment on runs through in one go: the first after which one of its samples
// may leave.
func (s *Scheduler[S]) span(segment int, batch []sample[S]) int {
	for ; segment < len(s.depths)-1; segment++ {
		for i := range batch {
			if batch[i].rule.asks(s.depths[segment]) {
				return segment
			}
		}
	}
	return segment
}

// run takes the batch through its segments. Survivors join the next queue, all others become deliveries.
func (s *Scheduler[S]) run(t *turn[S]) {
	for i := range t.batch {
		t.states = append(t.states, t.batch[i].state)
	}
	scores, err := s.segments.Run(t.first, t.last, t.states)
	if err != nil {
		err = fmt.Errorf("schedule: segment %d: %w", t.last, err)
	} else if len(scores) != len(t.batch) {
		panic(fmt.Sprintf("schedule: segment %d returned %d scores for %d samples", t.last, len(scores), len(t.batch)))
	}
	depth, end := s.depths[t.last], t.last == len(s.depths)-1
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.count(t.first, t.last, t.batch[0].lane, len(t.batch))
	now := s.now()
	for i, smp := range t.batch {
		if err != nil {
			t.out = append(t.out, delivery[S]{call: smp.call, index: smp.index, result: Result[S]{Err: err}, lost: true})
			s.stats.Failed++
			s.stats.Delivered++
			continue
		}
		leaves, forced := smp.rule.leaves(depth, scores[i])
		switch {
		case leaves || end:
			t.out = append(t.out, s.leave(t.last, smp, scores[i], forced))
			s.stats.Delivered++
		case !s.drop(t, &smp, now):
			s.queues.push(t.last+1, smp)
			s.expire(smp.deadline)
		}
	}
	clear(t.batch)
	clear(t.states)
	t.states = t.states[:0]
}

// leave is the delivery of a sample that leaves after a segment.
func (s *Scheduler[S]) leave(segment int, smp sample[S], scores exit.Scores, forced bool) delivery[S] {
	d := delivery[S]{call: smp.call, index: smp.index, state: smp.state}
	if scores[0] < 0 { // exit.Scores marks logits that are not finite so
		d.result.Err = ErrNotFinite
		s.stats.Failed++
		return d
	}
	d.result = Result[S]{State: smp.state, Depth: s.depths[segment], Scores: scores, Forced: forced}
	s.stats.Exits[segment]++
	if forced {
		s.stats.Forced++
	}
	return d
}

// deliver hands out what the turn has to deliver. The room is free before a caller hears that its call has ended.
func (s *Scheduler[S]) deliver(t *turn[S]) {
	for i := range t.out {
		d := &t.out[i]
		d.call.mu.Lock()
		d.call.deliver(d.index, d.result)
		d.call.mu.Unlock()
		if !d.lost {
			s.segments.Release(d.state)
		}
	}
	s.room.Release(int64(len(t.out)))
	for i := range t.out {
		t.out[i].call.done(1)
	}
	clear(t.out)
	t.out = t.out[:0]
}

package schedule

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/layarun/layarun/exit"
)

// Scheduler runs samples through the segments of one network. Its methods may be called from any goroutine.
type Scheduler[S any] struct {
	segments Segments[S]
	depths   []int
	largest  int // the largest bucket of all
	full     *Rule
	capacity int
	workers  int
	room     *semaphore.Weighted // a unit per sample inside; hands out in the order of asking
	sweepDue atomic.Bool         // a context ended, or Close gave up waiting
	turns    sync.Pool           // of *turn[S]
	task     func()              // what a worker does
	stopped  chan struct{}       // closed when nothing is admitted any more and no worker is left

	mu     sync.Mutex
	queues queues[S]
	active int       // workers; one at least while samples wait
	busy   int       // workers that run a batch
	expiry time.Time // no waiting sample expires before; zero if none ever does
	closed bool      // nothing is admitted any more
	abort  bool      // what waits is dropped
	cut    bool      // something was dropped for it
	stats  Stats
}

// New makes a scheduler that holds at most capacity samples at a time. 0 stands for one largest bucket per segment and
// one more for every worker: with that many samples of one lane inside, some queue fills a batch while the others run.
func New[S any](segments Segments[S], capacity int) (*Scheduler[S], error) {
	depths, buckets := slices.Clone(segments.Depths()), segments.Buckets()
	if len(depths) == 0 || depths[0] < 0 || !ascending(depths) {
		return nil, fmt.Errorf("schedule: depths are %v, want at least one, >= 0 and ascending", depths)
	}
	if len(buckets) == 0 {
		return nil, fmt.Errorf("schedule: there are no buckets, want those of at least one lane")
	}
	largest := 0
	for lane, sizes := range buckets {
		if len(sizes) == 0 || sizes[0] < 1 || !ascending(sizes) {
			return nil, fmt.Errorf("schedule: buckets of lane %d are %v, want at least one, >= 1 and ascending", lane, sizes)
		}
		largest = max(largest, sizes[len(sizes)-1])
	}
	if capacity < 0 {
		return nil, fmt.Errorf("schedule: capacity is %d, want at least 1, or 0 for the default", capacity)
	}
	workers := segments.Workers()
	if workers < 1 {
		return nil, fmt.Errorf("schedule: workers is %d, want at least 1", workers)
	}
	depth := depths[len(depths)-1]
	full, err := NewRule(exit.Full(), depths, 0, depth)
	if err != nil {
		return nil, err
	}
	s := &Scheduler[S]{
		segments: segments, depths: depths, full: full,
		largest:  largest,
		capacity: cmp.Or(capacity, largest*(len(depths)+workers)),
		stopped:  make(chan struct{}),
		workers:  workers,
		queues:   newQueues[S](len(depths), buckets),
		stats:    newStats(depths),
	}
	s.room = semaphore.NewWeighted(int64(s.capacity))
	s.turns.New = func() any { return new(turn[S]) }
	s.task = func() { s.work(nil) }
	return s, nil
}

func ascending(values []int) bool {
	for i := 1; i < len(values); i++ {
		if values[i] <= values[i-1] {
			return false
		}
	}
	return true
}

// Submit hands in jobs and returns when all are inside, not when they are answered; while there is no room it waits.
// deliver is called once for each, with the job's index. n is the number of jobs that got in: with an error, which is
// ErrClosed or the error of ctx, the states of the others are still the caller's. When ctx ends, the jobs that wait
// are delivered with its error.
//
// deliver runs on a worker's goroutine, one call at a time for one submission, while the worker's core waits: it must be
// quick, and must not call Submit, Do or Close. The worker may be any caller of Do, so deliver must not wait for a lock that
// such a caller holds. Whatever it needs of the result's state it must read before it returns.
func (s *Scheduler[S]) Submit(ctx context.Context, jobs []Job[S], deliver func(i int, r Result[S])) (n int, err error) {
	return s.admit(s.newCall(ctx, len(jobs), deliver), jobs)
}

// Do hands in jobs and returns when deliver has been called for each; see Submit for deliver. There may be more jobs
// than there is room. When ctx ends or the scheduler is closed, the rest are delivered with that error and Do returns
// it. Other errors are in the results only. All states are released.
//
// Who asks for one sample while no worker is at work is one until the sample has its answer: its own goroutine runs batches, so
// that nobody has to be woken. Where others come to ask as well, it may run a batch of theirs, and returns when that has ended. Not
// so where others are at work: with eight callers who change places with workers, a perceptron answered 0.72 times as many samples.
func (s *Scheduler[S]) Do(ctx context.Context, jobs []Job[S], deliver func(i int, r Result[S])) error {
	c := s.newCall(ctx, len(jobs), deliver)
	c.wait(len(jobs))
	n, err := s.admit(c, jobs)
	s.await(c)
	s.refuse(jobs, n, err, deliver)
	return cmp.Or(err, c.dropped)
}

// TryDo is Do without waiting for room: where there is not enough for all jobs, it returns ErrFull, delivers nothing, and the
// states are still the caller's.
func (s *Scheduler[S]) TryDo(ctx context.Context, jobs []Job[S], deliver func(i int, r Result[S])) error {
	if !s.room.TryAcquire(int64(len(jobs))) {
		return fmt.Errorf("%w: no room for %d more samples, capacity is %d", ErrFull, len(jobs), s.capacity)
	}
	c := s.newCall(ctx, len(jobs), deliver)
	c.wait(len(jobs))
	err := s.push(c, 0, jobs)
	if err != nil {
		c.done(1 + len(jobs))
		s.refuse(jobs, 0, err, deliver)
		return err
	}
	c.done(1)
	s.await(c)
	return c.dropped
}

// await returns when the call has ended, and works for it where it can.
func (s *Scheduler[S]) await(c *call[S]) {
	if c.works {
		s.lend(c)
	}
	<-c.ended
}

// lend is work on the goroutine of a caller. What panics there must end the process as it does on any other worker's: a caller who
// recovers, as an HTTP server does, would leave the scheduler without the worker, and whoever shared the batch without an answer.
func (s *Scheduler[S]) lend(c *call[S]) {
	defer func() {
		if fault := recover(); fault != nil {
			text := fmt.Sprintf("%v\n\n%s", fault, debug.Stack())
			go panic(text)
			select {}
		}
	}()
	s.work(c)
}

// refuse delivers an error for the jobs from n on, which did not get in, and releases their states.
func (s *Scheduler[S]) refuse(jobs []Job[S], n int, err error, deliver func(i int, r Result[S])) {
	for i := n; i < len(jobs); i++ {
		s.segments.Release(jobs[i].State)
		deliver(i, Result[S]{Err: err})
	}
}

// Close ends the scheduler: from now on nothing is admitted. It waits until all samples inside are answered; when ctx
// ends before, those that wait are delivered with ErrClosed, and Close returns the error of ctx once the batches that
// run have ended. When it returns, the workers have ended and Run is not called any more. Closing twice is harmless.
func (s *Scheduler[S]) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed && s.active == 0 {
		close(s.stopped)
	}
	s.closed = true
	s.mu.Unlock()
	select {
	case <-s.stopped:
	case <-ctx.Done():
		s.mu.Lock()
		s.abort = true
		s.mu.Unlock()
		s.sweepDue.Store(true)
		<-s.stopped
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return ctx.Err()
	}
	return nil
}

// admit brings jobs in as there is room, and returns the number that got in.
func (s *Scheduler[S]) admit(c *call[S], jobs []Job[S]) (n int, err error) {
	for n < len(jobs) {
		if err = s.room.Acquire(c.ctx, 1); err != nil {
			break
		}
		more := 1
		for limit := min(len(jobs)-n, s.largest); more < limit && s.room.TryAcquire(1); {
			more++
		}
		if err = s.push(c, n, jobs[n:n+more]); err != nil {
			break
		}
		n += more
	}
	c.done(1 + len(jobs) - n)
	return n, err
}

// push puts jobs for which there is room into the first queue. first is the index of the first of them in the call.
func (s *Scheduler[S]) push(c *call[S], first int, jobs []Job[S]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.room.Release(int64(len(jobs)))
		return ErrClosed
	}
	for i, job := range jobs {
		s.queues.admit(sample[S]{
			state: job.State, call: c, index: first + i, rule: cmp.Or(job.Rule, s.full), deadline: job.Deadline, lane: job.Lane,
		})
		s.expire(job.Deadline)
	}
	s.stats.In += int64(len(jobs))
	if c.lends && s.active == 0 {
		s.active++
		c.works = true
		return nil
	}
	s.start()
	return nil
}

// expire notes a deadline, so that the worker looks for expired samples only when there may be one.
func (s *Scheduler[S]) expire(deadline time.Time) {
	if !deadline.IsZero() && (s.expiry.IsZero() || deadline.Before(s.expiry)) {
		s.expiry = deadline
	}
}

package schedule

import "time"

// patience is the number of batches, per queue that waits, that may pass a sample by before its queue comes first.
const patience = 4

// sample is a job inside the scheduler.
type sample[S any] struct {
	state    S
	call     *call[S]
	index    int // of the job in its call
	rule     *Rule
	deadline time.Time
	lane     int    // column of the sample's queues
	seq      uint64 // order of admission
	entered  uint64 // turns taken before the sample came into its present queue
}

// waitsLonger reports whether s came to its queue before o, or in the same turn but was admitted first.
func (s *sample[S]) waitsLonger(o *sample[S]) bool {
	return s.entered < o.entered || s.entered == o.entered && s.seq < o.seq
}

// queues holds the waiting samples, a queue per segment and lane. It is a plain value: no lock, no clock.
type queues[S any] struct {
	bySegment [][]ring[sample[S]] // [segment][lane column]
	columns   map[int]int         // lane -> column, in order of appearance
	largest   int                 // the largest bucket
	turns     uint64              // batches taken
	admitted  uint64
}

func newQueues[S any](segments, largest int) queues[S] {
	return queues[S]{bySegment: make([][]ring[sample[S]], segments), columns: map[int]int{}, largest: largest}
}

// admit puts a new sample of the lane into the first queue.
func (q *queues[S]) admit(lane int, s sample[S]) {
	column, ok := q.columns[lane]
	if !ok {
		column = len(q.columns)
		q.columns[lane] = column
		for i := range q.bySegment {
			q.bySegment[i] = append(q.bySegment[i], ring[sample[S]]{})
		}
	}
	s.lane = column
	s.seq = q.admitted
	q.admitted++
	q.push(0, s)
}

// push puts a sample into its lane's queue of a segment.
func (q *queues[S]) push(segment int, s sample[S]) {
	s.entered = q.turns
	q.bySegment[segment][s.lane].push(s)
}

// pick chooses the queue that runs next; the package comment states the rule. It returns nil if none waits.
func (q *queues[S]) pick() (segment int, next *ring[sample[S]]) {
	var waiting uint64
	var overdue, full, oldest *ring[sample[S]]
	var overdueAt, fullAt, oldestAt int
	for i := len(q.bySegment) - 1; i >= 0; i-- {
		for lane := range q.bySegment[i] {
			r := &q.bySegment[i][lane]
			if r.len() == 0 {
				continue
			}
			waiting++
			head := r.front()
			if overdue == nil || head.waitsLonger(overdue.front()) {
				overdue, overdueAt = r, i
			}
			if r.len() >= q.largest && (full == nil || fullAt == i && head.seq < full.front().seq) {
				full, fullAt = r, i
			}
			if oldest == nil || head.seq < oldest.front().seq {
				oldest, oldestAt = r, i
			}
		}
	}
	switch {
	case overdue != nil && q.turns-overdue.front().entered >= patience*waiting:
		return overdueAt, overdue
	case full != nil:
		return fullAt, full
	}
	return oldestAt, oldest
}

// waiting returns the number of samples that wait for a segment.
func (q *queues[S]) waiting(segment int) int {
	n := 0
	for lane := range q.bySegment[segment] {
		n += q.bySegment[segment][lane].len()
	}
	return n
}

// sweep takes out the samples that keep refuses.
func (q *queues[S]) sweep(keep func(*sample[S]) bool) {
	for i := range q.bySegment {
		for lane := range q.bySegment[i] {
			q.bySegment[i][lane].filter(keep)
		}
	}
}

package schedule

import (
	"slices"
	"time"
)

// patience is the number of batches, per queue that waits, that may pass a queue by before it comes first.
const patience = 4

// sample is a job inside the scheduler.
type sample[S any] struct {
	state    S
	call     *call[S]
	index    int // of the job in its call
	rule     *Rule
	deadline time.Time
	lane     int
	seq      uint64 // order of admission
	turn     uint64 // batches begun before it was admitted
}

// queue holds the samples of one lane that wait for one segment, in the order of their admission, also where batches end
// in another order than they began.
type queue[S any] struct {
	ring[sample[S]]
	segment int
	lane    int
	since   uint64 // turns begun when it was last served or, if later, began to wait
}

// queues holds the waiting samples. It is a plain value: no lock, no clock.
type queues[S any] struct {
	bySegment [][]queue[S] // [segment][lane]
	buckets   [][]int      // by lane
	turns     uint64       // batches begun
	admitted  uint64
}

func newQueues[S any](segments int, buckets [][]int) queues[S] {
	q := queues[S]{bySegment: make([][]queue[S], segments), buckets: buckets}
	for i := range q.bySegment {
		for lane := range buckets {
			q.bySegment[i] = append(q.bySegment[i], queue[S]{segment: i, lane: lane})
		}
	}
	return q
}

// largest is the largest batch of a lane.
func (q *queues[S]) largest(lane int) int { return q.buckets[lane][len(q.buckets[lane])-1] }

// admit puts a new sample into the first segment's queue.
func (q *queues[S]) admit(s sample[S]) {
	s.seq, s.turn = q.admitted, q.turns
	q.admitted++
	q.push(0, s)
}

// push puts a sample into its lane's queue of a segment.
func (q *queues[S]) push(segment int, s sample[S]) {
	to := &q.bySegment[segment][s.lane]
	if to.len() == 0 {
		to.since = q.turns
	}
	to.push(s)
	for i := to.len() - 1; i > 0 && to.at(i-1).seq > to.at(i).seq; i-- {
		*to.at(i - 1), *to.at(i) = *to.at(i), *to.at(i - 1)
	}
}

// pick chooses the queue that runs next; the package comment states the rule. It returns nil if none waits.
func (q *queues[S]) pick() *queue[S] {
	var waiting uint64
	var passed, full, longest *queue[S]
	for i := len(q.bySegment) - 1; i >= 0; i-- {
		for lane := range q.bySegment[i] {
			c := &q.bySegment[i][lane]
			if c.len() == 0 {
				continue
			}
			waiting++
			if passed == nil || c.since < passed.since || c.since == passed.since && c.olderThan(passed) {
				passed = c
			}
			if c.len() >= q.largest(lane) && (full == nil || full.segment == i && c.olderThan(full)) {
				full = c
			}
			if longest == nil || q.wait(c) > q.wait(longest) || q.wait(c) == q.wait(longest) && c.olderThan(longest) {
				longest = c
			}
		}
	}
	switch {
	case passed != nil && q.turns-passed.since >= patience*waiting:
		return passed
	case full != nil:
		return full
	}
	return longest
}

// wait is how much of a largest batch waits in c, which is not empty, and for how long: that share times the batches begun
// since the first sample was admitted, the one to come among them.
func (q *queues[S]) wait(c *queue[S]) float64 {
	return float64(c.len()) * float64(q.turns-c.front().turn+1) / float64(q.largest(c.lane))
}

// olderThan reports whether the first sample of c was admitted before that of o. Neither is empty.
func (c *queue[S]) olderThan(o *queue[S]) bool { return c.front().seq < o.front().seq }

// begin counts a batch of samples that were taken from c.
func (q *queues[S]) begin(c *queue[S]) {
	q.turns++
	c.since = q.turns
}

// share is how many samples of c, which is not empty, the next batch takes when idle workers are free, the one that asks
// among them: its part of all that waits, so that none stays idle, filled up to a bucket.
func (q *queues[S]) share(c *queue[S], idle int) int {
	n := min(c.len(), q.largest(c.lane))
	total := 0
	for segment := range q.bySegment {
		total += q.waiting(segment)
	}
	part := (total + idle - 1) / idle
	if part >= n {
		return n
	}
	at, _ := slices.BinarySearch(q.buckets[c.lane], part)
	return min(n, q.buckets[c.lane][at])
}

// any reports whether a sample waits.
func (q *queues[S]) any() bool {
	for segment := range q.bySegment {
		if q.waiting(segment) > 0 {
			return true
		}
	}
	return false
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

package schedule

import "slices"

// Stats counts what a scheduler has done since New. Slices have an entry per segment.
type Stats struct {
	In        int64   // samples admitted
	Delivered int64   // results delivered or about to be: answers, dropped and failed samples
	Dropped   int64   // cancelled or expired samples, and those that Close gave up
	Failed    int64   // samples whose batch failed or whose answer is not finite
	Forced    int64   // answers from a greatest depth rather than from a sure exit
	Depths    []int   // the depth reached after the segment
	Exits     []int64 // answers given at that depth
	Batches   []int64 // batches run
	Rows      []int64 // samples in them
	Padding   []int64 // rows that filled them up to a bucket
	Waiting   []int   // samples that wait for the segment now
}

func newStats(depths []int) Stats {
	counts := func() []int64 { return make([]int64, len(depths)) }
	return Stats{Depths: depths, Exits: counts(), Batches: counts(), Rows: counts(), Padding: counts()}
}

// Stats returns a snapshot.
func (s *Scheduler[S]) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.stats
	snap.Depths = slices.Clone(snap.Depths)
	snap.Exits, snap.Batches = slices.Clone(snap.Exits), slices.Clone(snap.Batches)
	snap.Rows, snap.Padding = slices.Clone(snap.Rows), slices.Clone(snap.Padding)
	snap.Waiting = make([]int, len(snap.Depths))
	for i := range snap.Waiting {
		snap.Waiting[i] = s.queues.waiting(i)
	}
	return snap
}

// count records a batch of n samples of a lane through the segments first to last.
func (s *Scheduler[S]) count(first, last, lane, n int) {
	buckets := s.queues.buckets[lane]
	i, _ := slices.BinarySearch(buckets, n)
	for segment := first; segment <= last; segment++ {
		s.stats.Batches[segment]++
		s.stats.Rows[segment] += int64(n)
		s.stats.Padding[segment] += int64(buckets[i] - n)
	}
}

package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Team shares the work of a caller out over cores that have nothing else to do. Callers say when they are at work
// ([Team.Begin]); the cores that are left to others do not help.
type Team struct {
	cores   int
	busy    atomic.Int32 // callers at work
	helpers []*helper
	closed  sync.Once
}

// helper is a goroutine that waits for its share of jobs.
type helper struct {
	share  atomic.Pointer[share] // to be taken by the helper, or back by the caller
	asleep atomic.Bool           // or about to be
	wake   chan struct{}
}

// job is one call of Split: a share of the pieces for each core that takes part. Shares are runs of pieces, so that of jobs
// which follow each other each core works on what it has in its cache.
type job struct {
	each   func(int)
	shares []share      // the caller's first
	done   atomic.Int32 // helpers that have returned
	fault  atomic.Value // what a piece panicked with, a string
}

// share is a run of pieces that nobody has begun: the first and, in the upper half, the end.
type share struct {
	job  *job
	rest atomic.Uint64
}

// patience is how long a helper looks out for the next job before it sleeps: blocks come one after the other, and to wake
// a thread takes as long as a small convolution.
const patience = 100 * time.Microsecond

// NewTeam starts the helpers of a team for so many cores. Close ends them.
func NewTeam(cores int) *Team {
	t := &Team{cores: cores}
	for range cores - 1 {
		h := &helper{wake: make(chan struct{}, 1)}
		t.helpers = append(t.helpers, h)
		go h.serve()
	}
	return t
}

// Close ends the helpers. No Split may be running or come later.
func (t *Team) Close() {
	t.closed.Do(func() {
		for _, h := range t.helpers {
			close(h.wake)
		}
	})
}

// Begin says that the caller's goroutine is at work, until it calls End.
func (t *Team) Begin() { t.busy.Add(1) }

// End says that the work of Begin is done.
func (t *Team) End() { t.busy.Add(-1) }

// Split runs each(0) … each(pieces-1), in any order and in part side by side, and returns when all have returned. If one
// panics Split does, too, once nobody works any more. The caller must be between Begin and End.
func (t *Team) Split(pieces int, each func(piece int)) {
	idle := min(t.cores-int(t.busy.Load()), pieces-1)
	if idle <= 0 {
		for piece := range pieces {
			each(piece)
		}
		return
	}
	j := &job{each: each, shares: make([]share, 1+idle)}
	for i := range j.shares {
		j.shares[i].job = j
		j.shares[i].rest.Store(uint64(pieces*i/len(j.shares)) | uint64(pieces*(i+1)/len(j.shares))<<32)
	}
	offered := make([]*helper, 0, idle)
	for _, h := range t.helpers {
		if len(offered) < idle && h.share.CompareAndSwap(nil, &j.shares[1+len(offered)]) {
			offered = append(offered, h)
			h.rouse()
		}
	}
	j.shares[0].run()
	taken := int32(0)
	for i, h := range offered {
		if !h.share.CompareAndSwap(&j.shares[1+i], nil) {
			taken++
		}
	}
	await(func() bool { return j.done.Load() >= taken })
	if fault := j.fault.Load(); fault != nil {
		panic(fault)
	}
}

// run does the pieces of the share and then, from their ends, what is left of the others. A panic is kept for the end of
// Split: in a helper's goroutine it would end the process, and in the caller's leave helpers at work on memory given back.
func (s *share) run() {
	defer func() {
		if fault := recover(); fault != nil {
			s.job.fault.Store(fmt.Sprint(fault))
		}
	}()
	for piece := s.take(false); piece >= 0; piece = s.take(false) {
		s.job.each(piece)
	}
	for i := range s.job.shares {
		other := &s.job.shares[i]
		for piece := other.take(true); piece >= 0; piece = other.take(true) {
			s.job.each(piece)
		}
	}
}

// take takes the first piece that is left, or the last; -1 if none is.
func (s *share) take(last bool) int {
	for {
		rest := s.rest.Load()
		first, end := uint32(rest), uint32(rest>>32)
		piece, left := first, rest+1
		if last {
			piece, left = end-1, rest-1<<32
		}
		if first == end {
			return -1
		}
		if s.rest.CompareAndSwap(rest, left) {
			return int(piece)
		}
	}
}

func (s *share) help() {
	defer s.job.done.Add(1)
	s.run()
}

func (h *helper) rouse() {
	if h.asleep.Load() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

func (h *helper) serve() {
	last := time.Now()
	for {
		if await(func() bool { return h.share.Load() != nil || time.Since(last) > patience }); h.share.Load() == nil {
			h.asleep.Store(true)
			if h.share.Load() == nil {
				if _, open := <-h.wake; !open {
					return
				}
			}
			h.asleep.Store(false)
		}
		if s := h.share.Load(); s != nil && h.share.CompareAndSwap(s, nil) {
			s.help()
		}
		last = time.Now()
	}
}

// looks is how often await looks before it lets others run: for about 10 µs. To give way at every look moves goroutines from
// thread to thread, which takes longer than what is waited for.
const looks = 200

// await looks until something has come about.
func await(come func() bool) {
	for {
		for range looks {
			if come() {
				return
			}
		}
		runtime.Gosched()
	}
}

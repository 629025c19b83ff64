package kernel

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Team has a hand, a goroutine, for each core. Hands run tasks ([Team.Go]); one without a task helps those who are at work,
// hands and others ([Team.Split]). That both is done by the same goroutines spares the threads of the one from being
// in the way of the other, and a task that is done from waking somebody who helps with what goes on.
type Team struct {
	hands   []*hand
	busy    atomic.Int32            // who is between Begin and End
	looking atomic.Int32            // hands that look out for something to do
	waiting atomic.Int32            // tasks
	offered atomic.Int32            // shares
	offers  []atomic.Pointer[share] // to be taken by a hand, or back by whoever offers them
	mu      sync.Mutex
	tasks   []func()
	jobs    sync.Pool // of *job
	closed  sync.Once
}

// hand is a goroutine of a team.
type hand struct {
	asleep atomic.Bool // or about to be
	wake   chan struct{}
}

// job is one call of Split: a share of the pieces for each core that takes part. Shares are runs of pieces, so that of jobs
// which follow each other each core works on what it has in its cache.
type job struct {
	team   *Team
	each   func(int)
	shares []share                // the caller's first
	places []int                  // of those of the others that are offered, indices of the team's offers
	done   atomic.Int32           // hands that have returned
	fault  atomic.Pointer[string] // what a piece panicked with
}

// share is a run of pieces that nobody has begun: the first and, in the upper half, the end.
type share struct {
	job  *job
	rest atomic.Uint64
}

// patience is how long a hand looks out for something to do before it sleeps: blocks come one after the other, and to wake
// a thread takes as long as a small convolution.
const patience = 100 * time.Microsecond

// NewTeam starts the hands of a team for so many cores. Close ends them.
func NewTeam(cores int) *Team {
	t := &Team{offers: make([]atomic.Pointer[share], cores-1)}
	t.jobs.New = func() any { return &job{team: t, shares: make([]share, cores)} }
	for range cores {
		t.hands = append(t.hands, &hand{wake: make(chan struct{}, 1)})
	}
	for _, h := range t.hands {
		go t.serve(h)
	}
	return t
}

// Close ends the hands. No Go and no Split may be running or come later.
func (t *Team) Close() {
	t.closed.Do(func() {
		for _, h := range t.hands {
			close(h.wake)
		}
	})
}

// Go lets a hand run the task, as soon as one has no other.
func (t *Team) Go(task func()) {
	t.mu.Lock()
	t.tasks = append(t.tasks, task)
	t.waiting.Add(1)
	t.mu.Unlock()
	t.rouse()
}

// rouse wakes as many hands as are missing for what there is to do. Any that looks out will do for it: one that was named might be
// waiting for its turn on a core on which another one looks.
func (t *Team) rouse() {
	missing := t.waiting.Load() + t.offered.Load() - t.looking.Load()
	for _, h := range t.hands {
		if missing <= 0 {
			return
		}
		if h.asleep.Load() && h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
			missing--
		}
	}
}

// next takes the first task; nil if there is none.
func (t *Team) next() func() {
	if t.waiting.Load() == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.tasks) == 0 {
		return nil
	}
	task := t.tasks[0]
	t.tasks = slices.Delete(t.tasks, 0, 1)
	t.waiting.Add(-1)
	return task
}

// Begin says that the caller's goroutine is at work, until it calls End.
func (t *Team) Begin() { t.busy.Add(1) }

// End says that the work of Begin is done.
func (t *Team) End() { t.busy.Add(-1) }

// Split runs each(0) … each(pieces-1), in any order and in part side by side, and returns when all have returned. If one
// panics Split does, too, once nobody works any more. The caller must be between Begin and End.
func (t *Team) Split(pieces int, each func(piece int)) {
	idle := min(len(t.hands)-int(t.busy.Load()), pieces-1)
	if idle <= 0 {
		for piece := range pieces {
			each(piece)
		}
		return
	}
	j := t.jobs.Get().(*job)
	j.each, j.shares, j.places = each, j.shares[:1+idle], j.places[:0]
	j.done.Store(0)
	for i := range j.shares {
		j.shares[i].job = j
		j.shares[i].rest.Store(uint64(pieces*i/len(j.shares)) | uint64(pieces*(i+1)/len(j.shares))<<32)
	}
	t.offered.Add(int32(idle)) // before the first can be taken
	for place := range t.offers {
		if len(j.places) < idle && t.offers[place].CompareAndSwap(nil, &j.shares[1+len(j.places)]) {
			j.places = append(j.places, place)
		}
	}
	t.offered.Add(int32(len(j.places) - idle))
	t.rouse()
	j.shares[0].run(false)
	taken := int32(0)
	for i, place := range j.places {
		if t.offers[place].CompareAndSwap(&j.shares[1+i], nil) {
			t.offered.Add(-1)
		} else {
			taken++
		}
	}
	await(math.MaxInt64, func() bool { return j.done.Load() >= taken })
	fault := j.fault.Swap(nil)
	j.each = nil
	t.jobs.Put(j) // no hand knows it any more
	if fault != nil {
		panic(*fault)
	}
}

// run does the pieces of the share and then, from their ends, what is left of the others. Who only helps leaves what is left
// when a task waits for a hand. A panic is kept for the end of Split: in a hand's goroutine it would end the process, and
// in the caller's leave hands at work on memory given back.
func (s *share) run(helps bool) {
	defer func() {
		if fault := recover(); fault != nil {
			text := fmt.Sprint(fault)
			s.job.fault.Store(&text)
		}
	}()
	for piece := s.next(); piece >= 0; piece = s.next() {
		s.job.each(piece)
		if helps && s.job.team.wanting() {
			return
		}
	}
}

// next takes the first piece that is left of the share or, where none is, the last of another; -1 if all are taken.
func (s *share) next() int {
	piece := s.take(false)
	for i := 0; piece < 0 && i < len(s.job.shares); i++ {
		piece = s.job.shares[i].take(true)
	}
	return piece
}

// wanting tells whether tasks wait for which nobody looks out.
func (t *Team) wanting() bool { return t.waiting.Load() > t.looking.Load() }

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

// help takes a share that is offered and runs it.
func (t *Team) help() {
	for place := range t.offers {
		if s := t.offers[place].Load(); s != nil && t.offers[place].CompareAndSwap(s, nil) {
			t.offered.Add(-1)
			defer s.job.done.Add(1)
			s.run(true)
			return
		}
	}
}

// serve is what a hand does until its team is closed.
func (t *Team) serve(h *hand) {
	for t.look(h) {
		if task := t.next(); task != nil {
			task()
			runtime.Gosched() // to whom it answered
		} else {
			t.help()
		}
	}
}

// look waits until there may be something to do, awake for as long as its patience lasts. It returns false when the team is
// closed.
func (t *Team) look(h *hand) bool {
	some := func() bool { return t.waiting.Load() > 0 || t.offered.Load() > 0 }
	t.looking.Add(1)
	came := await(patience, some)
	t.looking.Add(-1)
	if came || some() {
		return true
	}
	h.asleep.Store(true)
	if some() && h.asleep.CompareAndSwap(true, false) {
		return true
	}
	_, open := <-h.wake
	return open
}

// moment is how long await looks before it lets others run. To give way at every look moves goroutines from thread to thread,
// which takes longer than what is waited for.
const moment = 10 * time.Microsecond

// await looks until something has come about, or for as long as its patience lasts; then it returns false.
func await(patience time.Duration, come func() bool) bool {
	start := time.Now()
	for until := moment; ; {
		if come() {
			return true
		}
		passed := time.Since(start)
		if passed > patience {
			return false
		}
		if passed > until {
			runtime.Gosched()
			until = time.Since(start) + moment
		}
	}
}

package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

// TestAgainstModel plays random submissions, cancellations, deadlines and failures against a model that knows nothing
// of rings, reused memory or goroutines: it predicts every batch and every delivery.
func TestAgainstModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a *testing.T for its deadline, which a bubble forbids; a plain testing.TB has none.
		rapid.Check(struct{ testing.TB }{t}, func(t *rapid.T) {
			m := newMachine(t)
			defer m.stop()
			t.Repeat(map[string]func(*rapid.T){
				"submit": m.submit, "finish": m.finish, "finish once more": m.finish, "cancel": m.cancel, "pass": m.pass, "": m.check,
			})
			m.end(t)
		})
	})
}

// subject is a sample as the model sees it.
type subject struct {
	id        string
	call      *submission
	lane      int
	rule      limits
	scores    []float64
	deadline  time.Time
	segment   int // it waits for
	turn      int // batches begun before it came
	cancelled bool
}

type queueKey struct{ segment, lane int }

// lanes of the network.
const lanes = 2

func keyOf(s *subject) queueKey { return queueKey{s.segment, s.lane} }

type limits struct {
	policy   exit.Policy
	min, max int
}

type submission struct {
	cancel  context.CancelFunc
	members []*subject
	ended   chan error // what TryDo returned
}

type machine struct {
	net      *fake
	sched    *schedule.Scheduler[*state]
	capacity int
	created  int
	calls    []*submission

	waiting []*subject       // in the order of admission
	passed  map[queueKey]int // batches that have passed a queue by
	turns   int              // batches begun
	running [][]*subject     // a batch per busy worker

	mu        sync.Mutex            // workers come side by side
	holds     map[string]chan error // what a running batch waits for, by its first sample
	want, got map[string]string     // what happened: by sample, and by the first sample of a running batch
}

// batchKey is where a running batch is noted.
func batchKey(first string) string { return "batch of " + first }

// inside is how many samples the scheduler holds.
func (m *machine) inside() int {
	n := len(m.waiting)
	for _, batch := range m.running {
		n += len(batch)
	}
	return n
}

func newMachine(t *rapid.T) *machine {
	m := &machine{passed: map[queueKey]int{}, holds: map[string]chan error{}, want: map[string]string{}, got: map[string]string{}}
	m.net = &fake{
		depths:  sorted(rapid.SliceOfNDistinct(rapid.IntRange(0, 6), 1, 4, rapid.ID).Draw(t, "depths")),
		workers: rapid.IntRange(1, 3).Draw(t, "workers"),
	}
	for range lanes {
		m.net.buckets = append(m.net.buckets, sorted(rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 1, 3, rapid.ID).Draw(t, "buckets")))
	}
	m.net.hold = func(batch []*state) error {
		finish := make(chan error)
		m.mu.Lock()
		m.holds[batch[0].id] = finish
		m.mu.Unlock()
		return <-finish
	}
	m.net.started = func(first, last int, batch []*state) {
		var ids []string
		for _, s := range batch {
			ids = append(ids, s.id)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.got[batchKey(ids[0])] = fmt.Sprintf("segments %d to %d: %v", first, last, ids)
	}
	m.capacity = rapid.IntRange(1, 24).Draw(t, "capacity")
	var err error
	if m.sched, err = schedule.New(m.net, m.capacity); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *machine) submit(t *rapid.T) {
	depths := m.net.depths
	rule := limits{exit.Full(), 0, depths[len(depths)-1]}
	if rapid.Bool().Draw(t, "exits") {
		rule.policy = sure(rapid.SampledFrom([]float64{0, .5, 1}).Draw(t, "threshold"), depths...)
		rule.max = rapid.SampledFrom(depths).Draw(t, "max")
		rule.min = rapid.IntRange(0, rule.max).Draw(t, "min")
	}
	compiled, err := schedule.NewRule(rule.policy, depths, rule.min, rule.max)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	call := &submission{cancel: cancel}
	var jobs []schedule.Job[*state]
	for range rapid.IntRange(1, 7).Draw(t, "jobs") {
		s := &subject{id: fmt.Sprint("s", m.created), turn: m.turns, call: call, rule: rule, lane: rapid.IntRange(0, lanes-1).Draw(t, "lane")}
		s.scores = rapid.SliceOfN(rapid.SampledFrom([]float64{-1, 0, .25, .5, 1}), len(depths), len(depths)).Draw(t, "scores")
		if rapid.IntRange(0, 4).Draw(t, "hurry") == 0 {
			s.deadline = time.Now().Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "within")) * time.Millisecond)
		}
		m.created++
		call.members = append(call.members, s)
		jobs = append(jobs, schedule.Job[*state]{State: m.net.enter(s.id, s.lane, s.scores...), Lane: s.lane, Rule: compiled, Deadline: s.deadline})
	}
	call.ended = make(chan error, 1)
	go func() {
		call.ended <- m.sched.TryDo(ctx, jobs, func(i int, r schedule.Result[*state]) { m.deliver(call.members[i].id, r) })
	}()
	synctest.Wait()
	select {
	case err = <-call.ended: // refused: what got in is held up
	default:
	}
	if fits := m.inside()+len(jobs) <= m.capacity; fits != (err == nil) || !fits && !errors.Is(err, schedule.ErrFull) {
		t.Fatalf("%d inside, %d more, capacity %d: got error %v", m.inside(), len(jobs), m.capacity, err)
	}
	if err != nil {
		cancel()
		for _, job := range jobs {
			m.net.Release(job.State)
		}
		return
	}
	m.calls = append(m.calls, call)
	m.waiting = append(m.waiting, call.members...)
	m.next()
}

func (m *machine) deliver(id string, r schedule.Result[*state]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.got[id] != "" {
		m.got[id] += ", again: "
	}
	switch {
	case r.Err != nil:
		m.got[id] += r.Err.Error()
	case r.State.gone:
		m.got[id] += "a state that is gone"
	default:
		m.got[id] += fmt.Sprintf("%s at %d, forced %v", r.State.id, r.Depth, r.Forced)
	}
}

// next predicts what idle workers do.
func (m *machine) next() {
	idle := m.net.Workers() - len(m.running)
	if idle == 0 {
		return
	}
	m.waiting = slices.DeleteFunc(m.waiting, func(s *subject) bool {
		switch {
		case s.cancelled:
			m.want[s.id] = "context canceled"
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			m.want[s.id] = "schedule: deadline passed"
		default:
			return false
		}
		return true
	})
	queues := map[queueKey][]*subject{}
	for _, s := range m.waiting {
		queues[keyOf(s)] = append(queues[keyOf(s)], s)
	}
	maps.DeleteFunc(m.passed, func(key queueKey, _ int) bool { return queues[key] == nil })
	if len(queues) == 0 {
		return
	}
	chosen := slices.MaxFunc(slices.Collect(maps.Values(queues)), func(a, b []*subject) int {
		return slices.Compare(m.rank(a, len(queues)), m.rank(b, len(queues)))
	})
	batch := chosen[:m.share(chosen, idle)]
	m.waiting = slices.DeleteFunc(m.waiting, func(s *subject) bool { return slices.Contains(batch, s) })
	for key := range queues {
		m.passed[key]++
	}
	m.passed[keyOf(chosen[0])] = 0
	m.turns++
	m.running = append(m.running, batch)
	m.predictBatch(batch)
	m.next()
}

// share is how many samples of a queue a batch takes: its part of all that waits, filled up to a bucket.
func (m *machine) share(queue []*subject, idle int) int {
	buckets := m.net.buckets[queue[0].lane]
	part := (len(m.waiting) + idle - 1) / idle
	for _, bucket := range buckets {
		if bucket >= part {
			return min(len(queue), bucket)
		}
	}
	return min(len(queue), slices.Max(buckets))
}

// rank orders queues by the rule of the package comment: the largest runs next.
func (m *machine) rank(queue []*subject, queues int) []int {
	head := queue[0]
	age := len(m.waiting) - slices.Index(m.waiting, head)
	if passed := m.passed[keyOf(head)]; passed >= 4*queues {
		return []int{2, passed, age}
	}
	largest := slices.Max(m.net.buckets[head.lane])
	if len(queue) >= largest {
		return []int{1, head.segment, age}
	}
	return []int{0, 60 * len(queue) * (m.turns - head.turn + 1) / largest, age} // 60 is a multiple of every size
}

func (m *machine) predictBatch(batch []*subject) {
	var ids []string
	for _, s := range batch {
		ids = append(ids, s.id)
	}
	m.want[batchKey(ids[0])] = fmt.Sprintf("segments %d to %d: %v", batch[0].segment, m.span(batch), ids)
}

// span is the last segment that a batch runs through in one go: the first after which one of its samples may leave.
func (m *machine) span(batch []*subject) int {
	for segment := batch[0].segment; ; segment++ {
		depth := m.net.depths[segment]
		if segment == len(m.net.depths)-1 {
			return segment
		}
		for _, s := range batch {
			if early := slices.Contains(s.rule.policy.Exits, depth) && s.rule.min <= depth; early || depth >= s.rule.max {
				return segment
			}
		}
	}
}

// finish lets one of the running batches end, now and then with an error.
func (m *machine) finish(t *rapid.T) {
	if len(m.running) == 0 {
		t.Skip("nothing runs")
	}
	at := rapid.IntRange(0, len(m.running)-1).Draw(t, "which")
	batch := m.running[at]
	m.running = slices.Delete(m.running, at, at+1)
	fails := rapid.IntRange(0, 9).Draw(t, "fails") == 0
	first := batch[0].id
	delete(m.want, batchKey(first))
	delete(m.got, batchKey(first))
	var err error
	if fails {
		err = errors.New("broken")
	}
	m.holds[first] <- err
	synctest.Wait()
	last := m.span(batch)
	for _, s := range batch {
		depth, forced := want(s.rule.policy, m.net.depths, s.scores, s.rule.min, s.rule.max)
		switch here := m.net.depths[last]; {
		case fails:
			m.want[s.id] = fmt.Sprintf("schedule: segment %d: broken", last)
		case here == depth && s.scores[last] < 0:
			m.want[s.id] = schedule.ErrNotFinite.Error()
		case here == depth:
			m.want[s.id] = fmt.Sprintf("%s at %d, forced %v", s.id, depth, forced)
		default:
			s.segment = last + 1
			m.waiting = append(m.waiting, s)
		}
	}
	number := func(s *subject) (n int) { fmt.Sscanf(s.id, "s%d", &n); return n }
	slices.SortFunc(m.waiting, func(a, b *subject) int { return number(a) - number(b) })
	m.next()
}

func (m *machine) cancel(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("no calls")
	}
	call := rapid.SampledFrom(m.calls).Draw(t, "call")
	call.cancel()
	for _, s := range call.members {
		s.cancelled = true
	}
	synctest.Wait()
}

func (m *machine) pass(t *rapid.T) {
	<-time.After(time.Duration(rapid.IntRange(1, 10).Draw(t, "ms")) * time.Millisecond)
}

func (m *machine) check(t *rapid.T) {
	if !maps.Equal(m.got, m.want) {
		t.Fatalf("got\n%s\nwant\n%s", lines(m.got), lines(m.want))
	}
	stats, inside := m.sched.Stats(), m.inside()
	queued := 0
	for _, n := range stats.Waiting {
		queued += n
	}
	if queued != len(m.waiting) || stats.In-stats.Delivered != int64(inside) {
		t.Fatalf("%d samples wait, %d are inside; stats are %+v", len(m.waiting), inside, stats)
	}
}

func lines(events map[string]string) string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(events)) {
		fmt.Fprintln(&b, " ", id, events[id])
	}
	return b.String()
}

// end closes the scheduler, with or without patience, and looks for anything left.
func (m *machine) end(t *rapid.T) {
	for rapid.Bool().Draw(t, "drain") && len(m.running) > 0 {
		m.finish(t)
		m.check(t)
	}
	m.stop()
	for _, call := range m.calls {
		given := false // up, some of it
		for _, s := range call.members {
			got := m.got[s.id]
			if got == "" || strings.Contains(got, "again") {
				t.Fatalf("%s was not delivered once: %q", s.id, got)
			}
			given = given || got == context.Canceled.Error() || got == schedule.ErrClosed.Error()
		}
		if err := <-call.ended; given != (err != nil) {
			t.Fatalf("a call returned %v, given up some of it: %t", err, given)
		}
	}
	if err := m.net.check(); err != nil {
		t.Fatal(err)
	}
}

// stop closes the scheduler without patience, however far a test came, and lets the last batch end.
func (m *machine) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	closed := make(chan error)
	go func() { closed <- m.sched.Close(ctx) }()
	synctest.Wait()
	for len(m.running) > 0 {
		m.holds[m.running[0][0].id] <- nil
		m.running = m.running[1:]
	}
	<-closed
	for _, call := range m.calls {
		call.cancel()
	}
}

package schedule_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

var update = flag.Bool("update", false, "rewrite the outputs in testdata")

// TestScenarios plays testdata/*.txt. A file is a list of blocks: commands, a line of four dashes, and what happened.
//
//	network depths=0,2,4 buckets=1,4/1,2 capacity=8    # the buckets of lane 0 and those of lane 1
//	submit a,b lane=1 scores=.2,.9,.9 at=.8 min=0 max=4 within=10ms   # at: the policy's threshold, none is never
//	finish [fail]      lets the batch that is running end; finish 3 lets three end, one after another
//	pass 5ms           lets time pass
//	cancel a           cancels the submission whose first sample is a
//	drain, abort       closes, waiting for the samples inside or giving up those that wait
//	stats              prints the counters
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios:", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { play(t, file, string(text)) })
		})
	}
}

// play runs one file in a bubble, where the clock stands still unless a command moves it.
func play(t *testing.T, file, text string) {
	p := &player{t: t, cancels: map[string]func(){}}
	var now strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		for line := range strings.SplitSeq(commands, "\n") {
			command, _, _ := strings.Cut(line, "#")
			if fields := strings.Fields(command); len(fields) > 0 {
				p.command(fields[0], fields[1:])
				synctest.Wait()
			}
		}
		now.WriteString(commands)
		if events := p.happened(); len(events) > 0 {
			now.WriteString("\n----\n" + strings.Join(events, "\n"))
		}
		now.WriteString("\n\n")
	}
	p.end()
	got := strings.TrimSpace(now.String()) + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != text {
		t.Errorf("%s differs; got\n%s", file, got)
	}
}

// end stops what a file left running, which is a mistake in the file or a fault.
func (p *player) end() {
	close(p.net.finish)
	if err := p.sched.Close(context.Background()); err != nil {
		p.t.Error(err)
	}
	synctest.Wait()
	if events := p.happened(); len(events) > 0 {
		p.t.Errorf("after the last block: %q", events)
	}
	if err := p.net.check(); err != nil {
		p.t.Error(err)
	}
}

type player struct {
	t       *testing.T
	net     *fake
	sched   *schedule.Scheduler[*state]
	cancels map[string]func()
	events  []string // of the worker, in their order

	mu      sync.Mutex
	returns []string // of Submit and Close, in any order
}

// log is for the worker's goroutine, and for the player's own while the worker is held up.
func (p *player) log(format string, args ...any) {
	p.events = append(p.events, fmt.Sprintf(format, args...))
}

func (p *player) returned(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returns = append(p.returns, fmt.Sprintf(format, args...))
}

// happened returns what happened since it was last asked.
func (p *player) happened() []string {
	slices.Sort(p.returns)
	all := append(p.events, p.returns...)
	p.events, p.returns = nil, nil
	return all
}

func (p *player) command(name string, args []string) {
	options := map[string]string{}
	for _, arg := range args {
		if key, value, ok := strings.Cut(arg, "="); ok {
			options[key] = value
		}
	}
	switch name {
	case "network":
		p.network(options)
	case "submit":
		p.submit(strings.Split(args[0], ","), options)
	case "finish":
		var err error
		if slices.Contains(args, "fail") {
			err = errors.New("out of memory")
		}
		times := 1
		if len(args) > 0 && err == nil {
			times = ints(args[0])[0]
		}
		for range times {
			p.net.finish <- err
			synctest.Wait()
		}
	case "pass":
		<-time.After(p.duration(args[0]))
	case "cancel":
		p.cancels[args[0]]()
	case "drain":
		go func() { p.returned("closed: %v", p.sched.Close(context.Background())) }()
	case "abort":
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		go func() { p.returned("closed: %v", p.sched.Close(ctx)) }()
	case "stats":
		p.log("%+v", p.sched.Stats())
	default:
		p.t.Fatalf("unknown command %q", name)
	}
}

func (p *player) network(options map[string]string) {
	p.net = &fake{depths: ints(options["depths"]), finish: make(chan error)}
	for sizes := range strings.SplitSeq(options["buckets"], "/") {
		p.net.buckets = append(p.net.buckets, ints(sizes))
	}
	p.net.started = func(first, last int, batch []*state) {
		var names []string
		for _, s := range batch {
			names = append(names, s.id)
		}
		span := fmt.Sprint("segment ", first)
		if last > first {
			span = fmt.Sprintf("segments %d to %d", first, last)
		}
		p.log("run %s: %s", span, strings.Join(names, " "))
	}
	capacity, _ := strconv.Atoi(options["capacity"])
	var err error
	if p.sched, err = schedule.New(p.net, capacity); err != nil {
		p.t.Fatal(err)
	}
}

func (p *player) submit(names []string, options map[string]string) {
	depth := p.net.depths[len(p.net.depths)-1]
	policy, minExit, maxExit := exit.Full(), 0, depth
	if at, ok := options["at"]; ok {
		policy = sure(p.number(at), p.net.depths...)
	}
	if v, ok := options["min"]; ok {
		minExit = ints(v)[0]
	}
	if v, ok := options["max"]; ok {
		maxExit = ints(v)[0]
	}
	rule, err := schedule.NewRule(policy, p.net.depths, minExit, maxExit)
	if err != nil {
		p.t.Fatal(err)
	}
	var deadline time.Time
	if v, ok := options["within"]; ok {
		deadline = time.Now().Add(p.duration(v))
	}
	scores := make([]float64, len(p.net.depths))
	for i, v := range strings.FieldsFunc(options["scores"], func(r rune) bool { return r == ',' }) {
		scores[i] = p.number(v)
	}
	lane, _ := strconv.Atoi(options["lane"])
	var jobs []schedule.Job[*state]
	for _, name := range names {
		jobs = append(jobs, schedule.Job[*state]{State: p.net.enter(name, lane, scores...), Lane: lane, Rule: rule, Deadline: deadline})
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancels[names[0]] = cancel
	go func() {
		n, err := p.sched.Submit(ctx, jobs, func(i int, r schedule.Result[*state]) { p.deliver(names[i], r) })
		for _, job := range jobs[n:] {
			p.net.Release(job.State)
		}
		if err != nil {
			p.returned("%d of %s got in: %v", n, strings.Join(names, " "), err)
		}
	}()
}

func (p *player) deliver(name string, r schedule.Result[*state]) {
	switch {
	case r.Err != nil:
		p.log("%s: %v", name, r.Err)
	case r.State.id != name:
		p.log("%s was given the answer of %s", name, r.State.id)
	case r.Forced:
		p.log("%s leaves at depth %d, forced", name, r.Depth)
	default:
		p.log("%s leaves at depth %d", name, r.Depth)
	}
}

func (p *player) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *player) number(s string) float64 {
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return x
}

func ints(s string) []int {
	var out []int
	for f := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(f)
		if err != nil {
			panic(err)
		}
		out = append(out, n)
	}
	return out
}

func sorted(s []int) []int { slices.Sort(s); return s }

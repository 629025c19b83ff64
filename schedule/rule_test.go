package schedule_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

func TestNewRuleRefuses(t *testing.T) {
	exits := []int{0, 2, 4}
	for _, c := range []struct {
		name     string
		policy   exit.Policy
		exits    []int
		min, max int
		want     string
	}{
		{"no exits", exit.Full(), nil, 0, 4, "exits is empty"},
		{"min below 0", exit.Full(), exits, -1, 4, "min_exit is -1, want 0 to 4"},
		{"min above depth", exit.Full(), exits, 5, 5, "min_exit is 5, want 0 to 4"},
		{"max above depth", exit.Full(), exits, 0, 5, "max_exit is 5, want 0 to 4"},
		{"max below min", exit.Full(), exits, 2, 1, "max_exit is 1, want 2 to 4"},
		{"no exit between", exit.Full(), exits, 3, 3, "no exit from min_exit 3 to max_exit 3, exits are [0 2 4]"},
		{"unknown gate", exit.Policy{Name: "p", Gate: "luck"}, exits, 0, 4, `policy "p": exit: gate is "luck"`},
	} {
		rule, err := schedule.NewRule(c.policy, c.exits, c.min, c.max)
		if rule != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
		}
	}
}

// want is the slow, obvious version of a rule: where a sample with these scores at each exit leaves, and whether forced.
func want(p exit.Policy, exits []int, scores []float64, minExit, maxExit int) (depth int, forced bool) {
	full := exits[len(exits)-1]
	for i, d := range exits {
		s := float32(scores[i])
		last := d == full || exits[i+1] > maxExit
		leaves := p.Leaves(d, exit.Scores{s, s, s})
		if d >= minExit && d <= maxExit && (leaves || last) {
			return d, !leaves && d != full
		}
	}
	panic("no exit within the limits")
}

// TestRule compares the depth at which a lone sample leaves with the policy and the limits taken one exit at a time.
func TestRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		exits := rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 5, rapid.ID).Draw(t, "exits")
		exits = sorted(exits)
		depth := exits[len(exits)-1]
		p := exit.Policy{Name: "p", Gate: exit.Margin}
		for _, d := range exits[:len(exits)-1] {
			if rapid.Bool().Draw(t, "has threshold") {
				p.Exits = append(p.Exits, d)
				p.Thresholds = append(p.Thresholds, exit.Threshold(rapid.SampledFrom([]float64{0, .5, 1, math.Inf(1)}).Draw(t, "threshold")))
			}
		}
		scores := rapid.SliceOfN(rapid.SampledFrom([]float64{0, .25, .5, 1}), len(exits), len(exits)).Draw(t, "scores")
		maxExit := rapid.IntRange(exits[0], depth).Draw(t, "max")
		floor := exits[0] // the deepest exit within max: a min above it leaves no exit
		for _, d := range exits {
			if d <= maxExit {
				floor = d
			}
		}
		minExit := rapid.IntRange(0, floor).Draw(t, "min")
		rule, err := schedule.NewRule(p, exits, minExit, maxExit)
		if err != nil {
			t.Fatal(err)
		}
		net := &fake{depths: exits, buckets: [][]int{{1}}}
		got := solo(t, net, schedule.Job[*state]{State: net.enter("a", 0, scores...), Rule: rule})
		wantDepth, wantForced := want(p, exits, scores, minExit, maxExit)
		if got.Err != nil || got.Depth != wantDepth || got.Forced != wantForced {
			t.Fatalf("left at %d (forced %v, error %v), want %d (forced %v)", got.Depth, got.Forced, got.Err, wantDepth, wantForced)
		}
	})
}

// fataler is what *testing.T and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// solo runs one job in a scheduler of its own.
func solo(t fataler, net *fake, job schedule.Job[*state]) (result schedule.Result[*state]) {
	t.Helper()
	s, err := schedule.New(net, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Do(context.Background(), []schedule.Job[*state]{job}, func(_ int, r schedule.Result[*state]) { result = r }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := net.check(); err != nil {
		t.Fatal(err)
	}
	return result
}

// The last exit open to a sample answers whatever its scores, but not with logits that are not finite (scores -1).
func TestNotFinite(t *testing.T) {
	depths := []int{0, 2, 4}
	anywhere, err := schedule.NewRule(sure(0, depths...), depths, 0, 4)
	if err != nil {
		t.Fatal(err)
	}
	atMost2, err := schedule.NewRule(exit.Full(), depths, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule   *schedule.Rule
		scores []float64
		want   string
	}{
		{anywhere, []float64{-1, -1, .5}, "4 <nil>"}, // never sure on the way, goes on to the last exit
		{anywhere, []float64{-1, 0, 0}, "2 <nil>"},   // a score of 0 reaches a threshold of 0
		{anywhere, []float64{-1, -1, -1}, "0 schedule: the answer is not finite"},
		{atMost2, []float64{.5, -1, .5}, "0 schedule: the answer is not finite"},
	} {
		net := &fake{depths: depths, buckets: [][]int{{1}}}
		r := solo(t, net, schedule.Job[*state]{State: net.enter("a", 0, c.scores...), Rule: c.rule})
		if got := fmt.Sprint(r.Depth, " ", r.Err); got != c.want {
			t.Errorf("scores %v: got %q, want %q", c.scores, got, c.want)
		}
	}
}

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/layarun/layarun/eval"
)

// keepsBudget is which policies keep to the budget.
type keepsBudget struct {
	P99        float64   `json:"p99_ms,omitempty"`
	Throughput float64   `json:"samples_per_s,omitempty"`
	Met        []metLoad `json:"met"` // none if no policy keeps to it
	text       string    // the budget, for people
}

// metLoad is a policy that keeps to the budget, and a load under which it does.
type metLoad struct {
	Policy string    `json:"policy"`
	Load   eval.Load `json:"load"`
}

// newKeepsBudget is nil where there is no budget.
func newKeepsBudget(b eval.Budget, loads []eval.Loaded) *keepsBudget {
	if b == (eval.Budget{}) {
		return nil
	}
	k := &keepsBudget{P99: b.P99.Seconds() * 1e3, Throughput: b.Throughput, Met: []metLoad{}}
	var asked []string
	if b.P99 > 0 {
		asked = append(asked, fmt.Sprintf("p99 ≤ %v", b.P99))
	}
	if b.Throughput > 0 {
		asked = append(asked, fmt.Sprintf("≥ %g samples/s", b.Throughput))
	}
	k.text = strings.Join(asked, ", ")
	for i := range loads[0].Services { // by policy: that is what the reader chooses
		for _, l := range loads {
			if s := l.Services[i]; b.Met(l.Load, s) {
				k.Met = append(k.Met, metLoad{s.Name, l.Load})
			}
		}
	}
	return k
}

// lines says which policies keep to the budget.
func (k *keepsBudget) lines() []string {
	if k == nil {
		return nil
	}
	var lines []string
	policy := ""
	for _, m := range k.Met {
		if m.Policy != policy {
			policy = m.Policy
			lines = append(lines, fmt.Sprintf("%s keeps to the budget (%s): %s", m.Policy, k.text, m.Load))
			continue
		}
		lines[len(lines)-1] += "; " + m.Load.String()
	}
	return lines
}

// missed is the error that ends a run in which no policy keeps to the budget.
func (k *keepsBudget) missed() error {
	if k == nil || len(k.Met) > 0 {
		return nil
	}
	return targetError("nothing measured keeps to the budget (%s)", k.text)
}

func (a *app) showBenched(r benched) error {
	if a.json {
		return a.emit("bench/1", r)
	}
	turn := time.Duration(r.Turn * float64(time.Second)).Round(time.Millisecond)
	fmt.Fprintf(a.out, "%s: network %.12s, %d samples of %s\n%s\n", r.Model, r.Digest, r.Samples, r.Data, r.Machine.With(r.Backend))
	fmt.Fprintf(a.out, "batches of %s, as serve runs them; medians of %d rounds (least–greatest), turns of %v\n",
		sizes(r.Lanes...), r.Rounds, turn)
	for _, l := range r.Loads {
		s := l.Sheet()
		fmt.Fprintf(a.out, "\n%s\n", s.Caption)
		if err := a.table(s.Header, s.Rows); err != nil {
			return err
		}
	}
	for _, note := range append(eval.LoadNotes(r.Loads), r.Budget.lines()...) {
		fmt.Fprintln(a.out, note)
	}
	return nil
}

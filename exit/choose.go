package exit

import (
	"cmp"
	"fmt"
	"slices"
)

// Choice is which exits of a network earn the time they cost, and why.
type Choice struct {
	Exits    []int      `json:"exits"`    // depths of the early exits that are kept, ascending
	Verdicts []Verdict  `json:"verdicts"` // of every early exit, in order of depth
	Stages   StageTimes `json:"stages"`
	// Mean times per sample on validation, µs, at up to the allowed risk: with exits off, with all exits, with those kept.
	Off  float64 `json:"off_us"`
	All  float64 `json:"all_us"`
	Kept float64 `json:"kept_us"`
}

// Verdict is what became of an exit. The utility is that by which it was decided: for an exit that is kept the last one, for
// another the one before it was switched off.
type Verdict struct {
	Utility
	Kept   bool   `json:"kept"`
	Reason string `json:"reason"` // in words
}

// Reasons of verdicts.
const (
	reasonSaves   = "saves more than it costs"
	reasonUnused  = "no sample leaves here"
	reasonCosts   = "saves no more than it costs"
	reasonBalance = "saves no more than it costs, but the other exits are slower without it"
	reasonNone    = "the network is as fast with all exits off"
)

// ChooseExits switches off exits that cost more time than they save: greedy backward elimination on the validation table.
// A set of exits is judged by the path that [NewPath] lays for it, at the last steps whose validation risk is at most a
// quarter, a half, three quarters and all of o.Eps: the certificate will stop somewhere below, and which exits are used
// depends on where. Shares, times and utilities are means over these four policies. The exit of lowest utility goes first, if its utility is not above 0; the others' thresholds are then chosen
// again, and the exit stays off if the mean time per sample has not risen, else the next one is tried. So the result is
// never slower on validation than all exits are, nor than none. Of equal utilities the shallower exit goes first: the
// deeper one answers better.
//
// Calibration data has no part in it: the certificate is for the path of the exits chosen.
func ChooseExits(validation *Table, s StageTimes, o Options) (Choice, error) {
	if err := s.of(validation); err != nil {
		return Choice{}, err
	}
	early := validation.Exits[:len(validation.Exits)-1]
	now, err := arrange(validation, early, s, o)
	if err != nil {
		return Choice{}, err
	}
	c := Choice{Stages: s, Off: s.Full(), All: now.mean}
	for _, depth := range early {
		c.Verdicts = append(c.Verdicts, Verdict{Utility: Utility{Depth: depth}})
	}
	for {
		fewer, dropped, err := now.without(validation, s, o)
		if err != nil {
			return Choice{}, err
		}
		if dropped == nil {
			break
		}
		c.decide(*dropped, false, reasonOff(*dropped))
		now = fewer
	}
	none := c.Off <= now.mean
	for _, u := range now.utilities {
		switch {
		case none:
			c.decide(u, false, reasonNone)
		case u.Net <= 0:
			c.decide(u, true, reasonBalance)
		default:
			c.decide(u, true, reasonSaves)
		}
	}
	c.Exits, c.Kept = now.exits, now.mean
	if none {
		c.Exits, c.Kept = nil, c.Off
	}
	return c, nil
}

func (c *Choice) decide(u Utility, kept bool, reason string) {
	i := slices.IndexFunc(c.Verdicts, func(v Verdict) bool { return v.Depth == u.Depth })
	c.Verdicts[i] = Verdict{Utility: u, Kept: kept, Reason: reason}
}

func reasonOff(u Utility) string {
	if u.Share == 0 {
		return reasonUnused
	}
	return reasonCosts
}

// arrangement is a set of early exits with the thresholds chosen for it.
type arrangement struct {
	exits     []int
	utilities []Utility // of these exits
	mean      float64   // µs per sample
}

// arrange chooses the thresholds of a set of early exits and works out what each is worth.
func arrange(t *Table, exits []int, s StageTimes, o Options) (arrangement, error) {
	a := arrangement{exits: exits, mean: s.Full()}
	if len(exits) == 0 {
		return a, nil
	}
	few, err := t.Restrict(func(depth int) bool { return slices.Contains(exits, depth) })
	if err != nil {
		return a, err
	}
	path, err := NewPath(few, o)
	if err != nil {
		return a, fmt.Errorf("exits %v: %w", exits, err)
	}
	a.mean = 0
	for quarter := range quarters {
		all, mean, err := Utilities(t, path.Policy(path.lastBelow(o.Eps*float64(quarter+1)/quarters)), s)
		if err != nil {
			return a, err
		}
		a.mean += mean / quarters
		all = slices.DeleteFunc(all, func(u Utility) bool { return !slices.Contains(exits, u.Depth) })
		if a.utilities == nil {
			a.utilities = make([]Utility, len(all))
		}
		for i, u := range all {
			a.utilities[i] = a.utilities[i].plus(u, 1./quarters)
		}
	}
	return a, nil
}

// quarters are the parts of the allowed risk at which a set of exits is judged.
const quarters = 4

// lastBelow is the last step whose validation risk is at most eps; there is always "never", whose risk is 0.
func (p Path) lastBelow(eps float64) int {
	last := 0
	for i, step := range p.Steps {
		if step.Risk <= eps {
			last = i
		}
	}
	return last
}

// plus adds the utility of the same exit under another policy, with a weight.
func (u Utility) plus(v Utility, weight float64) Utility {
	return Utility{
		Depth: v.Depth, Share: u.Share + weight*v.Share, Gain: u.Gain + weight*v.Gain,
		Cost: u.Cost + weight*v.Cost, Net: u.Net + weight*v.Net,
	}
}

// without switches off the exit of lowest utility that the rest is no slower without; nil if there is none.
func (a arrangement) without(t *Table, s StageTimes, o Options) (arrangement, *Utility, error) {
	worst := slices.Clone(a.utilities)
	slices.SortStableFunc(worst, func(u, v Utility) int { return cmp.Compare(u.Net, v.Net) })
	for _, u := range worst {
		if u.Net > 0 {
			break
		}
		fewer, err := arrange(t, slices.DeleteFunc(slices.Clone(a.exits), func(d int) bool { return d == u.Depth }), s, o)
		if err != nil {
			return a, nil, err
		}
		if fewer.mean <= a.mean {
			return fewer, &u, nil
		}
	}
	return a, nil, nil
}

package exit

import "slices"

// Outcome is what one sample met: where it left and with which answer.
type Outcome struct {
	Exit   int // index into Table.Exits
	Answer int // class, or -1 where the logits of that exit are not finite: an error, wrong whatever the label
}

// Apply lets every sample of the table leave where the policy says.
func (t *Table) Apply(p Policy) []Outcome {
	a := t.align(p)
	return t.leaveAt(func(i int) int { return a.exitOf(t.Scores[i]) })
}

// Forced lets every sample leave at the exit with this index into Exits.
func (t *Table) Forced(exit int) []Outcome {
	return t.leaveAt(func(int) int { return exit })
}

// Oracle lets every sample leave at the first exit whose answer is its label, and where there is none at the cheapest:
// no gate on the same exits is more accurate, or as accurate for less. Samples without a label take the full network's
// answer as their label.
func (t *Table) Oracle() []Outcome {
	return t.leaveAt(func(i int) int {
		y := t.Labels[i]
		if y < 0 {
			y = t.answer(i, len(t.Exits)-1)
		}
		return t.firstWith(i, y, 0)
	})
}

// AgreeingOracle lets every sample leave at the first exit whose answer is the full network's: the largest saving any
// gate can get without changing an answer.
func (t *Table) AgreeingOracle() []Outcome {
	last := len(t.Exits) - 1
	return t.leaveAt(func(i int) int { return t.firstWith(i, t.answer(i, last), last) })
}

// firstWith is the first exit that answers sample i with a valid class y, or other if none does.
func (t *Table) firstWith(i, y, other int) int {
	for k := range t.Exits {
		if a := t.answer(i, k); a >= 0 && a == y {
			return k
		}
	}
	return other
}

func (t *Table) leaveAt(exit func(sample int) int) []Outcome {
	out := make([]Outcome, len(t.Labels))
	for i := range out {
		k := exit(i)
		out[i] = Outcome{Exit: k, Answer: t.answer(i, k)}
	}
	return out
}

func (t *Table) answer(sample, exit int) int { return Argmax(t.Logits[sample][exit]) }

// Summary is what a set of outcomes costs and gives, in counts and means over the samples of a table.
type Summary struct {
	N         int
	Labelled  int       // samples with a known label
	Right     int       // of these, answered correctly
	Worse     int       // labelled, full network right and outcome wrong
	Better    int       // labelled, full network wrong and outcome right
	Changed   int       // answer differs from the full network's
	Errors    int       // no valid answer: logits not finite
	MeanDepth float64   // mean depth left at
	MeanMACs  float64   // mean multiply-accumulates per sample
	Shares    []float64 // share of the samples that left at each exit
}

// Summarize counts outcomes of this table, one per sample. A table without samples gives means of 0.
func (t *Table) Summarize(outcomes []Outcome) Summary {
	s := Summary{N: len(outcomes), Shares: make([]float64, len(t.Exits))}
	for i, o := range outcomes {
		full := t.answer(i, len(t.Exits)-1)
		if y := t.Labels[i]; y >= 0 {
			s.Labelled++
			s.Right += count(o.Answer == y)
			s.Worse += count(full == y && o.Answer != y)
			s.Better += count(full != y && o.Answer == y)
		}
		s.Changed += count(o.Answer != full)
		s.Errors += count(o.Answer < 0)
		weight := 1 / float64(s.N)
		s.MeanDepth += weight * float64(t.Exits[o.Exit])
		s.MeanMACs += weight * float64(t.MACs[o.Exit])
		s.Shares[o.Exit] += weight
	}
	return s
}

// Accuracy is Right / Labelled; 0 where nothing is labelled.
func (s Summary) Accuracy() float64 { return float64(s.Right) / float64(max(s.Labelled, 1)) }

// Drop is the accuracy drop (Worse - Better) / Labelled; 0 where nothing is labelled.
func (s Summary) Drop() float64 { return float64(s.Worse-s.Better) / float64(max(s.Labelled, 1)) }

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// aligned is a policy whose thresholds are in the order of a table's exits, without the last.
type aligned struct {
	gate       int
	thresholds []Threshold
}

func (t *Table) align(p Policy) aligned {
	r := p.Rule()
	a := aligned{gate: r.gate}
	for _, depth := range t.Exits[:len(t.Exits)-1] {
		threshold := Never
		if i := slices.Index(r.exits, depth); i >= 0 {
			threshold = r.thresholds[i]
		}
		a.thresholds = append(a.thresholds, threshold)
	}
	return a
}

// exitOf is the index of the exit at which a sample with these scores leaves.
func (a aligned) exitOf(scores []Scores) int { return a.exitAfter(-1, scores) }

// exitAfter is the index of the exit at which a sample leaves that has not left at this one or before.
func (a aligned) exitAfter(exit int, scores []Scores) int {
	for k := exit + 1; k < len(a.thresholds); k++ {
		if a.thresholds[k].Reached(scores[k][a.gate]) {
			return k
		}
	}
	return len(a.thresholds)
}

// asked tells at which exits the policy looks at scores: those where they can let a sample leave.
func (a aligned) asked() []bool {
	asked := make([]bool, len(a.thresholds))
	for k, threshold := range a.thresholds {
		asked[k] = threshold != Never
	}
	return asked
}

package exit

import (
	"fmt"
	"math/rand/v2"
)

// trial is a table prepared for measuring many policies: the loss of each sample at each exit is looked up, not computed.
type trial struct {
	table  *Table
	risk   string
	losses [][]int8 // [sample][exit], in {-1, 0, 1}; 0 at the last exit
}

// newTrial computes the losses of a valid table.
func newTrial(t *Table, risk string) (*trial, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	if len(t.Labels) == 0 {
		return nil, fmt.Errorf("exit: table: no samples")
	}
	last := len(t.Exits) - 1
	losses := make([][]int8, len(t.Labels))
	for i, y := range t.Labels {
		if risk == AccuracyDrop && y < 0 {
			return nil, fmt.Errorf("exit: table: sample %d has no label, which %q needs; %q does without", i, risk, Consistency)
		}
		losses[i] = make([]int8, len(t.Exits))
		full := t.answer(i, last)
		for k := range last {
			losses[i][k] = loss(risk, y, full, t.answer(i, k))
		}
	}
	return &trial{table: t, risk: risk, losses: losses}, nil
}

// loss is what leaving with answer instead of full costs. An answer of -1 is an error, wrong whatever the label.
func loss(risk string, y, full, answer int) int8 {
	if risk == Consistency {
		return int8(count(answer != full))
	}
	return int8(count(full == y) - count(answer == y))
}

// measure is what a policy did on a table.
type measure struct {
	worse, better int   // samples with loss 1 and -1
	macs          int64 // over all samples
}

func (m measure) drop() int { return m.worse - m.better }

func (t *trial) measure(a aligned) measure {
	var m measure
	for i, scores := range t.table.Scores {
		k := a.exitOf(scores)
		m.macs += t.table.MACs[k]
		switch t.losses[i][k] {
		case 1:
			m.worse++
		case -1:
			m.better++
		}
	}
	return m
}

// lossesOf are the losses of a policy, one per sample, in the given order of samples.
func (t *trial) lossesOf(a aligned, order []int) []int8 {
	out := make([]int8, len(order))
	for i, sample := range order {
		out[i] = t.losses[sample][a.exitOf(t.table.Scores[sample])]
	}
	return out
}

// halves deals the samples out to two trials, in the order of [shuffled]. A single sample goes to both.
func (t *trial) halves() (first, second *trial) {
	order := shuffled(len(t.losses))
	middle := len(order) / 2
	return t.subset(order[:max(middle, 1)]), t.subset(order[middle:])
}

func (t *trial) subset(samples []int) *trial {
	table := *t.table
	table.Labels, table.Scores = nil, nil
	table.Logits, table.Alpha = nil, nil // the losses are known already
	sub := &trial{table: &table, risk: t.risk}
	for _, i := range samples {
		table.Labels = append(table.Labels, t.table.Labels[i])
		table.Scores = append(table.Scores, t.table.Scores[i])
		sub.losses = append(sub.losses, t.losses[i])
	}
	return sub
}

// shuffled is a fixed permutation of n samples. Betting needs an order that knows nothing of the losses, and files are
// often sorted by class; a constant seed keeps the certificate a function of the table alone.
func shuffled(n int) []int {
	return rand.New(rand.NewPCG(2010, 9686)).Perm(n)
}

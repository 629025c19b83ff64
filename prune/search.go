package prune

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Measurement is what a candidate network does on the validation split, paired with the unpruned network.
type Measurement struct {
	Samples  int
	Accuracy float64 // of the candidate
	Broken   int     // answers that were right before and are wrong now
	Mended   int     // the reverse
}

// Drop is the loss of accuracy against the unpruned network, negative for a gain.
func (m Measurement) Drop() float64 { return float64(m.Broken-m.Mended) / float64(m.Samples) }

// Search proposes removals by the scores of a profile and keeps those whose measured drop, in total with all that was
// removed before, is at most maxDrop. removable says for each block of the network, from the first, whether it can go
// while later ones stay. Layers with a score >= threshold are never touched:
//
//  1. The end: the network is cut after its last layer that reaches the threshold; where that costs too much, after the
//     next deeper one that the head reads, and so on.
//  2. Removable blocks below the threshold, the lowest score first, each with its branch. The profile knows nothing of
//     blocks that the head does not read; they stay.
//  3. Branches of the head below the threshold, the lowest score first. A branch that goes takes its exit with it.
//
// Every candidate is measured on top of what was accepted before it, because costs do not add up. The plan lists all
// that was tried. Profiles in which no block's score reaches the threshold are refused: nothing would be kept.
func Search(p Profile, removable []bool, threshold, maxDrop float64, measure func(Plan) (Measurement, error)) (Plan, error) {
	if err := checkSearch(p, removable, threshold, maxDrop); err != nil {
		return Plan{}, err
	}
	s := search{
		profile: p, scores: p.Scores(), maxDrop: maxDrop, measure: measure,
		plan: Plan{Keep: upTo(len(removable)), Reads: slices.Clone(p.Reads), Threshold: threshold, Bundle: p.Bundle},
	}
	deepest := s.deepest()
	if deepest < 0 || p.Reads[deepest] == 0 {
		return Plan{}, s.nothingKept()
	}
	if err := s.cutEnd(deepest); err != nil {
		return Plan{}, err
	}
	if err := s.dropBlocks(removable); err != nil {
		return Plan{}, err
	}
	if err := s.dropBranches(); err != nil {
		return Plan{}, err
	}
	return s.plan, nil
}

func checkSearch(p Profile, removable []bool, threshold, maxDrop float64) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if p.Full.Global.N == 0 {
		return errors.New("prune: the profile has seen no sample")
	}
	if last := p.Reads[len(p.Reads)-1]; last != len(removable) {
		return fmt.Errorf("prune: the profile's last depth is %d, but the network has %d blocks", last, len(removable))
	}
	if !(threshold > 0 && threshold < 1) {
		return fmt.Errorf("prune: threshold is %v, want a score between 0 and 1", threshold)
	}
	if !(maxDrop >= 0 && maxDrop <= 1) {
		return fmt.Errorf("prune: largest drop is %v, want a share between 0 and 1", maxDrop)
	}
	return nil
}

// search is the state of one [Search]: the plan so far.
type search struct {
	profile Profile
	scores  []float64 // of the depths read
	maxDrop float64
	measure func(Plan) (Measurement, error)
	plan    Plan
}

// deepest is the index of the last read whose score reaches the threshold; -1 if there is none.
func (s *search) deepest() int {
	for i := len(s.scores) - 1; i >= 0; i-- {
		if s.scores[i] >= s.plan.Threshold {
			return i
		}
	}
	return -1
}

func (s *search) nothingKept() error {
	highest, depth := 0.0, 0
	for i, d := range s.profile.Reads {
		if d > 0 && s.scores[i] >= highest {
			highest, depth = s.scores[i], d
		}
	}
	return fmt.Errorf("prune: nothing would be kept: the highest score of a block is %.4g, at depth %d, below the threshold of %.4g",
		highest, depth, s.plan.Threshold)
}

// cutEnd tries to end the network at read i, or at the first deeper one that costs little enough.
func (s *search) cutEnd(i int) error {
	for ; i < len(s.profile.Reads)-1; i++ {
		last := s.profile.Reads[i]
		within := func(depth int) bool { return depth > last }
		keep := slices.DeleteFunc(slices.Clone(s.plan.Keep), within)
		reads := slices.DeleteFunc(slices.Clone(s.plan.Reads), within)
		accepted, err := s.try(fmt.Sprintf("suffix after block %d", last), keep, reads)
		if accepted || err != nil {
			return err
		}
	}
	return nil
}

func (s *search) dropBlocks(removable []bool) error {
	for _, depth := range s.below(s.plan.Reads) {
		if depth == 0 || !removable[depth-1] {
			continue
		}
		if _, err := s.try(fmt.Sprintf("block %d", depth), without(s.plan.Keep, depth), without(s.plan.Reads, depth)); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) dropBranches() error {
	for _, depth := range s.below(s.plan.Reads) {
		if _, err := s.try(fmt.Sprintf("branch %d", depth), s.plan.Keep, without(s.plan.Reads, depth)); err != nil {
			return err
		}
	}
	return nil
}

// below lists those of the given depths whose score is below the threshold, the lowest score first. The deepest, which
// always answers, is not among them.
func (s *search) below(reads []int) []int {
	depths := slices.DeleteFunc(slices.Clone(reads[:len(reads)-1]), func(depth int) bool { return s.score(depth) >= s.plan.Threshold })
	slices.SortStableFunc(depths, func(a, b int) int { return cmp.Compare(s.score(a), s.score(b)) })
	return depths
}

func (s *search) score(depth int) float64 { return s.scores[slices.Index(s.profile.Reads, depth)] }

// try measures the plan with other blocks and reads, adopts it if it costs little enough, and notes the step either way.
func (s *search) try(what string, keep, reads []int) (accepted bool, err error) {
	candidate := s.plan
	candidate.Keep, candidate.Reads = keep, reads
	m, err := s.measure(candidate)
	if err != nil {
		return false, fmt.Errorf("prune: %s: %w", what, err)
	}
	if m.Samples < 1 || math.IsNaN(m.Accuracy) {
		return false, fmt.Errorf("prune: %s: accuracy %v on %d samples, want a number and at least one sample", what, m.Accuracy, m.Samples)
	}
	step := Step{What: what, Accuracy: m.Accuracy, Drop: m.Drop(), Accepted: m.Drop() <= s.maxDrop}
	for _, depth := range s.plan.Reads {
		if !slices.Contains(reads, depth) {
			step.Score = max(step.Score, s.score(depth)) // of the end: the highest that goes
		}
	}
	verdict := "more than"
	if step.Accepted {
		verdict = "at most"
		s.plan = candidate
	}
	step.Reason = fmt.Sprintf("%s %.4g points: %d broken, %d mended of %d", verdict, 100*s.maxDrop, m.Broken, m.Mended, m.Samples)
	s.plan.Steps = append(s.plan.Steps, step)
	return step.Accepted, nil
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

func without(list []int, v int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(w int) bool { return w == v })
}

package prune

import (
	"fmt"
	"math"
)

// Observation is how the head's attention treated one sample.
type Observation struct {
	// Class is the sample's group, an index into Profile.Classes.
	Class int
	// Alpha is the attention over the depths read until the answer: all of them, or the first few where the sample left
	// early. Norms are ‖z_i‖ of the same depths.
	Alpha, Norms []float32
}

// NewView describes what was seen of a head with the given number of depths read and of classes. Depths that a sample did
// not reach count 0. Sums are taken in float64. The error names the observation.
func NewView(reads, classes int, seen []Observation) (View, error) {
	groups := make([][]Observation, classes)
	for i, o := range seen {
		if err := o.check(reads, classes); err != nil {
			return View{}, fmt.Errorf("prune: observation %d: %w", i, err)
		}
		groups[o.Class] = append(groups[o.Class], o)
	}
	v := View{Global: newAttention(reads, seen)}
	for _, group := range groups {
		v.ByClass = append(v.ByClass, newAttention(reads, group))
	}
	return v, nil
}

func (o Observation) check(reads, classes int) error {
	if o.Class < 0 || o.Class >= classes {
		return fmt.Errorf("class is %d, want 0 to %d", o.Class, classes-1)
	}
	if len(o.Alpha) == 0 || len(o.Alpha) > reads || len(o.Alpha) != len(o.Norms) {
		return fmt.Errorf("%d values of alpha and %d norms, want as many of both, at most %d", len(o.Alpha), len(o.Norms), reads)
	}
	for i := range o.Alpha {
		if a, z := float64(o.Alpha[i]), float64(o.Norms[i]); !(a >= 0 && a <= 1 && z >= 0) || math.IsInf(z, 1) {
			return fmt.Errorf("read %d has alpha %v and norm %v, want numbers >= 0, alpha at most 1", i, a, z)
		}
	}
	return nil
}

// newAttention summarises a group: mean and standard deviation of alpha_i, and E[alpha_i ‖z_i‖] divided by its sum over
// the depths. The score is all 0 where every z_i is.
func newAttention(reads int, seen []Observation) Attention {
	if len(seen) == 0 {
		return Attention{}
	}
	n := float64(len(seen))
	a := Attention{N: len(seen), Mean: make([]float64, reads), Std: make([]float64, reads), Score: make([]float64, reads)}
	total := 0.0
	for _, o := range seen {
		for i, alpha := range o.Alpha {
			a.Mean[i] += float64(alpha)
			use := float64(alpha) * float64(o.Norms[i])
			a.Score[i] += use
			total += use
		}
	}
	for i := range a.Mean {
		a.Mean[i] /= n
	}
	for _, o := range seen {
		for i := range reads {
			alpha := 0.0
			if i < len(o.Alpha) {
				alpha = float64(o.Alpha[i])
			}
			a.Std[i] += (alpha - a.Mean[i]) * (alpha - a.Mean[i]) / n
		}
	}
	for i := range reads {
		a.Std[i] = math.Sqrt(a.Std[i])
		if total > 0 {
			a.Score[i] /= total
		}
	}
	return a
}

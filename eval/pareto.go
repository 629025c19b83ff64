package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Point is one way to run a model: what it costs (less is better) and what it gives (more is better).
type Point struct {
	Name  string  `json:"name"`
	Cost  float64 `json:"cost"`
	Value float64 `json:"value"`
}

// Pareto are the points that no other dominates, by rising cost. A point dominates another if it costs no more and gives
// no less, and is better in one of the two; equal points stay together.
func Pareto(points []Point) ([]Point, error) {
	if err := checkPoints("Pareto", points); err != nil {
		return nil, err
	}
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), cmp.Compare(b.Value, a.Value))
	})
	var front []Point
	for _, p := range sorted {
		if len(front) > 0 {
			last := front[len(front)-1]
			equal := p.Cost == last.Cost && p.Value == last.Value
			if p.Value <= last.Value && !equal {
				continue
			}
		}
		front = append(front, p)
	}
	return front, nil
}

// Hull is the upper convex hull of the points from the cheapest to the most valuable, by rising cost: what random mixtures
// of fixed points reach. A gate below it is worse than a coin. Points on the line between two others are dropped.
func Hull(points []Point) ([]Point, error) {
	front, err := Pareto(points)
	if err != nil {
		return nil, err
	}
	front = slices.CompactFunc(front, func(a, b Point) bool { return a.Cost == b.Cost })
	var hull []Point
	for _, p := range front {
		for len(hull) >= 2 && !above(hull[len(hull)-2], hull[len(hull)-1], p) {
			hull = hull[:len(hull)-1]
		}
		hull = append(hull, p)
	}
	return hull, nil
}

// above reports whether b lies above the line from a to c, by more than rounding can put it there.
func above(a, b, c Point) bool {
	left := (b.Value - a.Value) * (c.Cost - a.Cost)
	right := (c.Value - a.Value) * (b.Cost - a.Cost)
	return left-right > 1e-12*(math.Abs(left)+math.Abs(right))
}

func checkPoints(what string, points []Point) error {
	if len(points) == 0 {
		return fmt.Errorf("eval: %s: no points", what)
	}
	for i, p := range points {
		for _, v := range []float64{p.Cost, p.Value} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("eval: %s: point %d (%s) is (%v, %v), want finite numbers", what, i, p.Name, p.Cost, p.Value)
			}
		}
	}
	return nil
}

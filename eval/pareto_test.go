package eval_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/eval"
)

func names(points []eval.Point) (s string) {
	for _, p := range points {
		s += p.Name
	}
	return s
}

func TestParetoAndHull(t *testing.T) {
	for _, c := range []struct {
		name        string
		points      []eval.Point
		front, hull string
	}{
		{"one", []eval.Point{{"a", 1, 1}}, "a", "a"},
		{"dominated", []eval.Point{{"c", 3, 2}, {"b", 2, 2}, {"a", 1, 1}, {"d", 2, 1}}, "ab", "ab"},
		{"equal points stay", []eval.Point{{"a", 1, 1}, {"b", 1, 1}, {"c", 2, 2}}, "abc", "ac"},
		{"on the line", []eval.Point{{"a", 0.1, 0.1}, {"b", 0.2, 0.2}, {"c", 0.3, 0.3}, {"d", 0.7, 0.7}}, "abcd", "ad"},
		{"below the line", []eval.Point{{"a", 0, 0}, {"b", 1, 0.9}, {"c", 2, 1}, {"d", 3, 3}}, "abcd", "ad"},
		{"above the line", []eval.Point{{"a", 0, 0}, {"b", 1, 2}, {"c", 2, 3}, {"d", 3, 3.5}}, "abcd", "abcd"},
	} {
		front, err := eval.Pareto(c.points)
		if err != nil || names(front) != c.front {
			t.Errorf("%s: front is %q (%v), want %q", c.name, names(front), err, c.front)
		}
		hull, err := eval.Hull(c.points)
		if err != nil || names(hull) != c.hull {
			t.Errorf("%s: hull is %q (%v), want %q", c.name, names(hull), err, c.hull)
		}
	}
	for _, bad := range [][]eval.Point{nil, {{"a", math.NaN(), 1}}, {{"a", 1, math.Inf(1)}}} {
		if _, err := eval.Pareto(bad); err == nil {
			t.Errorf("front of %v: no error", bad)
		}
		if _, err := eval.Hull(bad); err == nil {
			t.Errorf("hull of %v: no error", bad)
		}
	}
}

func TestParetoAndHullProperties(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		coordinate := rapid.IntRange(0, 8) // few values, so that ties and lines are common
		var points []eval.Point
		for i := range rapid.IntRange(1, 12).Draw(r, "n") {
			points = append(points, eval.Point{Name: string(rune('a' + i)), Cost: float64(coordinate.Draw(r, "cost")), Value: float64(coordinate.Draw(r, "value"))})
		}
		front, err := eval.Pareto(points)
		if err != nil {
			r.Fatal(err)
		}
		for _, p := range points {
			dominated := slices.ContainsFunc(points, func(q eval.Point) bool {
				return q.Cost <= p.Cost && q.Value >= p.Value && (q.Cost < p.Cost || q.Value > p.Value)
			})
			if slices.Contains(front, p) == dominated {
				r.Fatalf("%v is dominated: %v, and the front is %v", p, dominated, front)
			}
		}
		hull, err := eval.Hull(points)
		if err != nil {
			r.Fatal(err)
		}
		for i := 2; i < len(hull); i++ {
			a, b, c := hull[i-2], hull[i-1], hull[i]
			if (b.Value-a.Value)/(b.Cost-a.Cost) <= (c.Value-b.Value)/(c.Cost-b.Cost) {
				r.Fatalf("%v, %v, %v on the hull do not bend down", a, b, c)
			}
		}
		for _, p := range front { // nothing lies above the hull
			i := slices.IndexFunc(hull, func(h eval.Point) bool { return h.Cost >= p.Cost })
			h := hull[i]
			if h.Cost > p.Cost {
				g := hull[i-1]
				h.Value = g.Value + (p.Cost-g.Cost)/(h.Cost-g.Cost)*(h.Value-g.Value)
			}
			if p.Value > h.Value+1e-9 {
				r.Fatalf("%v lies above the hull %v", p, hull)
			}
		}
	})
}

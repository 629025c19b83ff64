//go:build linux

package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/result"
)

// A leak of a tenth of the memory over the load is found under noise of the same size; noise alone is not taken for one.
func TestGrowth(t *testing.T) {
	const base = 100e6
	for _, row := range []struct {
		name string
		leak float64 // bytes a second
		flat bool
	}{{"flat", 0, true}, {"leak", base / 10 / readings, false}, {"shrinking", -base / 10 / readings, true}} {
		rng := rand.New(rand.NewPCG(1, 0))
		var points []result.InUse
		for i := range readings {
			heap := base + row.leak*float64(i) + base/20*rng.Float64()
			if i < readings/4 {
				heap /= 2 // it fills at first, which is no leak
			}
			points = append(points, result.InUse{Seconds: float64(i), Heap: int64(heap)})
		}
		g := growth(points, func(p result.InUse) int64 { return p.Heap })
		if g.Flat != row.flat {
			t.Errorf("%s: %+v", row.name, g)
		}
		if math.Abs(g.PerMinute-60*row.leak) > 60*base/10/readings/4 {
			t.Errorf("%s: %v bytes a minute, want about %v", row.name, g.PerMinute, 60*row.leak)
		}
	}
}

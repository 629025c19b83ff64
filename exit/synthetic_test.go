package exit_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/layarun/layarun/exit"
)

// synthetic is a table of three classes in which every sample has a hardness h in [0, 1): exit k is right with probability
// 1 - h^(k+1) * noise, and the surer the smaller h is. Deeper exits are better, and confidence means something.
func synthetic(seed uint64, n, exits int, noise float64) *exit.Table {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := emptyTable(exits)
	for range n {
		h, y := rng.Float64(), rng.IntN(3)
		var logits [][]float32
		for k := range exits {
			answer := y
			if rng.Float64() < noise*math.Pow(h, float64(k+1)) {
				answer = (y + 1) % 3
			}
			row := []float32{0, 0, 0}
			row[answer] = float32(6 * (1 - h + 0.2*rng.Float64()) * float64(k+2))
			row[(answer+1)%3] = rng.Float32()
			logits = append(logits, row)
		}
		add(t, y, logits)
	}
	t.Split = fmt.Sprintf("synthetic-%d", seed)
	return t
}

// emptyTable has exits at depths 0, 2, 4, … that cost 100, 200, 300, … MACs, and three classes.
func emptyTable(exits int) *exit.Table {
	t := &exit.Table{Bundle: "bundle", Split: "split", Classes: []string{"a", "b", "c"}}
	for k := range exits {
		t.Exits = append(t.Exits, 2*k)
		t.MACs = append(t.MACs, int64(100*(k+1)))
	}
	return t
}

// add appends a sample with the scores that belong to its logits.
func add(t *exit.Table, label int, logits [][]float32) {
	scores := make([]exit.Scores, len(logits))
	for k, row := range logits {
		scores[k] = exit.ScoresOf(row)
	}
	t.Labels = append(t.Labels, label)
	t.Logits = append(t.Logits, logits)
	t.Scores = append(t.Scores, scores)
}

// resample draws n samples of the population with replacement.
func resample(population *exit.Table, rng *rand.Rand, n int) *exit.Table {
	t := *population
	t.Split = "drawn"
	t.Labels, t.Logits, t.Scores = nil, nil, nil
	for range n {
		i := rng.IntN(len(population.Labels))
		t.Labels = append(t.Labels, population.Labels[i])
		t.Logits = append(t.Logits, population.Logits[i])
		t.Scores = append(t.Scores, population.Scores[i])
	}
	return &t
}

// riskOf is the risk of a policy on a table taken as the whole population.
func riskOf(t *exit.Table, p exit.Policy, risk string) float64 {
	s := t.Summarize(t.Apply(p))
	if risk == exit.Consistency {
		return float64(s.Changed) / float64(s.N)
	}
	return s.Drop()
}

package train

import "math"

// Score is how a network does on a split.
type Score struct {
	Accuracy []float64 `json:"accuracy"` // of every exit, ascending in depth; the last is the full network's
	Loss     float64   `json:"loss"`     // mean cross-entropy of the last exit
}

// Last is the accuracy of the last exit.
func (s Score) Last() float64 { return s.Accuracy[len(s.Accuracy)-1] }

// add counts a batch: logits is [exits, batch, classes], of which the first len(labels) rows are real.
func (s *Score) add(logits []float32, labels []int, exits, batch int) {
	classes := len(logits) / (exits * batch)
	for e := range exits {
		for row, label := range labels {
			l := logits[(e*batch+row)*classes:][:classes]
			if argmax(l) == label { // not a number is never right
				s.Accuracy[e]++
			}
			if e == exits-1 {
				s.Loss += logSumExp(l) - float64(l[label])
			}
		}
	}
}

// argmax is the index of the largest value, the lowest one on ties; -1 if any value is not finite.
func argmax(values []float32) int {
	best := 0
	for i, v := range values {
		if !finite(float64(v)) {
			return -1
		}
		if v > values[best] {
			best = i
		}
	}
	return best
}

func logSumExp(values []float32) float64 {
	top := math.Inf(-1)
	for _, v := range values {
		top = math.Max(top, float64(v))
	}
	sum := 0.0
	for _, v := range values {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

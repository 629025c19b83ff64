package exit

import (
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
)

// Scores are one sample's gate scores at one exit, in the order of [Gates]. All are -1 when the logits are not finite:
// such a sample is never confident.
type Scores [3]float32

// notFinite are the scores of logits that are not all finite.
var notFinite = Scores{-1, -1, -1}

// Score builds the gate scores of logits [batch, C]: float32 [batch, 3], columns in the order of [Gates]. Rows with a
// logit that is not finite score -1 in every column, all others lie in [0, 1]. [ScoresOf] is the same in plain Go.
func Score(logits *graph.Node) *graph.Node {
	x := graph.ConvertDType(logits, dtypes.Float32)
	finite := graph.IsFinite(x)
	x = graph.Where(finite, x, graph.ZerosLike(x)) // keeps NaN out of everything below
	classes := x.Shape().Dimensions[1]

	// exp(-200) is 0 in float32: the floor changes no probability and keeps 0 * -Inf out of the entropy.
	shifted := graph.MaxScalar(graph.Sub(x, graph.ReduceAndKeep(x, graph.ReduceMax, 1)), -200)
	e := graph.Exp(shifted)
	sum := graph.ReduceAndKeep(e, graph.ReduceSum, 1)
	p := graph.Div(e, sum)

	first := graph.OneHot(graph.ArgMax(x, 1), classes, dtypes.Float32)
	p1 := graph.ReduceAndKeep(p, graph.ReduceMax, 1)
	p2 := graph.ReduceAndKeep(graph.Mul(p, graph.OneMinus(first)), graph.ReduceMax, 1)

	// H = ln sum - sum_c p_c (x_c - max).
	h := graph.Sub(graph.Log(sum), graph.ReduceAndKeep(graph.Mul(p, shifted), graph.ReduceSum, 1))
	sure := graph.OneMinus(graph.DivScalar(h, logClasses(classes)))

	scores := graph.ClipScalar(graph.Concatenate([]*graph.Node{p1, graph.Sub(p1, p2), sure}, 1), 0, 1)
	valid := graph.ReduceAndKeep(finite, graph.ReduceLogicalAnd, 1)
	valid = graph.BroadcastToDims(valid, scores.Shape().Dimensions...)
	return graph.Where(valid, scores, graph.AddScalar(graph.ZerosLike(scores), -1))
}

// ScoresOf are the gate scores of one row of logits, computed in float64: the reference of [Score]. All are -1 when a
// logit is not finite or there is none.
func ScoresOf(logits []float32) Scores {
	first := Argmax(logits)
	if first < 0 {
		return notFinite
	}
	var sum, weighted, second float64
	for c, x := range logits {
		shifted := float64(x) - float64(logits[first])
		e := math.Exp(shifted)
		sum += e
		weighted += e * shifted
		if c != first {
			second = max(second, e)
		}
	}
	h := math.Log(sum) - weighted/sum
	return Scores{unit(1 / sum), unit((1 - second) / sum), unit(1 - h/logClasses(len(logits)))}
}

// Argmax is the index of the largest logit, the lowest of those that tie; -1 when a logit is not finite or there is none.
func Argmax(logits []float32) int {
	best := -1
	for c, x := range logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return -1
		}
		if best < 0 || x > logits[best] {
			best = c
		}
	}
	return best
}

// logClasses is ln C, the largest entropy. One class leaves nothing to doubt: H is 0 and any positive number will do.
func logClasses(classes int) float64 {
	return math.Log(float64(max(classes, 2)))
}

func unit(x float64) float32 { return float32(min(max(x, 0), 1)) }

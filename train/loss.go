package train

import (
	"github.com/gomlx/gomlx/core/graph"
)

// loss is CE(last) + ExitWeight * mean CE(k) + DistilWeight * mean KL(last || k) over the earlier exits k. logits holds
// [batch, classes] per exit, the last exit last; labels is [batch], int32.
func (c Config) loss(logits []*graph.Node, labels *graph.Node) *graph.Node {
	last := logits[len(logits)-1]
	target := c.target(labels, last)
	total := crossEntropy(graph.LogSoftmax(last, -1), target)
	early := logits[:len(logits)-1]
	if len(early) == 0 || c.ExitWeight == 0 && c.DistilWeight == 0 {
		return total
	}
	teacher := graph.StopGradient(graph.LogSoftmax(last, -1))
	for _, l := range early {
		student := graph.LogSoftmax(l, -1)
		ce := graph.MulScalar(crossEntropy(student, target), c.ExitWeight)
		kl := graph.MulScalar(divergence(teacher, student), c.DistilWeight)
		total = graph.Add(total, graph.DivScalar(graph.Add(ce, kl), float64(len(early))))
	}
	return total
}

// target is the one-hot label with smoothing: (1 - s) onehot + s / classes. [batch, classes]
func (c Config) target(labels, logits *graph.Node) *graph.Node {
	classes := logits.Shape().Dim(1)
	onehot := graph.OneHot(labels, classes, logits.DType())
	return graph.AddScalar(graph.MulScalar(onehot, 1-c.Smoothing), c.Smoothing/float64(classes))
}

// crossEntropy is the mean over the batch of -sum_c target_c log p_c.
func crossEntropy(logProbs, target *graph.Node) *graph.Node {
	return graph.Neg(graph.ReduceAllMean(graph.ReduceSum(graph.Mul(target, logProbs), -1)))
}

// divergence is the mean over the batch of KL(p || q) = sum_c p_c (log p_c - log q_c), from log probabilities.
func divergence(logP, logQ *graph.Node) *graph.Node {
	return graph.ReduceAllMean(graph.ReduceSum(graph.Mul(graph.Exp(logP), graph.Sub(logP, logQ)), -1))
}

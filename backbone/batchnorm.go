package backbone

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// batchMomentum is the share of the old running statistic kept at each training step.
const batchMomentum = 0.9

// batchNorm normalises every channel of x [batch, height, width, channels]: with the batch's own statistics in training,
// which also move the running ones, and with the running ones in inference (Ioffe and Szegedy 2015).
func batchNorm(p *layer.Pass, name string, x *graph.Node, epsilon float64) *graph.Node {
	mean, variance := p.Param(name+".mean"), p.Param(name+".variance") // [channels]
	if p.Training() {
		axes := []int{0, 1, 2}
		batchMean := graph.ReduceMean(x, axes...)
		centred := graph.Sub(x, graph.ExpandLeftToRank(batchMean, 4))
		batchVariance := graph.ReduceMean(graph.Square(centred), axes...)
		n := float64(x.Shape().Size() / x.Shape().Dim(3))
		p.Set(name+".mean", movingAverage(mean, batchMean))
		p.Set(name+".variance", movingAverage(variance, graph.MulScalar(batchVariance, n/max(n-1, 1))))
		mean, variance = batchMean, batchVariance
	}
	scale := graph.Div(p.Param(name+".gain"), graph.Sqrt(graph.AddScalar(variance, epsilon)))
	shift := graph.Sub(p.Param(name+".shift"), graph.Mul(mean, scale))
	return graph.Add(graph.Mul(x, graph.ExpandLeftToRank(scale, 4)), graph.ExpandLeftToRank(shift, 4))
}

func movingAverage(running, fresh *graph.Node) *graph.Node {
	return graph.StopGradient(graph.Add(graph.MulScalar(running, batchMomentum), graph.MulScalar(fresh, 1-batchMomentum)))
}

func batchNormParams(name string, channels int) []layer.Param {
	return []layer.Param{
		{Name: name + ".gain", Dims: []int{channels}, Init: layer.Ones},
		{Name: name + ".shift", Dims: []int{channels}, Init: layer.Zeros},
		{Name: name + ".mean", Dims: []int{channels}, Init: layer.Zeros, Frozen: true},
		{Name: name + ".variance", Dims: []int{channels}, Init: layer.Ones, Frozen: true},
	}
}

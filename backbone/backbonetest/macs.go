package backbonetest

import (
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

func checkMACs(s *suite) error {
	one, err := forward(s.b, s.weights, row(s.in, 0))
	if err != nil {
		return err
	}
	in := []*tensors.Tensor{row(s.in, 0)}
	var blocks int64
	for k, op := range backbone.Ops(s.b) {
		if err := s.checkCost(op, in); err != nil {
			return err
		}
		if err := s.checkCost(s.b.Tap(k), one.states[k]); err != nil {
			return err
		}
		if k > 0 {
			blocks += op.MACs(s.opts.Length)
		}
		in = one.states[k]
	}
	if blocks <= 0 {
		return fmt.Errorf("the blocks cost %d together", blocks)
	}
	return nil
}

// checkCost compares what op declares with the graph it builds for one sample.
func (s *suite) checkCost(op layer.Op, in []*tensors.Tensor) error {
	var counted int64
	_, err := execute(layer.ParamsOf(op), s.weights, in, func(w nodes, in []*graph.Node) []*graph.Node {
		out := op.Apply(w.pass(op, nil), in)
		counted = 0
		for _, node := range out[0].Graph().Nodes() {
			counted += nodeMACs(node)
		}
		return out
	})
	if err != nil {
		return err
	}
	if declared := op.MACs(s.opts.Length); declared != counted {
		return fmt.Errorf("%s declares %d multiply-accumulates at length %d, its graph has %d", op.Name, declared, s.opts.Length, counted)
	}
	return nil
}

// nodeMACs counts a product's or a convolution's multiply-accumulates from shapes alone. A convolution's kernel ends in
// its output channels, as GoMLX's channels-last convolutions do.
func nodeMACs(node *graph.Node) int64 {
	switch node.Type() {
	case graph.NodeTypeDotGeneral:
		return productMACs(node)
	case graph.NodeTypeConvGeneral:
		kernel := node.Inputs()[1].Shape()
		return int64(node.Shape().Size()) * int64(kernel.Size()/kernel.Dim(-1))
	}
	return 0
}

// productMACs solves for the contracted size: with b the size of the batch axes, left * right * out = MACs² * b. The
// ranks tell how many batch axes there are for each number of contracted axes; one is the usual number.
func productMACs(node *graph.Node) int64 {
	left, right, out := node.Inputs()[0].Shape(), node.Inputs()[1].Shape(), node.Shape()
	ranks := left.Rank() + right.Rank() - out.Rank() // batch axes + 2 * contracted axes
	for contracted := 1; 2*contracted <= ranks; contracted++ {
		b := 1
		for axis := range ranks - 2*contracted {
			b *= out.Dim(axis)
		}
		square := float64(left.Size()) * float64(right.Size()) * float64(out.Size()) / float64(b)
		macs := math.Round(math.Sqrt(square))
		if macs*macs == square && math.Mod(macs, float64(out.Size())) == 0 {
			return int64(macs)
		}
	}
	return int64(out.Size()) // an outer product
}

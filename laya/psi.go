package laya

import (
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// psi is the transform u = psi(z) before scoring, shared by all depths: the identity, or affine, GELU, affine, GELU.
func psi(p *layer.Pass, c Config, z *graph.Node) *graph.Node {
	if c.Psi != "mlp" {
		return z
	}
	return layer.GELU(layer.Dense(p, "psi.1", layer.GELU(layer.Dense(p, "psi.0", z))))
}

func psiParams(c Config) []layer.Param {
	if c.Psi != "mlp" {
		return nil
	}
	first := layer.DenseParams("psi.0", c.Dim, c.Dim, layer.Glorot)
	return shared(append(first, layer.DenseParams("psi.1", c.Dim, c.Dim, layer.Glorot)...)...)
}

// psiMACs is the cost of psi on one z.
func psiMACs(c Config) int {
	if c.Psi != "mlp" {
		return 0
	}
	return 2 * c.Dim * c.Dim
}

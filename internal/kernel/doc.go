// Package kernel holds the loops that decide how fast a network runs on the processor itself: products, convolutions,
// attention, norms and pooling in float32, with AVX-512 or AVX2, on weights that are packed once. On other processors [Fills]
// is false, and networks run on a backend (docs/adr/0016).
//
// Products and convolutions are one tile: out[p, c] = max(floor, bias[c] + Σ x[p, k] w[k, c] + residual[p, c]) for a few
// rows or pixels p and one or two vectors of channels c, all sums in registers. The assembly of this and of the loops over
// rows is written by gen.go. A sum is added up in one order whatever the tile, so a result does not depend on its neighbours.
//
// [Team] shares the pieces of such work out over cores that have nothing else to do.
package kernel

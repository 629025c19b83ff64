package backbone

import (
	"fmt"

	"github.com/layarun/layarun/layer"
)

// CheckKeep verifies what is asked of [Backbone.Keep]: at least one block, ascending, in range, and every block dropped
// before the last kept one removable. Implementations of Keep begin with it.
func CheckKeep(b Backbone, blocks []int) error {
	if len(blocks) == 0 {
		return fmt.Errorf("backbone: nothing is kept of %d blocks", b.Depth())
	}
	previous := 0
	for _, k := range blocks {
		if k <= previous || k > b.Depth() {
			return fmt.Errorf("backbone: kept blocks %v must ascend within 1..%d", blocks, b.Depth())
		}
		for dropped := previous + 1; dropped < k; dropped++ {
			if !b.Block(dropped).Removable {
				return fmt.Errorf("backbone: block %d cannot be removed while block %d stays: it changes the shape of the state", dropped, k)
			}
		}
		previous = k
	}
	return nil
}

// KeepWeights returns the weights of b.Keep(blocks) from those of b: the weights of the kept blocks and of the taps at
// their depths under their new names (depth 0 stays), and those of the stem. A weight that several blocks share stays as
// long as one of them does. Weights that are none of the backbone's pass unchanged, and one that weights lacks, such as
// that of a tap which no head reads, is left out. The tensors are shared with weights, which is left alone.
func KeepWeights(b Backbone, weights layer.Weights, blocks []int) (layer.Weights, error) {
	smaller, err := b.Keep(blocks)
	if err != nil {
		return nil, err
	}
	kept := layer.Weights{}
	for name, t := range weights {
		kept[name] = t
	}
	for _, p := range layer.ParamsOf(opsAndTaps(b, upTo(b.Depth()))...) {
		delete(kept, p.Name)
	}
	from, to := opsAndTaps(b, blocks), opsAndTaps(smaller, upTo(len(blocks)))
	for i, op := range from {
		for j, p := range op.Params {
			t, ok := weights[op.FullName(p)]
			if !ok {
				continue
			}
			if len(to[i].Params) != len(op.Params) || to[i].Params[j].Name != p.Name {
				return nil, fmt.Errorf("backbone: %s has other parameters than the block %s that it was", to[i].Name, op.Name)
			}
			name := to[i].FullName(to[i].Params[j])
			if before, taken := kept[name]; taken && before != t {
				return nil, fmt.Errorf("backbone: weight %q of the kept blocks %v would hold two different weights", name, blocks)
			}
			kept[name] = t
		}
	}
	return kept, nil
}

// opsAndTaps lists the stem with its tap and each of the given blocks with its tap.
func opsAndTaps(b Backbone, blocks []int) []layer.Op {
	ops := []layer.Op{b.Stem(), b.Tap(0)}
	for _, k := range blocks {
		ops = append(ops, b.Block(k).Op, b.Tap(k))
	}
	return ops
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

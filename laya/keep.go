package laya

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Keep returns the config of the head after pruning. blocks are the blocks of the network that stay (1-based, ascending)
// and reads the depths of the unpruned network whose branches stay; kept block blocks[i] becomes depth i+1, and depth 0
// stays. The head keeps its kind and widths, so its weights are those of the unpruned head after [KeepWeights].
//
// It is an error if reads is not an ascending subset of c.Reads, if it holds the depth of a block that goes (there would
// be nothing to read), or if it does not end with the last block that stays (every head reads the network's last depth).
func Keep(c Config, blocks, reads []int) (Config, error) {
	if len(blocks) == 0 {
		return Config{}, fmt.Errorf("laya: no block is kept")
	}
	place, err := places(blocks)
	if err != nil {
		return Config{}, err
	}
	kept := c
	kept.Reads = nil
	for i, depth := range reads {
		if !slices.Contains(c.Reads, depth) || i > 0 && depth <= reads[i-1] {
			return Config{}, fmt.Errorf("laya: kept reads are %v, want an ascending subset of %v", reads, c.Reads)
		}
		to, ok := place[depth]
		if !ok {
			return Config{}, fmt.Errorf("laya: the branch of depth %d is kept but block %d goes", depth, depth)
		}
		kept.Reads = append(kept.Reads, to)
	}
	if last := blocks[len(blocks)-1]; len(reads) == 0 || reads[len(reads)-1] != last {
		return Config{}, fmt.Errorf("laya: kept reads are %v, want them to end with the last kept block %d", reads, last)
	}
	return kept, kept.Validate()
}

// places maps depths of the unpruned network to those of the pruned one.
func places(blocks []int) (map[int]int, error) {
	place := map[int]int{0: 0}
	for i, k := range blocks {
		if k < 1 || i > 0 && k <= blocks[i-1] {
			return nil, fmt.Errorf("laya: kept blocks are %v, want blocks >= 1 in ascending order", blocks)
		}
		place[k] = i + 1
	}
	return place, nil
}

// KeepWeights returns the weights of the head that [Keep] describes, from those of the unpruned head c: what belongs to a
// depth moves with it or goes, and a weight that has rows or columns for each read (the joint scorer, the MLP of concat,
// the scores of scalarmix) loses those of the branches that go. For the scorer that is the same as feeding zeros for their
// u and giving them no attention. Weights outside the head pass unchanged.
//
// Cut weights are new tensors; the others are shared with weights, which is left alone.
func KeepWeights(c Config, weights layer.Weights, blocks, reads []int) (layer.Weights, error) {
	if _, err := Keep(c, blocks, reads); err != nil {
		return nil, err
	}
	place, err := places(blocks)
	if err != nil {
		return nil, err
	}
	kept := layer.Weights{}
	for name, t := range weights {
		if depth, param, ok := splitDepth(name); ok {
			if slices.Contains(reads, depth) {
				kept[DepthName(place[depth])+"."+param] = t
			}
			continue
		}
		kept[name] = t
	}
	if len(reads) < len(c.Reads) {
		if err := cut(c, kept, reads); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// cut replaces the weights that have a slot for each read by those of the kept reads alone.
func cut(c Config, weights layer.Weights, reads []int) error {
	slots := make([]int, len(reads))
	for i, depth := range reads {
		slots[i] = slices.Index(c.Reads, depth)
	}
	axes := slotAxes(c)
	for _, name := range slices.Sorted(maps.Keys(axes)) {
		t, ok := weights[name]
		if !ok {
			return fmt.Errorf("laya: weight %q is missing", name)
		}
		smaller, err := cutAxis(t, axes[name], len(c.Reads), slots)
		if err != nil {
			return fmt.Errorf("laya: weight %q: %w", name, err)
		}
		weights[name] = smaller
	}
	return nil
}

// slotAxes names the weights that have a slot for each read, and the axis that holds the slots.
func slotAxes(c Config) map[string]int {
	switch c.Kind {
	case Joint:
		return map[string]int{SharedName + ".score.0.kernel": 0, SharedName + ".score.1.kernel": 1, SharedName + ".score.1.bias": 0}
	case Concat:
		return map[string]int{SharedName + ".mlp.kernel": 0}
	case ScalarMix:
		return map[string]int{SharedName + ".scores": 0}
	}
	return nil
}

// cutAxis keeps the given ones of n equal slots of t along axis.
func cutAxis(t *tensors.Tensor, axis, n int, slots []int) (*tensors.Tensor, error) {
	dims := slices.Clone(t.Shape().Dimensions)
	if axis >= len(dims) || dims[axis]%n != 0 || t.Size() == 0 {
		return nil, fmt.Errorf("shape %s has no %d equal slots along axis %d", t.Shape(), n, axis)
	}
	values, err := tensors.CopyFlatData[float32](t)
	if err != nil {
		return nil, err
	}
	width := dims[axis] / n // values along the axis in one slot
	for _, d := range dims[axis+1:] {
		width *= d
	}
	var kept []float32
	for row := range len(values) / (n * width) {
		for _, slot := range slots {
			start := (row*n + slot) * width
			kept = append(kept, values[start:start+width]...)
		}
	}
	dims[axis] = dims[axis] / n * len(slots)
	return tensors.FromFlatDataAndDimensions(kept, dims...), nil
}

// isHeadWeight tells a head's weights from the rest of a network's.
func isHeadWeight(name string) bool { return strings.HasPrefix(name, SharedName+".") }

// splitDepth takes "head.3.adapter.kernel" to 3 and "adapter.kernel"; ok is false for shared weights and those of no head.
func splitDepth(name string) (depth int, param string, ok bool) {
	parts := strings.SplitN(name, ".", 3)
	if len(parts) < 3 || parts[0] != SharedName {
		return 0, "", false
	}
	depth, err := strconv.Atoi(parts[1])
	return depth, parts[2], err == nil
}

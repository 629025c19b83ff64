package backbonetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

// upTo lists 1 … n.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// keep returns the kept backbone and its run on the renamed weights, which must be exactly those it asks for.
func (s *suite) keep(blocks []int) (backbone.Backbone, *result, error) {
	kept, err := s.b.Keep(blocks)
	if err != nil {
		return nil, nil, fmt.Errorf("Keep(%v): %w", blocks, err)
	}
	if err := kept.Validate(); err != nil {
		return nil, nil, fmt.Errorf("Keep(%v) is not valid: %w", blocks, err)
	}
	if kept.Depth() != len(blocks) {
		return nil, nil, fmt.Errorf("Keep(%v) has %d blocks", blocks, kept.Depth())
	}
	weights, err := backbone.KeepWeights(s.b, s.weights, blocks)
	if err != nil {
		return nil, nil, fmt.Errorf("KeepWeights(%v): %w", blocks, err)
	}
	if err := layer.CheckWeights(weights, layer.ParamsOf(allOps(kept)...)); err != nil {
		return nil, nil, fmt.Errorf("Keep(%v): %w", blocks, err)
	}
	r, err := forward(kept, weights, s.in)
	if err != nil {
		return nil, nil, fmt.Errorf("Keep(%v): %w", blocks, err)
	}
	return kept, r, nil
}

func checkKeepAll(s *suite) error {
	before, err := backbone.Encode(s.b)
	if err != nil {
		return err
	}
	kept, got, err := s.keep(upTo(s.b.Depth()))
	if err != nil {
		return err
	}
	after, err := backbone.Encode(kept)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return fmt.Errorf("%s becomes %s", before, after)
	}
	want, err := s.run()
	if err != nil {
		return err
	}
	return sameTaps("keeping all", got, want)
}

func checkKeepPrefix(s *suite) error {
	want, err := s.run()
	if err != nil {
		return err
	}
	for k := 1; k <= s.b.Depth(); k++ {
		_, got, err := s.keep(upTo(k))
		if err != nil {
			return err
		}
		what := fmt.Sprintf("Keep(1..%d): ", k)
		err = errors.Join(same(what+"state", got.states[k], want.states[k], tolerance), same(what+"taps", got.taps, want.taps[:k+1], tolerance))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkKeepWithout(s *suite) error {
	for k := 1; k <= s.b.Depth(); k++ {
		if !s.b.Block(k).Removable || s.b.Depth() == 1 {
			continue
		}
		if before, after := s.b.State(k-1), s.b.State(k); !reflect.DeepEqual(before, after) {
			return fmt.Errorf("removable block %d takes %v to %v", k, before, after)
		}
		blocks := slices.Delete(upTo(s.b.Depth()), k-1, k)
		_, got, err := s.keep(blocks)
		if err != nil {
			return err
		}
		state, err := Eval([]layer.Op{s.b.Stem()}, s.weights, s.in)
		if err != nil {
			return err
		}
		for _, j := range blocks {
			if state, err = Eval([]layer.Op{s.b.Block(j).Op}, s.weights, state...); err != nil {
				return err
			}
		}
		deepest := blocks[len(blocks)-1]
		tap, err := Eval([]layer.Op{s.b.Tap(deepest)}, s.weights, state...)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("Keep(%v): last ", blocks)
		last := len(blocks)
		err = errors.Join(same(what+"state", got.states[last], state, tolerance), same(what+"tap", got.taps[last:], tap, tolerance))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkKeepRefuses(s *suite) error {
	depth := s.b.Depth()
	bad := [][]int{nil, {0}, {depth + 1}, {1, 1}}
	if depth > 1 {
		bad = append(bad, []int{2, 1})
	}
	for k := 1; k < depth; k++ {
		if !s.b.Block(k).Removable {
			bad = append(bad, slices.Delete(upTo(depth), k-1, k))
		}
	}
	for _, blocks := range bad {
		if _, err := s.b.Keep(blocks); err == nil {
			return fmt.Errorf("Keep(%v) of %d blocks is no error", blocks, depth)
		}
	}
	return nil
}

func checkFold(s *suite) error {
	folder, ok := s.b.(backbone.Folder)
	if !ok {
		return nil
	}
	before, err := s.run()
	if err != nil {
		return err
	}
	folded, weights, err := folder.Fold(s.weights)
	if err != nil {
		return err
	}
	if err := layer.CheckWeights(weights, layer.ParamsOf(allOps(folded)...)); err != nil {
		return fmt.Errorf("the folded weights: %w", err)
	}
	got, err := forward(folded, weights, s.in)
	if err != nil {
		return err
	}
	after, err := s.run()
	if err != nil {
		return fmt.Errorf("after Fold the origin does not run: %w", err)
	}
	if err := errors.Join(sameTaps("the folded form", got, before), sameTaps("the origin after Fold", after, before)); err != nil {
		return err
	}
	return foldsOnce(folded, weights, got, s.in)
}

// foldsOnce sees that a folded backbone folds to itself.
func foldsOnce(folded backbone.Backbone, weights layer.Weights, want *result, in *tensors.Tensor) error {
	folder, ok := folded.(backbone.Folder)
	if !ok {
		return nil
	}
	twice, again, err := folder.Fold(weights)
	if err != nil {
		return fmt.Errorf("folding twice: %w", err)
	}
	got, err := forward(twice, again, in)
	if err != nil {
		return fmt.Errorf("folding twice: %w", err)
	}
	return sameTaps("the form folded twice", got, want)
}

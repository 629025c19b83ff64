package backbonetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

func checkBatch(s *suite) error {
	r, err := s.run()
	if err != nil {
		return err
	}
	for i := range batch {
		one, err := forward(s.b, s.weights, row(s.in, i))
		if err != nil {
			return fmt.Errorf("a batch of one: %w", err)
		}
		for k := range r.states {
			err := errors.Join(
				same(fmt.Sprintf("row %d alone: state %d", i, k), one.states[k], rowOf(r.states[k], i), tolerance),
				same(fmt.Sprintf("row %d alone: tap", i), one.taps[k:k+1], rowOf(r.taps[k:k+1], i), tolerance))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func checkPadding(s *suite) error {
	if s.in.DType() != dtypes.Int32 {
		return nil // samples of one size are never padded
	}
	short := tensors.MustCopyFlatData[int32](s.in)
	var long []int32
	for from := 0; from < len(short); from += s.opts.Length {
		long = append(long, short[from:from+s.opts.Length]...)
		long = append(long, slices.Repeat([]int32{s.padding}, s.opts.Length)...)
	}
	want, err := s.run()
	if err != nil {
		return err
	}
	got, err := forward(s.b, s.weights, tensors.FromFlatDataAndDimensions(long, batch, 2*s.opts.Length))
	if err != nil {
		return fmt.Errorf("length %d: %w", 2*s.opts.Length, err)
	}
	return sameTaps(fmt.Sprintf("length %d instead of %d", 2*s.opts.Length, s.opts.Length), got, want)
}

func checkSequence(s *suite) error {
	want, err := s.run()
	if err != nil {
		return err
	}
	state := []*tensors.Tensor{s.in}
	for k, op := range backbone.Ops(s.b) {
		if state, err = Eval([]layer.Op{op}, s.weights, state...); err != nil {
			return fmt.Errorf("%s alone: %w", op.Name, err)
		}
		if err := same(fmt.Sprintf("state %d", k), state, want.states[k], tolerance); err != nil {
			return err
		}
	}
	return nil
}

func checkDeterministic(s *suite) error {
	first, err := s.run()
	if err != nil {
		return err
	}
	second, err := s.run()
	if err != nil {
		return err
	}
	return same("the second run: taps", second.taps, first.taps, 0)
}

// checkRows poisons the hidden state after the stem, and the input too where it is a float.
func checkRows(s *suite) error {
	clean, err := s.run()
	if err != nil {
		return err
	}
	last := s.b.Depth()
	ops := append(backbone.Ops(s.b), s.b.Tap(last))
	for poisoned := range batch {
		state := slices.Clone(clean.states[0])
		state[0] = poison(state[0], poisoned)
		fromState, err := Eval(ops[1:], s.weights, state...)
		if err != nil {
			return err
		}
		runs := [][]*tensors.Tensor{fromState}
		if s.in.DType() == dtypes.Float32 {
			fromInput, err := Eval(ops, s.weights, poison(s.in, poisoned))
			if err != nil {
				return err
			}
			runs = append(runs, fromInput)
		}
		for _, taps := range runs {
			for i := range batch {
				if i == poisoned {
					continue
				}
				what := fmt.Sprintf("NaN in row %d: tap of row %d", poisoned, i)
				if err := same(what, rowOf(taps, i), rowOf(clean.taps[last:], i), tolerance); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func poison(t *tensors.Tensor, row int) *tensors.Tensor {
	values := tensors.MustCopyFlatData[float32](t)
	n := len(values) / batch
	for i := row * n; i < (row+1)*n; i++ {
		values[i] = float32(math.NaN())
	}
	return tensors.FromFlatDataAndDimensions(values, t.Shape().Dimensions...)
}

// checkSignatures runs every operation on the weights and the state of the first one like it.
func checkSignatures(s *suite) error {
	type first struct {
		op  layer.Op
		in  []*tensors.Tensor
		out []*tensors.Tensor
	}
	seen := map[string]first{}
	r, err := s.run()
	if err != nil {
		return err
	}
	visit := func(op layer.Op, in []*tensors.Tensor) error {
		key := op.Signature
		for _, p := range op.Params {
			key += fmt.Sprint(" ", p.Name, p.Dims)
		}
		for _, t := range in {
			key += " " + t.Shape().String()
		}
		before, ok := seen[key]
		if !ok {
			out, err := Eval([]layer.Op{op}, s.weights, in...)
			seen[key] = first{op, in, out}
			return err
		}
		borrowed := layer.Weights{}
		for i, p := range op.Params {
			borrowed[op.FullName(p)] = s.weights[before.op.FullName(before.op.Params[i])]
		}
		out, err := Eval([]layer.Op{op}, borrowed, before.in...)
		if err != nil {
			return err
		}
		if a, b := op.MACs(s.opts.Length), before.op.MACs(s.opts.Length); a != b {
			return fmt.Errorf("%s costs %d, %s of equal signature costs %d", op.Name, a, before.op.Name, b)
		}
		return same(fmt.Sprintf("%s with the weights of %s", op.Name, before.op.Name), out, before.out, tolerance)
	}
	for k := range r.states {
		if k > 0 {
			if err := visit(s.b.Block(k).Op, r.states[k-1]); err != nil {
				return err
			}
		}
		if err := visit(s.b.Tap(k), r.states[k]); err != nil {
			return err
		}
	}
	return nil
}

// checkTraining draws gradients of a loss on the last tap.
func checkTraining(s *suite) error {
	rng := rand.New(rand.NewPCG(s.opts.Seed, 2))
	last := s.b.Depth()
	return train(append(backbone.Ops(s.b), s.b.Tap(last)), s.weights, s.in, normal(rng, []int{batch, s.b.TapDim(last)}))
}

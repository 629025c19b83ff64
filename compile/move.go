package compile

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// move says which executable makes a batch where host and device have memories of their own: the parts that segment
// next takes, in rows of one batch or of two laid end to end. The rows are an input, so there are as many executables as
// there are pairs of buckets, whoever leaves.
type move struct {
	next   int
	from   [2]int // buckets of the sources; the second is 0 where there is one
	to     int
	length int
}

// specs are the parts of one source.
func (e *Engine) specs(m move) []layer.Spec {
	s := e.spans[span{m.next, m.next}]
	return slices.Concat(s.state, s.carry)
}

// inputShapes are the shapes of build's inputs.
func (m move) inputShapes(specs []layer.Spec) []shapes.Shape {
	var all []shapes.Shape
	for _, bucket := range m.from {
		for _, spec := range specs {
			if bucket > 0 {
				all = append(all, spec.Shape(bucket, m.length))
			}
		}
	}
	return append(all, shapes.Make(dtypes.Int32, m.to, 1))
}

// build takes rows of each part. Inputs: the parts of the first source, those of the second, and the rows
// [batch, 1], counted over the sources end to end. Outputs: the parts.
func (m move) build(in []*graph.Node) []*graph.Node {
	parts, index := in[:len(in)-1], in[len(in)-1]
	step := len(parts)
	if m.from[1] > 0 {
		step /= 2
	}
	var out []*graph.Node
	for i := range step {
		var laid []*graph.Node
		for j := i; j < len(parts); j += step {
			laid = append(laid, parts[j])
		}
		out = append(out, graph.Gather(graph.Concatenate(laid, 0), index))
	}
	return out
}

// mover returns the Exec of a move; those between batches of the same shapes share it.
func (e *Engine) mover(m move) (*graph.Exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if exec, ok := e.moves[m]; ok {
		return exec, nil
	}
	exec, err := e.shared(fmt.Sprintf("rows of %v: %v", m.from, m.inputShapes(e.specs(m))), m.build)
	if err == nil {
		e.moves[m] = exec
	}
	return exec, err
}

// allMoves lists every move that assemble can ask for.
func (e *Engine) allMoves() []move {
	if !e.apart {
		return nil
	}
	var all []move
	for next := 1; next < len(e.depths); next++ {
		for lane, length := range e.lengths {
			for _, to := range e.buckets[lane] {
				for _, from := range e.buckets[lane] {
					if to > 1 || from > 1 { // a batch of one goes on as it is
						all = append(all, move{next, [2]int{from, 0}, to, length})
					}
					if to > 1 { // one sample has one source
						all = append(all, move{next, [2]int{to, from}, to, length})
					}
				}
			}
		}
	}
	return all
}

// assemble makes a batch of the samples' rows on the device; only their numbers go up. It takes a launch for each batch
// that they come from, one less where one of several has the size of the new one. Rows beyond the samples repeat some
// sample's: their results are never read, and real numbers are never slow.
func (e *Engine) assemble(f form, samples []*Sample) ([]*tensors.Tensor, error) {
	sources := sourcesOf(samples, f.bucket)
	n := 1
	if len(sources) > 1 && sources[0].bucket == f.bucket {
		n = 2
	}
	index := make([]int32, f.bucket) // of those that have not come: a row that is there
	batch, err := e.take(f, samples, index, sources[:n])
	for _, source := range sources[n:] {
		if err != nil {
			return nil, err
		}
		for row := range index {
			index[row] = int32(row)
		}
		before := batch
		batch, err = e.take(f, samples, index, []*rows{{parts: before, bucket: f.bucket}, source})
		finalize(before)
	}
	return batch, err
}

// sourcesOf lists the batches in which the samples lie, one of the given bucket first if there is one.
func sourcesOf(samples []*Sample, bucket int) []*rows {
	var all []*rows
	for _, s := range samples {
		if !slices.Contains(all, s.batch) {
			all = append(all, s.batch)
		}
	}
	if i := slices.IndexFunc(all, func(r *rows) bool { return r.bucket == bucket }); i > 0 {
		all[0], all[i] = all[i], all[0]
	}
	return all
}

// take launches one move: the rows of index, but of the samples that lie in one of the one or two sources, theirs.
func (e *Engine) take(f form, samples []*Sample, index []int32, sources []*rows) ([]*tensors.Tensor, error) {
	m := move{next: f.first, to: f.bucket, length: f.length}
	var args []any
	base := 0
	for i, source := range sources {
		m.from[i] = source.bucket
		for _, t := range source.parts {
			args = append(args, t)
		}
		for row, s := range samples {
			if s.batch == source {
				index[row] = int32(base + s.row)
			}
		}
		base += source.bucket
	}
	exec, err := e.mover(m)
	if err != nil {
		return nil, err
	}
	at := tensors.FromFlatDataAndDimensions(index, len(index), 1)
	defer at.MustFinalizeAll()
	return exec.Call(append(args, at)...)
}

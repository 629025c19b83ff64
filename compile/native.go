package compile

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// native runs a network on the processor's vector instructions, where all of its operations have kernels (ADR 0016). It
// compiles nothing, pads no batch and moves no rows: every sample has its state for itself.
type native struct {
	team   *kernel.Team
	split  layer.Split // the team's
	cores  sync.Pool   // of *core
	stages []stage     // by segment
	start  layer.Parts
}

// stage is a segment's kernels, and the parts of what they compute.
type stage struct {
	blocks []layer.Kernel
	states [][]layer.Spec // after each block
	tap    layer.Kernel
	tapped []layer.Spec
	step   layer.Kernel
	carry  int          // parts of the carry after the step
	steps  []layer.Spec // carry, value and, where the step has one, the score
	answer layer.Kernel // nil where the head cannot answer
	logits []layer.Spec
	scores bool // the step has a score
}

// newNative packs the weights. Where an operation has no kernel, it returns nil and the operation's name.
func newNative(n *Network, weights layer.Weights, cores int) (_ *native, missing string, err error) {
	for _, op := range n.Ops() { // before anything is packed
		if op.Native == nil {
			return nil, op.Name, nil
		}
	}
	p := packer{weights: weights, known: map[string]layer.Kernel{}}
	e := &native{start: n.Head.NativeStart()}
	state, carry, depth := []layer.Spec{n.Backbone.Input()}, n.Head.Carry(-1), -1
	for _, s := range n.Segments() {
		var st stage
		for _, op := range s.Blocks {
			depth++
			st.blocks = append(st.blocks, p.pack(op, state))
			state = n.Backbone.State(depth)
			st.states = append(st.states, state)
		}
		st.tap, st.tapped = p.pack(s.Tap, state), []layer.Spec{layer.Float32(n.Backbone.TapDim(s.Depth))}
		st.step, st.scores = p.pack(s.Step, slices.Concat(carry, st.tapped)), s.scores
		carry = n.Head.Carry(s.Depth)
		st.carry = len(carry)
		st.steps = append(slices.Clone(carry), layer.Float32(n.Head.ValueDim(s.Depth)))
		if s.scores {
			st.steps = append(st.steps, layer.Float32(1))
		}
		if s.Answer != nil {
			st.answer, st.logits = p.pack(*s.Answer, carry), []layer.Spec{layer.Float32(n.Head.Config().Classes)}
		}
		e.stages = append(e.stages, st)
	}
	if p.missing != "" || p.err != nil {
		return nil, p.missing, p.err
	}
	e.team = kernel.NewTeam(cores)
	e.split = e.team.Split
	e.cores.New = func() any { return new(core) }
	return e, "", nil
}

// packer packs weights until an operation has no kernel.
type packer struct {
	weights layer.Weights
	known   map[string]layer.Kernel // tied operations on equal inputs are packed once
	missing string
	err     error
}

func (p *packer) pack(op layer.Op, in []layer.Spec) layer.Kernel {
	key := fmt.Sprintf("%s %s %v", op.Name, op.Signature, in)
	if k := p.known[key]; k != nil || p.missing != "" || p.err != nil {
		return k
	}
	values := map[string][]float32{}
	for _, param := range op.Params {
		name := op.FullName(param)
		v, err := tensors.CopyFlatData[float32](p.weights[name])
		if err != nil {
			p.err = fmt.Errorf("compile: weight %q: %w", name, err)
			return nil
		}
		values[param.Name] = v
	}
	k := op.Native(values)
	if k == nil {
		p.missing = op.Name
	}
	p.known[key] = k
	return k
}

// held are parts of one sample in memory that is used again.
type held struct {
	layer.Parts
	buffer *[]float32
}

// spare are those that nobody holds.
var spare = sync.Pool{New: func() any { return new(held) }}

func hold(specs []layer.Spec, length int) *held {
	size := 0
	for _, s := range specs {
		size += s.Size(length)
	}
	h := spare.Get().(*held)
	h.buffer = kernel.Borrow(size)
	rest := *h.buffer
	for _, s := range specs {
		part := s.Size(length)
		h.Parts = append(h.Parts, rest[:part:part])
		rest = rest[part:]
	}
	return h
}

// drop gives the memory back, if there is any.
func (h *held) drop() {
	if h == nil {
		return
	}
	kernel.Return(h.buffer)
	clear(h.Parts)
	h.buffer, h.Parts = nil, h.Parts[:0]
	spare.Put(h)
}

// core is what a worker has on its core: the pool hands out what was last given back there.
type core struct {
	yielded time.Time
	in, out []layer.Parts // of the kernel that runs, by sample
	joined  [][]float32   // parts from two places
	results []*held       // of the kernel that ran, by sample
	taps    []*held
}

// clear lets go of what others own.
func (c *core) clear() {
	clear(c.in)
	clear(c.out)
	clear(c.joined)
	clear(c.results)
	clear(c.taps)
}

// apply runs a kernel on c.in, the parts of the samples, and returns what it computes, in the memory of results.
func (n *native) apply(c *core, k layer.Kernel, specs []layer.Spec, samples []*Sample, results []*held) []*held {
	results, c.out = results[:0], c.out[:0]
	for _, s := range samples {
		h := hold(specs, s.length)
		results, c.out = append(results, h), append(c.out, h.Parts)
	}
	k.Run(n.split, c.out, c.in)
	return results
}

// turn is how long a core computes before it lets others run, whoever waits for an answer or has a request; Go would not stop
// a worker for 10 ms. Every time it may go on on another core, whose cache has nothing of what it works on.
const turn = time.Millisecond

// run takes samples through segments first to last and returns their gate scores there. answers says that
// they want the answers on the way as well.
func (n *native) run(first, last int, samples []*Sample, answers bool) []exit.Scores {
	n.team.Begin()
	defer n.team.End()
	scores := make([]exit.Scores, len(samples))
	c := n.cores.Get().(*core)
	defer n.cores.Put(c)
	defer c.clear()
	for at := first; at <= last; at++ {
		if time.Since(c.yielded) > turn {
			c.yielded = time.Now()
			runtime.Gosched()
		}
		st := n.stages[at]
		for i, k := range st.blocks {
			c.in = c.in[:0]
			for _, s := range samples {
				c.in = append(c.in, before(s))
			}
			c.results = n.apply(c, k, st.states[i], samples, c.results)
			for j, s := range samples {
				s.state.drop()
				s.state, s.values, s.tokens = c.results[j], nil, nil
			}
		}
		c.in = c.in[:0]
		for _, s := range samples {
			c.in = append(c.in, s.state.Parts)
		}
		c.taps = n.apply(c, st.tap, st.tapped, samples, c.taps)
		c.in, c.joined = c.in[:0], c.joined[:0]
		for j, s := range samples {
			carry := n.start
			if at > 0 {
				carry = s.carry.Parts[:n.stages[at-1].carry]
			}
			from := len(c.joined)
			c.joined = append(append(c.joined, carry...), c.taps[j].Parts...)
			c.in = append(c.in, c.joined[from:len(c.joined):len(c.joined)])
		}
		c.results = n.apply(c, st.step, st.steps, samples, c.results)
		for j, s := range samples {
			c.taps[j].drop()
			s.carry.drop()
			s.carry = c.results[j]
		}
		answered := st.answer != nil && (answers || at == last)
		if answered {
			c.in = c.in[:0]
			for _, s := range samples {
				c.in = append(c.in, s.carry.Parts[:st.carry])
			}
			c.results = n.apply(c, st.answer, st.logits, samples, c.results)
		}
		for j, s := range samples {
			r := report{value: s.carry.Parts[st.carry]}
			if st.scores {
				r.score = s.carry.Parts[st.carry+1]
			}
			if answered {
				r.logits, scores[j] = c.results[j].Parts[0], exit.ScoresOf(c.results[j].Parts[0])
			}
			s.remember(r, true)
			if answered {
				c.results[j].drop()
			}
		}
	}
	return scores
}

// before is what the next block takes of a sample: its state or, at the stem, its input, ids as numbers.
func before(s *Sample) layer.Parts {
	switch {
	case s.state != nil:
		return s.state.Parts
	case s.tokens == nil:
		return layer.Parts{s.values}
	}
	ids := make([]float32, 0, len(s.tokens))
	for _, id := range s.tokens {
		ids = append(ids, float32(id))
	}
	return layer.Parts{ids}
}

package train

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// state is everything a training step reads and writes, as named tensors on the device: "weight/…", "first/…" and
// "second/…" (Adam's moments; frozen parameters have none).
type state struct {
	names   []string
	tensors []*tensors.Tensor
}

const (
	weightPrefix = "weight/"
	firstPrefix  = "first/"
	secondPrefix = "second/"
)

// stepper holds the compiled functions of a run.
type stepper struct {
	config  Config
	network *compile.Network
	backend compute.Backend
	frozen  bool            // only the head learns, on the taps of the backbone in place of x
	params  []layer.Param   // of the state: the network's, or the head's if frozen
	trained []layer.Param   // those the optimiser moves
	inner   map[string]bool // those of stem and blocks, which learn at Config.BackboneRate
	step    *graph.Exec
	logits  *graph.Exec
	taps    *graph.Exec // nil unless frozen
}

func newStepper(c Config, n *compile.Network, backend compute.Backend) (*stepper, error) {
	s := &stepper{config: c, network: n, backend: backend, params: n.Params(), inner: map[string]bool{},
		frozen: c.BackboneRate == 0}
	if s.frozen {
		s.params = layer.ParamsOf(laya.Ops(n.Head)...)
	}
	for _, p := range layer.ParamsOf(backbone.Ops(n.Backbone)...) {
		s.inner[p.Name] = true
	}
	for _, p := range s.params {
		if !p.Frozen {
			s.trained = append(s.trained, p)
		}
	}
	var err error
	if s.step, err = graph.NewExec(backend, s.stepGraph); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if s.logits, err = graph.NewExec(backend, s.logitsGraph); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	if s.frozen {
		fixed := fixedParams(s)
		s.taps, err = graph.NewExec(backend, func(in []*graph.Node) *graph.Node {
			defer layer.ErrorsOnly()
			return n.Taps(bind(fixed, in[1:], nil), in[0])
		})
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	return s, nil
}

// close frees the compiled functions.
func (s *stepper) close() {
	if s.taps != nil {
		s.taps.Finalize()
	}
	s.step.Finalize()
	s.logits.Finalize()
}

// newState is the state before the first step.
func (s *stepper) newState(weights layer.Weights) (*state, error) {
	all := layer.Weights{}
	for _, p := range s.params {
		all[weightPrefix+p.Name] = weights[p.Name]
	}
	for _, prefix := range []string{firstPrefix, secondPrefix} {
		for _, p := range s.trained {
			all[prefix+p.Name] = layer.Param{Name: p.Name, Dims: p.Dims, Init: layer.Zeros}.New(nil)
		}
	}
	return s.stateOf(all)
}

// stateOf copies the state among named tensors to the device.
func (s *stepper) stateOf(all layer.Weights) (*state, error) {
	st := &state{}
	for _, part := range []struct {
		prefix string
		params []layer.Param
	}{{weightPrefix, s.params}, {firstPrefix, s.trained}, {secondPrefix, s.trained}} {
		for _, p := range part.params {
			name := part.prefix + p.Name
			t, ok := all[name]
			if !ok {
				st.free()
				return nil, fmt.Errorf("train: %q is missing", name)
			}
			t, err := t.OnDeviceClone(s.backend, 0)
			if err != nil {
				st.free()
				return nil, fmt.Errorf("train: %s: %w", name, err)
			}
			st.names = append(st.names, name)
			st.tensors = append(st.tensors, t)
		}
	}
	return st, nil
}

// free gives the device's memory back.
func (st *state) free() {
	for _, t := range st.tensors {
		_ = t.FinalizeAll() // after a failed step its tensors are gone already
	}
}

// weights copies the weights to the host.
func (st *state) weights() (layer.Weights, error) {
	w := layer.Weights{}
	for i, name := range st.names {
		rest, ok := strings.CutPrefix(name, weightPrefix)
		if !ok {
			continue
		}
		t, err := st.tensors[i].LocalClone()
		if err != nil {
			return nil, fmt.Errorf("train: %s: %w", name, err)
		}
		w[rest] = t
	}
	return w, nil
}

// run makes one step: it consumes the tensors of st, puts the new ones in their place and returns the loss. number counts
// steps from 1.
func (s *stepper) run(st *state, b batch, rate float64, number int) (float64, error) {
	rng, err := graph.RNGStateFromSeed(int64(s.config.Seed<<32) + int64(number))
	if err != nil {
		return 0, fmt.Errorf("train: %w", err)
	}
	args := []any{b.x, b.y, rng, tensors.FromScalar(float32(rate)), tensors.FromScalar(float32(number))}
	for i, t := range st.tensors {
		donated, err := graph.DonateTensorBuffer(t, s.backend, 0)
		if err != nil {
			return 0, fmt.Errorf("train: %s: %w", st.names[i], err)
		}
		args = append(args, donated)
	}
	out, err := s.step.Call(args...)
	if err != nil {
		return 0, fmt.Errorf("train: step %d: %w", number, err)
	}
	st.tensors = out[1:]
	loss := float64(tensors.ToScalar[float32](out[0]))
	return loss, out[0].FinalizeAll()
}

// stepGraph is one step as a graph. Inputs: x, y, rng, rate, step, then the state; outputs: loss, then the new state.
func (s *stepper) stepGraph(in []*graph.Node) []*graph.Node {
	defer layer.ErrorsOnly()
	x, y, rng, rate, number := in[0], in[1], in[2], in[3], in[4]
	weights, rest := in[5:5+len(s.params)], in[5+len(s.params):]
	firsts, seconds := rest[:len(s.trained)], rest[len(s.trained):]

	b := bind(s.params, weights, &layer.Training{RNG: rng})
	loss := s.config.loss(s.forward(b, x), y)

	var moving []*graph.Node
	for _, p := range s.trained {
		moving = append(moving, b.Weights[p.Name])
	}
	gradients := clip(graph.Gradient(loss, moving...), s.config.Clip)
	for i, p := range s.trained {
		m := moments{firsts[i], seconds[i]}
		share := rate
		if s.inner[p.Name] {
			share = graph.MulScalar(rate, s.config.BackboneRate)
		}
		b.Weights[p.Name], m = s.config.adamW(moving[i], gradients[i], m, share, number)
		firsts[i], seconds[i] = m.first, m.second
	}
	for name, value := range b.Updates {
		b.Weights[name] = value
	}
	out := []*graph.Node{loss}
	for _, p := range s.params {
		out = append(out, b.Weights[p.Name])
	}
	return slices.Concat(out, firsts, seconds)
}

// logitsGraph is inference in one graph: x and the weights to [exits, batch, classes].
func (s *stepper) logitsGraph(in []*graph.Node) *graph.Node {
	defer layer.ErrorsOnly()
	return graph.Stack(s.forward(bind(s.params, in[1:], nil), in[0]), 0)
}

// forward builds the logits of every exit, from the input or, if frozen, from the taps.
func (s *stepper) forward(b *layer.Binding, x *graph.Node) []*graph.Node {
	if s.frozen {
		return s.network.LogitsOfTaps(b, x)
	}
	return s.network.Logits(b, x)
}

func bind(params []layer.Param, weights []*graph.Node, training *layer.Training) *layer.Binding {
	b := &layer.Binding{Weights: map[string]*graph.Node{}, Train: training, Updates: map[string]*graph.Node{}}
	for i, p := range params {
		b.Weights[p.Name] = weights[i]
	}
	return b
}

// evaluate returns the accuracy of every exit and the mean cross-entropy of the last one on a split.
func (s *stepper) evaluate(st *state, data *samples, size int) (Score, error) {
	exits := len(s.network.Exits())
	score := Score{Accuracy: make([]float64, exits)}
	n := data.set.Len()
	for start := 0; start < n; start += size {
		indices := make([]int, size) // the last batch is filled up with its own last sample, so that its shape is the others'
		for i := range indices {
			indices[i] = min(start+i, n-1)
		}
		b, err := data.batch(indices)
		if err != nil {
			return Score{}, err
		}
		args := []any{b.x}
		for _, t := range st.tensors[:len(s.params)] {
			args = append(args, t)
		}
		out, err := s.logits.Call(args...)
		b.free()
		if err != nil {
			return Score{}, fmt.Errorf("train: evaluation: %w", err)
		}
		real := min(size, n-start)
		err = tensors.ConstFlatData(out[0], func(logits []float32) {
			score.add(logits, data.set.Labels[start:start+real], exits, size)
		})
		if err != nil {
			return Score{}, fmt.Errorf("train: evaluation: %w", err)
		}
		out[0].MustFinalizeAll()
	}
	for i := range score.Accuracy {
		score.Accuracy[i] /= float64(n)
	}
	score.Loss /= float64(n)
	return score, nil
}

package compile

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"

	"github.com/layarun/layarun/layer"
)

// Engine runs a network's segments, on native kernels or on one backend. There weights are graph parameters, and an
// executable is kept per signature, batch bucket and length bucket, so equal segments share it.
//
// Run, Go, Compile and Executables may be called from several goroutines.
type Engine struct {
	network *Network
	backend compute.Backend
	workers int
	apart   bool          // host and device have memories of their own
	native  *native       // what runs the network in place of the backend, or nil
	name    string        // of what runs it
	note    string        // why that is not native kernels, where it could be
	weights layer.Weights // on the device
	spans   map[span]*stretch
	depths  []int   // by segment
	lengths []int   // by lane
	buckets [][]int // by lane

	mu          sync.Mutex
	executables map[string]*graph.Exec // by what they compute and for which shapes
	forms       map[form]*graph.Exec   // the same, by where they are needed
	moves       map[move]*graph.Exec   // for devices apart: what makes batches of rows
}

// span is a run of segments, from first to last.
type span struct{ first, last int }

// form says where an executable is needed.
type form struct {
	span
	bucket int
	length int
}

// NewEngine prepares network with the given weights for samples of several lanes: padded lengths (ascending), and for
// each the batch sizes (ascending) that it runs. Networks over inputs of a fixed size have no lengths and one lane. It
// compiles nothing yet. The weights are copied to the device, or packed for native kernels, until Close.
func NewEngine(device *Device, network *Network, weights layer.Weights, lengths []int, buckets [][]int) (*Engine, error) {
	if network.Sequences() {
		if err := checkSizes("lengths", lengths); err != nil {
			return nil, err
		}
	} else {
		lengths = []int{0}
	}
	if len(buckets) != len(lengths) {
		return nil, fmt.Errorf("compile: there are batch sizes for %d lengths, want them for %d", len(buckets), len(lengths))
	}
	for lane, sizes := range buckets {
		if err := checkSizes(fmt.Sprintf("batch sizes of length %d", lengths[lane]), sizes); err != nil {
			return nil, err
		}
	}
	if err := layer.CheckWeights(weights, network.Params()); err != nil {
		return nil, err
	}
	e := &Engine{network: network, weights: layer.Weights{}, spans: map[span]*stretch{}, buckets: cloned(buckets), lengths: slices.Clone(lengths),
		executables: map[string]*graph.Exec{}, forms: map[form]*graph.Exec{}, moves: map[move]*graph.Exec{}}
	for _, s := range network.Segments() {
		e.depths = append(e.depths, s.Depth)
	}
	if device.Native {
		kernels, missing, err := newNative(network, weights, device.Workers)
		switch {
		case err != nil:
			return nil, err
		case kernels != nil:
			e.native, e.name, e.workers = kernels, device.Name, device.Workers
			return e, nil
		case device.open == nil:
			return nil, fmt.Errorf("compile: backend %q has no kernel for the network's %s on this processor; take auto, go or xla:cpu", device.Name, missing)
		}
		e.note = fmt.Sprintf("there is no native kernel for the network's %s", missing)
		if device, err = device.Graphs(); err != nil {
			return nil, err
		}
	}
	e.backend, e.name, e.workers = device.Backend, device.Name, device.Workers
	e.apart = !device.Backend.HasSharedBuffers()
	for name, t := range weights {
		clone, err := t.OnDeviceClone(device.Backend, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("compile: weight %q: %w", name, err), e.Close())
		}
		e.weights[name] = clone
	}
	for i := range e.depths {
		e.spans[span{i, i}] = e.newStretch(span{i, i})
	}
	return e, nil
}

// Fuse prepares executables that go from one of these exits (ascending depths) to the next in one launch: what Run is
// asked for by samples that can leave there and nowhere else. It must be called before the first Run.
func (e *Engine) Fuse(exits []int) {
	if e.native != nil {
		return // it goes through any span as it is
	}
	first := 0
	for _, depth := range exits {
		last, ok := slices.BinarySearch(e.depths, depth)
		if !ok {
			continue
		}
		if s := (span{first, last}); e.spans[s] == nil {
			e.spans[s] = e.newStretch(s)
		}
		first = last + 1
	}
}

func cloned(buckets [][]int) [][]int {
	var all [][]int
	for _, sizes := range buckets {
		all = append(all, slices.Clone(sizes))
	}
	return all
}

func checkSizes(name string, sizes []int) error {
	for i, b := range sizes {
		if b < 1 || i > 0 && b <= sizes[i-1] {
			return fmt.Errorf("compile: %s are %v, want positive sizes in ascending order", name, sizes)
		}
	}
	if len(sizes) == 0 {
		return fmt.Errorf("compile: no %s given, want at least one", name)
	}
	return nil
}

// Restrict leaves these batch sizes of each lane, which are some of Buckets, and of the executables those that they need. No
// sample may be on its way.
func (e *Engine) Restrict(buckets [][]int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buckets = cloned(buckets)
	stays := func(length int, sizes ...int) bool {
		lane, _ := slices.BinarySearch(e.lengths, length)
		return !slices.ContainsFunc(sizes, func(b int) bool { return b != 0 && !slices.Contains(buckets[lane], b) })
	}
	needed := map[*graph.Exec]bool{}
	for f, exec := range e.forms {
		if !stays(f.length, f.bucket) {
			delete(e.forms, f)
			continue
		}
		needed[exec] = true
	}
	for m, exec := range e.moves {
		if !stays(m.length, m.to, m.from[0], m.from[1]) {
			delete(e.moves, m)
			continue
		}
		needed[exec] = true
	}
	for key, exec := range e.executables {
		if !needed[exec] {
			exec.Finalize()
			delete(e.executables, key)
		}
	}
}

// Close frees weights and executables. No sample may be on its way.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.native != nil {
		e.native.team.Close()
	}
	for _, exec := range e.executables {
		exec.Finalize()
	}
	clear(e.executables)
	clear(e.forms)
	clear(e.moves)
	var faults []error
	for _, t := range e.weights {
		faults = append(faults, t.FinalizeAll())
	}
	return errors.Join(faults...)
}

// Network is what the engine runs.
func (e *Engine) Network() *Network { return e.network }

// Depths lists the depth reached by each segment, ascending; the last is the network's depth.
func (e *Engine) Depths() []int { return slices.Clone(e.depths) }

// Lengths are the padded lengths of the lanes, ascending; one 0 for networks over fixed-size inputs.
func (e *Engine) Lengths() []int { return e.lengths }

// PaddedLength is the length at which a sequence of n ids, at most the longest of Lengths, runs; 0 if samples are no
// sequences.
func (e *Engine) PaddedLength(n int) int {
	if e.native != nil && e.network.Sequences() {
		return min(n, e.lengths[len(e.lengths)-1])
	}
	lane, _ := slices.BinarySearch(e.lengths, n)
	return e.lengths[min(lane, len(e.lengths)-1)]
}

// Buckets are the batch sizes of each lane, ascending: on native kernels every one up to the largest.
func (e *Engine) Buckets() [][]int {
	if e.native == nil {
		return e.buckets
	}
	var all [][]int
	for _, sizes := range e.buckets {
		var every []int
		for b := range sizes[len(sizes)-1] {
			every = append(every, b+1)
		}
		all = append(all, every)
	}
	return all
}

// Backend names what runs the network: the device's backend, or "native".
func (e *Engine) Backend() string { return e.name }

// Note says why a network does not run on native kernels where the device prefers them; "" if it does.
func (e *Engine) Note() string { return e.note }

// Workers is how many calls of Run can run side by side to advantage.
func (e *Engine) Workers() int { return e.workers }

// Go runs a task, which may call Run, on another goroutine: on native kernels one of as many as there are cores, which help
// whoever runs something when they have no task.
func (e *Engine) Go(task func()) {
	if e.native != nil {
		e.native.team.Go(task)
		return
	}
	go task()
}

// Executables is how many have been compiled.
func (e *Engine) Executables() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.executables)
}

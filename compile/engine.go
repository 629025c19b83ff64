package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sync/errgroup"

	"github.com/layarun/layarun/layer"
)

// Engine runs a network's segments on one backend. Weights are graph parameters, and an executable is kept per
// signature, batch bucket and length bucket, so equal segments share it.
//
// Run, Compile and Executables may be called from several goroutines.
type Engine struct {
	network *Network
	backend compute.Backend
	workers int
	weights layer.Weights // on the device
	spans   map[span]*stretch
	depths  []int // by segment
	buckets []int
	lengths []int

	mu          sync.Mutex
	executables map[string]*graph.Exec // by what they compute and for which shapes
	forms       map[form]*graph.Exec   // the same, by where they are needed
}

// span is a run of segments, from first to last.
type span struct{ first, last int }

// form says where an executable is needed.
type form struct {
	span
	bucket int
	length int
}

// NewEngine prepares network with the given weights for batches of the given buckets (ascending batch sizes) and, for
// networks over sequences, padded lengths (ascending). It compiles nothing yet. The weights are copied to the
// device, where they stay until Close.
func NewEngine(device *Device, network *Network, weights layer.Weights, buckets, lengths []int) (*Engine, error) {
	if err := checkBuckets("bucket", buckets); err != nil {
		return nil, err
	}
	if network.Sequences() {
		if err := checkBuckets("length", lengths); err != nil {
			return nil, err
		}
	} else {
		lengths = []int{0}
	}
	if err := layer.CheckWeights(weights, network.Params()); err != nil {
		return nil, err
	}
	e := &Engine{network: network, backend: device.Backend, workers: device.Workers, weights: layer.Weights{},
		spans: map[span]*stretch{}, buckets: buckets, lengths: lengths,
		executables: map[string]*graph.Exec{}, forms: map[form]*graph.Exec{}}
	for name, t := range weights {
		clone, err := t.OnDeviceClone(device.Backend, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("compile: weight %q: %w", name, err), e.Close())
		}
		e.weights[name] = clone
	}
	for i, s := range network.Segments() {
		e.depths = append(e.depths, s.Depth)
		e.spans[span{i, i}] = e.newStretch(span{i, i})
	}
	return e, nil
}

// Fuse prepares executables that go from one of these exits (ascending depths) to the next in one launch: what Run is
// asked for by samples that can leave there and nowhere else. It must be called before the first Run.
func (e *Engine) Fuse(exits []int) {
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

func checkBuckets(name string, sizes []int) error {
	for i, b := range sizes {
		if b < 1 || i > 0 && b <= sizes[i-1] {
			return fmt.Errorf("compile: %ss are %v, want positive sizes in ascending order", name, sizes)
		}
	}
	if len(sizes) == 0 {
		return fmt.Errorf("compile: no %s sizes given, want at least one", name)
	}
	return nil
}

// Close frees weights and executables. No sample may be on its way.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, exec := range e.executables {
		exec.Finalize()
	}
	clear(e.executables)
	clear(e.forms)
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

// Buckets are the batch sizes that have executables, ascending.
func (e *Engine) Buckets() []int { return e.buckets }

// Lengths are the padded lengths, ascending; one 0 for networks over fixed-size inputs.
func (e *Engine) Lengths() []int { return e.lengths }

// Workers is how many calls of Run can run side by side to advantage.
func (e *Engine) Workers() int { return e.workers }

// Executables is how many have been compiled.
func (e *Engine) Executables() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.executables)
}

// Compile compiles every executable that Run can ask for, several at a time, and reports each to progress, which may be
// nil and is called by one goroutine at a time. When ctx ends it starts no other and returns the error of ctx.
func (e *Engine) Compile(ctx context.Context, progress func(done, total int)) error {
	order, err := e.distinctForms()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range order {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := e.compileForm(f); err != nil {
				return e.failed(f, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; progress != nil {
				progress(done, len(order))
			}
			return nil
		})
	}
	return group.Wait()
}

// failed says in which form something went wrong.
func (e *Engine) failed(f form, err error) error {
	return fmt.Errorf("compile: segment to depth %d, batch %d: %w", e.depths[f.last], f.bucket, err)
}

// distinctForms lists one form of every executable, the costliest first, so that the last to end began early.
func (e *Engine) distinctForms() ([]form, error) {
	var order []form
	known := map[*graph.Exec]bool{}
	spans := slices.SortedFunc(maps.Keys(e.spans), func(a, b span) int {
		return cmp.Or(cmp.Compare(b.last-b.first, a.last-a.first), cmp.Compare(a.first, b.first))
	})
	for _, s := range spans {
		for _, length := range slices.Backward(e.lengths) {
			for _, bucket := range slices.Backward(e.buckets) {
				f := form{s, bucket, length}
				exec, err := e.executable(f)
				if err != nil {
					return nil, err
				}
				if !known[exec] {
					known[exec] = true
					order = append(order, f)
				}
			}
		}
	}
	return order, nil
}

func (e *Engine) compileForm(f form) error {
	exec, err := e.executable(f)
	if err != nil {
		return err
	}
	return guard(func() error {
		_, err := exec.Compile(e.spans[f.span].inputShapes(e.network, f)...)
		return err
	})
}

// executable returns the Exec of a form; forms that compute the same for the same shapes share it.
func (e *Engine) executable(f form) (*graph.Exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if exec, ok := e.forms[f]; ok {
		return exec, nil
	}
	s := e.spans[f.span]
	key := s.key(f)
	exec, ok := e.executables[key]
	if !ok {
		var err error
		exec, err = graph.NewExec(e.backend, func(in []*graph.Node) []*graph.Node { return s.build(e.network.Head, in) })
		if err != nil {
			return nil, fmt.Errorf("compile: %w", err)
		}
		e.executables[key] = exec.SetMaxCache(1)
	}
	e.forms[f] = exec
	return exec, nil
}

package compile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"golang.org/x/sync/errgroup"
)

// program is an executable with the shapes for which it is compiled.
type program struct {
	exec   *graph.Exec
	inputs []shapes.Shape
	failed func(error) error // says for what it was needed
}

// Compile compiles every executable that Run can ask for, several at a time, and reports each to progress, which may be
// nil and is called by one goroutine at a time. When ctx ends it starts no other and returns the error of ctx.
func (e *Engine) Compile(ctx context.Context, progress func(done, total int)) error {
	order, err := e.programs()
	if err != nil {
		return err
	}
	return compileAll(ctx, order, progress)
}

// compileAll compiles programs, several at a time, in their order.
func compileAll(ctx context.Context, order []program, progress func(done, total int)) error {
	var mu sync.Mutex
	done := 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range order {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := p.compile(); err != nil {
				return p.failed(err)
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

func (p program) compile() error {
	return guard(func() error {
		_, err := p.exec.Compile(p.inputs...)
		return err
	})
}

// failed says in which form something went wrong.
func (e *Engine) failed(f form, err error) error {
	return fmt.Errorf("compile: segment to depth %d, batch %d: %w", e.depths[f.last], f.bucket, err)
}

// programs lists every executable once, the costliest first, so that the last to end began early.
func (e *Engine) programs() ([]program, error) {
	var order []program
	known := map[*graph.Exec]bool{}
	add := func(p program) {
		if !known[p.exec] {
			known[p.exec] = true
			order = append(order, p)
		}
	}
	for _, f := range e.allForms() {
		p, err := e.program(f)
		if err != nil {
			return nil, err
		}
		add(p)
	}
	for _, m := range e.allMoves() {
		exec, err := e.mover(m)
		if err != nil {
			return nil, err
		}
		add(program{exec, m.inputShapes(e.specs(m)), func(err error) error {
			return fmt.Errorf("compile: rows of batches %v to a batch of %d: %w", m.from, m.to, err)
		}})
	}
	return order, nil
}

// program is the executable of a form.
func (e *Engine) program(f form) (program, error) {
	exec, err := e.executable(f)
	return program{exec, e.spans[f.span].inputShapes(e.network, f), func(err error) error { return e.failed(f, err) }}, err
}

// allForms lists the forms of all spans, the costliest first.
func (e *Engine) allForms() []form {
	var all []form
	spans := slices.SortedFunc(maps.Keys(e.spans), func(a, b span) int {
		return cmp.Or(cmp.Compare(b.last-b.first, a.last-a.first), cmp.Compare(a.first, b.first))
	})
	for _, s := range spans {
		for lane, length := range slices.Backward(e.lengths) {
			for _, bucket := range slices.Backward(e.buckets[lane]) {
				all = append(all, form{s, bucket, length})
			}
		}
	}
	return all
}

// executable returns the Exec of a form; forms that compute the same for the same shapes share it.
func (e *Engine) executable(f form) (*graph.Exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if exec, ok := e.forms[f]; ok {
		return exec, nil
	}
	s := e.spans[f.span]
	exec, err := e.shared(s.key(f), func(in []*graph.Node) []*graph.Node { return s.build(e.network.Head, in) })
	if err == nil {
		e.forms[f] = exec
	}
	return exec, err
}

// shared returns the Exec with a key, and makes it where there is none. e.mu is held.
func (e *Engine) shared(key string, build func([]*graph.Node) []*graph.Node) (*graph.Exec, error) {
	if exec, ok := e.executables[key]; ok {
		return exec, nil
	}
	exec, err := graph.NewExec(e.backend, build)
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	e.executables[key] = exec.SetMaxCache(1)
	return exec, nil
}

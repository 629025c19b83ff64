package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
)

// own is layarun under one policy, used as any program would use it.
type own struct {
	runtime *layarun.Runtime
	network *network
	policy  string
}

// newOwn opens the network at full depth; the caller closes the runtime, which knows the network's policy, too.
func newOwn(ctx context.Context, n *network, device *compile.Device) (*own, error) {
	b, err := bundle.Open(n.dir)
	if err != nil {
		return nil, err
	}
	if n.certified != nil {
		b.Policies = []exit.Policy{n.certified.Policy}
	}
	r, err := layarun.Tune(ctx, b, device, layarun.Options{}, nil)
	if err != nil {
		return nil, err
	}
	return &own{r, n, exit.Full().Name}, nil
}

// under is the same runtime under another policy.
func (o *own) under(policy string) *own { return &own{o.runtime, o.network, policy} }

func (o *own) logits(ctx context.Context, n int) ([][]float32, error) {
	answers, err := o.predict(ctx, 0, n)
	if err != nil {
		return nil, err
	}
	var all [][]float32
	for _, a := range answers {
		all = append(all, a.Logits)
	}
	return all, nil
}

// run calls again where something was compiled: no compilation is in any time.
func (o *own) run(ctx context.Context, l load, turn time.Duration) ([]stream, error) {
	for {
		before := o.runtime.Executables()
		streams, err := o.streams(ctx, l, turn)
		if err != nil || o.runtime.Executables() == before {
			return streams, err
		}
	}
}

func (o *own) streams(ctx context.Context, l load, turn time.Duration) ([]stream, error) {
	streams, faults := make([]stream, l.Callers), make([]error, l.Callers)
	shared := passes(max(l.Pass/l.Batch, 1), turn)
	var ready, done sync.WaitGroup
	ready.Add(l.Callers)
	for i := range l.Callers {
		done.Go(func() {
			_, faults[i] = o.predict(ctx, 0, l.Batch)
			ready.Done()
			ready.Wait()
			if faults[i] != nil {
				return
			}
			next := shared
			if l.Pass == 0 {
				next = timed(turn)
			}
			streams[i], faults[i] = o.stream(ctx, l.Batch, next)
		})
	}
	done.Wait()
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return streams, nil
}

// stream calls until the turn is over.
func (o *own) stream(ctx context.Context, batch int, next calls) (s stream, err error) {
	begin := time.Now()
	end := begin
	for call, more := next(end); more; call, more = next(end) {
		start := time.Now()
		if _, err := o.predict(ctx, call*batch%o.network.count, batch); err != nil {
			return s, err
		}
		end = time.Now()
		s.MS = append(s.MS, end.Sub(start).Seconds()*1000)
	}
	s.Seconds = end.Sub(begin).Seconds()
	return s, nil
}

// predict makes an error of the first sample that has one.
func (o *own) predict(ctx context.Context, from, batch int) ([]layarun.Answer, error) {
	q := o.network.request(from, batch)
	q.Policy = o.policy
	answers, err := o.runtime.Predict(ctx, q)
	if err != nil {
		return nil, err
	}
	for i, a := range answers {
		if a.Err != nil {
			return nil, fmt.Errorf("sample %d: %w", i, a.Err)
		}
	}
	return answers, nil
}

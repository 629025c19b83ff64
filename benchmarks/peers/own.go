package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
)

// own is layarun, used as any program would use it.
type own struct {
	runtime *layarun.Runtime
	network *network
}

// newOwn opens the network; the caller closes the runtime.
func newOwn(ctx context.Context, n *network, device *compile.Device) (*own, error) {
	b, err := bundle.Open(n.dir)
	if err != nil {
		return nil, err
	}
	buckets, _, err := layarun.MeasureBuckets(ctx, b, device, nil)
	if err != nil {
		return nil, err
	}
	r, err := layarun.New(b, device, layarun.Options{Buckets: buckets})
	if err != nil {
		return nil, err
	}
	return &own{r, n}, nil
}

func (o *own) logits(ctx context.Context, n int) ([][]float32, error) {
	answers, err := o.predict(ctx, o.network.request(0, n))
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
	var ready, done sync.WaitGroup
	ready.Add(l.Callers)
	for i := range l.Callers {
		done.Go(func() {
			_, faults[i] = o.predict(ctx, o.network.request(0, l.Batch))
			ready.Done()
			ready.Wait()
			if faults[i] == nil {
				streams[i], faults[i] = o.stream(ctx, l.Batch, turn)
			}
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

// stream calls until the turn is over, at least once.
func (o *own) stream(ctx context.Context, batch int, turn time.Duration) (s stream, err error) {
	begin := time.Now()
	for from := 0; len(s.MS) == 0 || time.Since(begin) < turn; from = (from + batch) % sampleCount {
		q := o.network.request(from, batch)
		start := time.Now()
		if _, err := o.predict(ctx, q); err != nil {
			return s, err
		}
		s.MS = append(s.MS, time.Since(start).Seconds()*1000)
	}
	s.Seconds = time.Since(begin).Seconds()
	return s, nil
}

// predict makes an error of the first sample that has one.
func (o *own) predict(ctx context.Context, q layarun.Request) ([]layarun.Answer, error) {
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

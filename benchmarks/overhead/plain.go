package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/layer"
)

// plain is a network as one executable per batch size: the last answer and nothing of the exits before it.
type plain struct {
	work    *workload.Workload
	exec    *graph.Exec
	names   []string // of the weights, in the order of the graph's parameters
	weights []any    // *tensors.Tensor, on the device
	input   layer.Spec
	device  *compile.Device
}

func newPlain(w *workload.Workload, device *compile.Device, network *compile.Network) (*plain, error) {
	p := &plain{work: w, device: device, input: network.Backbone.Input()}
	for _, param := range network.Params() {
		t, err := w.Bundle.Weights[param.Name].OnDeviceClone(device.Backend, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("weight %q: %w", param.Name, err), p.close())
		}
		p.names, p.weights = append(p.names, param.Name), append(p.weights, t)
	}
	var err error
	p.exec, err = graph.NewExec(device.Backend, func(in []*graph.Node) []*graph.Node {
		b := &layer.Binding{Weights: map[string]*graph.Node{}}
		for i, name := range p.names {
			b.Weights[name] = in[1+i]
		}
		logits := network.Logits(b, in[0])
		return logits[len(logits)-1:]
	})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *plain) close() error {
	if p.exec != nil {
		p.exec.Finalize()
	}
	var faults []error
	for _, w := range p.weights {
		faults = append(faults, w.(*tensors.Tensor).FinalizeAll())
	}
	return errors.Join(faults...)
}

// candidate answers a batch in so many parts, side by side.
func (p *plain) candidate(parts int) eval.Candidate {
	return eval.Candidate{Name: fmt.Sprintf("plain, %d parts", parts), Predict: func(_ context.Context, from, to int) error {
		if parts == 1 {
			return p.run(from, to)
		}
		faults := make([]error, parts)
		var all sync.WaitGroup
		for i := range parts {
			all.Go(func() { faults[i] = p.run(from+(to-from)*i/parts, from+(to-from)*(i+1)/parts) })
		}
		all.Wait()
		return errors.Join(faults...)
	}}
}

// run takes the samples from..to-1 from the host to their logits on the host.
func (p *plain) run(from, to int) error {
	input, err := tensors.FromShapeForBackend(p.device.Backend, 0, p.input.Shape(to-from, p.work.Length()))
	if err != nil {
		return err
	}
	defer input.MustFinalizeAll()
	switch samples := p.work.Flat(from, to-from).(type) {
	case []float32:
		err = tensors.MutableFlatData(input, func(flat []float32) { copy(flat, samples) })
	case []int32:
		err = tensors.MutableFlatData(input, func(flat []int32) { copy(flat, samples) })
	}
	if err != nil {
		return err
	}
	out, err := p.exec.Call(append([]any{input}, p.weights...)...)
	if err != nil {
		return err
	}
	_, err = tensors.CopyFlatData[float32](out[0])
	out[0].MustFinalizeAll()
	return err
}

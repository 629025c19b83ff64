// Package workload is what the benchmarks of the engine run: networks, samples for them, and for each a policy that lets
// samples leave at every depth.
package workload

import (
	"context"
	"fmt"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// Workload is one network with samples of one padded length.
type Workload struct {
	Name  string
	About string // the network and its exits, in a sentence
	// Bundle holds the network; its only policy is Policy.
	Bundle *bundle.Bundle
	Policy exit.Policy

	// Buckets are the batch sizes that pay on the device, as layarun serve finds them.
	Buckets []int

	values []float32 // [n, size]
	size   int
	tokens [][]int32 // [n][length]
}

// openers makes each workload with the given number of samples.
var openers = map[string]func(ctx context.Context, o Options) (*Workload, error){
	"convnet": openConvnet, "encoder": openEncoder, "mlp": openMLP,
}

// Names are those that Open knows.
var Names = []string{"convnet", "encoder", "mlp"}

// Options say how to open a workload.
type Options struct {
	Device  *compile.Device
	Folder  string // of the benchmarks
	DataDir string // of the known data sets
	Samples int
}

// Open opens the named workload.
func Open(ctx context.Context, name string, o Options) (*Workload, error) {
	open, known := openers[name]
	if !known {
		return nil, fmt.Errorf("workload: there is no %q, want one of %v", name, Names)
	}
	if o.Samples < 1 {
		return nil, fmt.Errorf("workload: %d samples, want at least 1", o.Samples)
	}
	w, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("workload: %s: %w", name, err)
	}
	w.Name = name
	w.Bundle.Policies = []exit.Policy{w.Policy}
	return w, nil
}

// Len is the number of samples.
func (w *Workload) Len() int {
	if w.tokens != nil {
		return len(w.tokens)
	}
	return len(w.values) / w.size
}

// Request asks for answers to the samples from..to-1, with the bundle's policy or "full". It copies none of them.
func (w *Workload) Request(from, to int, policy string) layarun.Request {
	q := layarun.Request{Policy: policy}
	if w.tokens != nil {
		q.Tokens = w.tokens[from:to]
	} else {
		q.Values = w.values[from*w.size : to*w.size]
	}
	return q
}

// Candidate times a runtime of the workload's bundle with a policy.
func (w *Workload) Candidate(r *layarun.Runtime, policy string) eval.Candidate {
	return eval.Candidate{Name: policy, Compiled: r.Executables, Predict: func(ctx context.Context, from, to int) error {
		_, err := Predict(ctx, r, w.Request(from, to, policy))
		return err
	}}
}

// Predict asks r, and makes an error of the first sample that has one.
func Predict(ctx context.Context, r *layarun.Runtime, q layarun.Request) ([]layarun.Answer, error) {
	answers, err := r.Predict(ctx, q)
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

// Runtime runs the workload's bundle on a device; the caller closes it.
func (w *Workload) Runtime(device *compile.Device) (*layarun.Runtime, error) {
	return layarun.New(w.Bundle, device, layarun.Options{Buckets: [][]int{w.Buckets}})
}

// measureBuckets finds the batch sizes that pay for the samples, which have the longest length.
func (w *Workload) measureBuckets(ctx context.Context, device *compile.Device) error {
	r, err := layarun.Tune(ctx, w.Bundle, device, layarun.Options{}, nil)
	if err != nil {
		return err
	}
	lanes := r.Lanes()
	w.Buckets = lanes[len(lanes)-1].Buckets
	return r.Close()
}

// Length is the number of tokens of every sample; 0 where samples are not sequences.
func (w *Workload) Length() int {
	if w.tokens == nil {
		return 0
	}
	return len(w.tokens[0])
}

// Flat are the samples from..from+n-1 as the input of a graph, [n, …]: []float32 or []int32. Beyond the last sample come
// the first again.
func (w *Workload) Flat(from, n int) any {
	if w.tokens != nil {
		var ids []int32
		for i := range n {
			ids = append(ids, w.tokens[(from+i)%w.Len()]...)
		}
		return ids
	}
	values := make([]float32, 0, n*w.size)
	for i := range n {
		at := (from + i) % w.Len() * w.size
		values = append(values, w.values[at:at+w.size]...)
	}
	return values
}

// Engine is an engine for the workload's samples, with exits off and with its policy, as a runtime has one. It copies the weights; the caller closes it.
func (w *Workload) Engine(device *compile.Device) (*compile.Engine, error) {
	network, err := compile.NewNetwork(w.Bundle.Backbone, w.Bundle.Head)
	if err != nil {
		return nil, err
	}
	e, err := compile.NewEngine(device, network, w.Bundle.Weights, []int{w.Length()}, [][]int{w.Buckets})
	if err != nil {
		return nil, err
	}
	for _, p := range []exit.Policy{exit.Full(), w.Policy} {
		e.Fuse(append(p.Open(), network.Backbone.Depth()))
	}
	return e, nil
}

// Samples are n samples for e, those from from on; beyond the last come the first again.
func (w *Workload) Samples(e *compile.Engine, from, n int) ([]*compile.Sample, error) {
	var samples []*compile.Sample
	for i := range n {
		var s *compile.Sample
		var err error
		if j := (from + i) % w.Len(); w.tokens != nil {
			s, err = e.NewSequence(w.tokens[j], 0)
		} else {
			s, err = e.NewSample(w.values[j*w.size:(j+1)*w.size], 0)
		}
		if err != nil {
			return nil, err
		}
		samples = append(samples, s)
	}
	return samples, nil
}

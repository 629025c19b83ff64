// Package layarun runs a neural network only as deep as each input needs.
//
// [Open] opens a bundle, a trained backbone with a head that reads every block's hidden state, and [Runtime.Predict]
// answers: every sample leaves at the first exit where the bundle's policy is sure enough of its answer. The batches of
// all callers share one scheduler, so that what some samples save, others use.
//
//	runtime, err := layarun.Open("model", layarun.Options{})
//	…
//	defer runtime.Close()
//	answers, err := runtime.Predict(ctx, layarun.Request{Texts: []string{"what's my balance"}})
//
// The command cmd/layarun trains, prunes, certifies, measures and serves such bundles.
package layarun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/schedule"
)

// Options say how to run a bundle. The zero value is right for most.
type Options struct {
	// Backend is what compile.OpenDevice takes: "auto" (also ""), "native", "go", "xla:cpu", …
	Backend string
	// Buckets are the batch sizes that run, ascending, for each padded length, the shortest first; one list holds for every
	// length. Native kernels run every size up to the largest. nil means [DefaultBuckets] for every length. [Tune] finds those that suit a device.
	Buckets [][]int
	// Capacity bounds the samples inside the scheduler; 0 leaves it to the scheduler.
	Capacity int
}

// DefaultBuckets are the batch sizes a runtime runs unless told otherwise: 1, 2 and then multiples of 4 for a while,
// because batches that shrink at every exit waste much in the gaps between powers of two.
var DefaultBuckets = []int{1, 2, 4, 8, 12, 16, 24, 32}

// candidateBuckets are the batch sizes that Tune tries.
var candidateBuckets = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}

// newEngine puts the network of a bundle on a device.
func newEngine(b *bundle.Bundle, device *compile.Device, buckets [][]int) (*compile.Engine, error) {
	lengths := lengths(b.MaxLength)
	if len(buckets) == 1 {
		buckets = slices.Repeat(buckets, len(lengths))
	}
	network, err := compile.NewNetwork(b.Backbone, b.Head)
	if err != nil {
		return nil, err
	}
	return compile.NewEngine(device, network, b.Weights, lengths, buckets)
}

// minLength is the shortest padded length of a sequence; lengths double from there.
const minLength = 16

// Runtime answers for one bundle on one backend. Its methods may be called from any goroutine.
type Runtime struct {
	bundle    *bundle.Bundle
	digest    string
	device    *compile.Device
	owned     bool // the device is closed with the runtime
	engine    *compile.Engine
	costs     [][]compile.Cost // by lane, if they were measured
	scheduler *schedule.Scheduler[*compile.Sample]
	tokens    *token.Tokenizer
	decoding  chan struct{} // holds as many as images are being decoded: each may take some hundred megabytes
	head      laya.HostWeights
}

// Open opens the bundle in dir and a backend to run it on.
func Open(dir string, o Options) (*Runtime, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	device, err := compile.OpenDevice(o.Backend)
	if err != nil {
		return nil, err
	}
	r, err := New(b, device, o)
	if err != nil {
		device.Close()
		return nil, err
	}
	r.owned = true
	for name, t := range b.Weights { // the device has its own
		if err := t.FinalizeAll(); err != nil {
			return nil, errors.Join(fmt.Errorf("layarun: weight %q: %w", name, err), r.Close())
		}
	}
	b.Weights = nil
	return r, nil
}

// New runs a bundle on a device that the caller keeps and closes after the runtime. The weights are copied to the device;
// those of b stay the caller's, who may finalise them at once. o.Backend is ignored.
func New(b *bundle.Bundle, device *compile.Device, o Options) (*Runtime, error) {
	if o.Buckets == nil {
		o.Buckets = [][]int{DefaultBuckets}
	}
	r, err := prepare(b, device, o.Buckets)
	if err != nil {
		return nil, err
	}
	return r.start(o.Capacity)
}

// Tune is New with the batch sizes that pay on the device, in place of o.Buckets. For each padded length it times the
// network in batches of 1 to 64, as many side by side as the device runs, until larger ones bring nothing; [Runtime.Lanes]
// tells what it found. The machine should have nothing else to do. progress may be nil.
func Tune(ctx context.Context, b *bundle.Bundle, device *compile.Device, o Options, progress func(done, total int)) (*Runtime, error) {
	r, err := prepare(b, device, [][]int{candidateBuckets})
	if err != nil {
		return nil, err
	}
	if r.costs, err = r.engine.Costs(ctx, progress); err != nil {
		return nil, errors.Join(fmt.Errorf("layarun: measuring batch sizes: %w", err), r.engine.Close())
	}
	var buckets [][]int
	for _, costs := range r.costs {
		buckets = append(buckets, compile.KeepBuckets(costs))
	}
	r.engine.Restrict(buckets)
	return r.start(o.Capacity)
}

// prepare makes a runtime that has no scheduler yet.
func prepare(b *bundle.Bundle, device *compile.Device, buckets [][]int) (*Runtime, error) {
	r := &Runtime{bundle: b, digest: b.Digest(), device: device, decoding: make(chan struct{}, runtime.GOMAXPROCS(0))}
	var err error
	if b.Tokenizer != nil {
		if r.tokens, err = token.Load(b.Tokenizer); err != nil {
			return nil, err
		}
	}
	if r.head, err = laya.ToHost(b.Weights); err != nil {
		return nil, err
	}
	if r.engine, err = newEngine(b, device, buckets); err != nil {
		return nil, err
	}
	for _, p := range append([]exit.Policy{exit.Full()}, b.Policies...) {
		r.engine.Fuse(append(p.Open(), b.Backbone.Depth()))
	}
	return r, nil
}

// start starts the scheduler. On an error the engine is closed.
func (r *Runtime) start(capacity int) (_ *Runtime, err error) {
	if r.scheduler, err = schedule.New[*compile.Sample](r.engine, capacity); err != nil {
		return nil, errors.Join(err, r.engine.Close())
	}
	return r, nil
}

// lengths are the padded lengths for sequences of at most longest ids; one 0 where there are no sequences.
func lengths(longest int) []int {
	var all []int
	for n := minLength; n < longest; n *= 2 {
		all = append(all, n)
	}
	return append(all, longest)
}

// Close waits for the samples inside and frees what the runtime holds on the device.
func (r *Runtime) Close() error {
	err := errors.Join(r.scheduler.Close(context.Background()), r.engine.Close())
	if r.owned {
		r.device.Close()
	}
	return err
}

// Compile compiles everything that requests can ask for, so that none of them waits for it. It stops between two
// executables when ctx ends. progress may be nil.
func (r *Runtime) Compile(ctx context.Context, progress func(done, total int)) error {
	return r.engine.Compile(ctx, progress)
}

// Executables is how many executables have been compiled.
func (r *Runtime) Executables() int { return r.engine.Executables() }

// Lane is how samples run that are padded to one length or, on native kernels, are at most so long.
type Lane struct {
	Length  int            `json:"length,omitempty"` // tokens; 0 if samples are not texts
	Buckets []int          `json:"buckets"`          // batch sizes, ascending
	Costs   []compile.Cost `json:"costs,omitempty"`  // of the sizes that Tune tried, ascending
}

// Lanes lists them, the shortest first.
func (r *Runtime) Lanes() []Lane {
	var all []Lane
	for i, length := range r.engine.Lengths() {
		l := Lane{Length: length, Buckets: slices.Clone(r.engine.Buckets()[i])}
		if r.costs != nil {
			l.Costs = slices.Clone(r.costs[i])
		}
		all = append(all, l)
	}
	return all
}

// Stats counts what has passed through the scheduler.
func (r *Runtime) Stats() schedule.Stats { return r.scheduler.Stats() }

// Name is the bundle's.
func (r *Runtime) Name() string { return r.bundle.Name }

// Digest identifies weights, plan and tokenizer: what a certificate refers to.
func (r *Runtime) Digest() string { return r.digest }

// Backend names what runs the network, as "native", "go" or "xla:cpu".
func (r *Runtime) Backend() string { return r.engine.Backend() }

// Note says why the network does not run on native kernels where the device prefers them; "" if there is nothing to say.
func (r *Runtime) Note() string { return r.engine.Note() }

// Classes are the names of the labels.
func (r *Runtime) Classes() []string { return r.bundle.Classes }

// Dims are the dimensions of a sample, [features] or [height, width, channels]; nil if samples are texts.
func (r *Runtime) Dims() []int {
	if r.engine.Network().Sequences() {
		return nil
	}
	return r.bundle.Backbone.Input().Dims
}

// Exits are the depths at which samples can leave, ascending; the last is the network's depth.
func (r *Runtime) Exits() []int { return r.engine.Network().Exits() }

// Reads are the depths the head attends to; nil if it has no attention.
func (r *Runtime) Reads() []int {
	if !r.bundle.Head.Attends() {
		return nil
	}
	return slices.Clone(r.bundle.Head.Reads)
}

// MACs is the cost of leaving at an exit for one sample of the given length (ignored but for sequences).
func (r *Runtime) MACs(depth, length int, exitsOn bool) int64 {
	return r.engine.Network().MACs(depth, length, exitsOn)
}

// PaddedLength is the length to which a sequence of n tokens is padded, 0 if samples are not texts. Native kernels pad nothing.
func (r *Runtime) PaddedLength(n int) int { return r.engine.PaddedLength(n) }

// Policies are the bundle's, by name; the first is the default.
func (r *Runtime) Policies() []exit.Policy { return r.bundle.Policies }

// policy is the one named: "" the default, "full" the one that never leaves early.
func (r *Runtime) policy(name string) (exit.Policy, error) {
	full := exit.Full()
	if name == full.Name || name == "" && len(r.bundle.Policies) == 0 {
		return full, nil
	}
	for _, p := range r.bundle.Policies {
		if p.Name == cmp.Or(name, r.bundle.Policies[0].Name) {
			return p, nil
		}
	}
	names := []string{full.Name}
	for _, p := range r.bundle.Policies {
		names = append(names, p.Name)
	}
	return exit.Policy{}, fmt.Errorf("%w: policy %q is not one of %v", ErrRequest, name, names)
}

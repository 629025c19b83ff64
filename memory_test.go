package layarun_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/shapes"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
)

// ledger is a backend that knows which buffers and executables are alive on it.
type ledger struct {
	compute.Backend
	buffers, executables atomic.Int64
	executed             func() error // called before every execution; nil does nothing
}

func (l *ledger) counted(b compute.Buffer, err error) (compute.Buffer, error) {
	if err != nil {
		return nil, err
	}
	l.buffers.Add(1)
	return &countedBuffer{b, l}, nil
}

func (l *ledger) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	return l.counted(l.Backend.BufferFromFlatData(device, flat, shape))
}

func (l *ledger) NewSharedBuffer(device compute.DeviceNum, shape shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := l.Backend.NewSharedBuffer(device, shape)
	b, err = l.counted(b, err)
	return b, flat, err
}

func (l *ledger) Builder(name string) compute.Builder {
	return countedBuilder{l.Backend.Builder(name), l}
}

type countedBuffer struct {
	compute.Buffer
	ledger *ledger
}

func (b *countedBuffer) Backend() compute.Backend { return b.ledger }

func (b *countedBuffer) Finalize() error {
	b.ledger.buffers.Add(-1)
	return b.Buffer.Finalize()
}

func (b *countedBuffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	return b.ledger.counted(b.Buffer.CopyToDevice(device))
}

type countedBuilder struct {
	compute.Builder
	ledger *ledger
}

func (b countedBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	b.ledger.executables.Add(1)
	return countedExecutable{e, b.ledger}, nil
}

type countedExecutable struct {
	compute.Executable
	ledger *ledger
}

func (e countedExecutable) Finalize() {
	e.ledger.executables.Add(-1)
	e.Executable.Finalize()
}

func (e countedExecutable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	if e.ledger.executed != nil {
		if err := e.ledger.executed(); err != nil {
			return nil, err
		}
	}
	plain := make([]compute.Buffer, len(inputs))
	for i, b := range inputs {
		plain[i] = b.(*countedBuffer).Buffer
		if donate != nil && donate[i] {
			e.ledger.buffers.Add(-1)
		}
	}
	out, err := e.Executable.Execute(plain, donate, device)
	if err != nil {
		return nil, err
	}
	for i, b := range out {
		out[i], _ = e.ledger.counted(b, nil)
	}
	return out, nil
}

// However a request ends, nothing of it stays on the device; and nothing at all once the runtime is closed.
func TestNothingStaysOnTheDevice(t *testing.T) {
	l := &ledger{Backend: testbackend.Go(t)}
	b := vectors(t, everyDepth())
	r, err := layarun.New(b, &compile.Device{Backend: l, Name: "go", Workers: 1}, layarun.Options{Buckets: []int{1, 2, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	weights := int64(len(b.Weights)) // one buffer each
	check := func(after string) {
		t.Helper()
		if got := l.buffers.Load(); got != weights {
			t.Errorf("after %s: %d buffers are alive, want the %d weights", after, got, weights)
		}
	}
	check("opening")
	for range 20 {
		predict(t, r, layarun.Request{Values: numbers(7, 1), NoWait: true})
		for _, q := range []layarun.Request{{}, {Policy: "b"}, {Policy: "full"}, {Threshold: ptr(0.5)}, {MaxExit: ptr(2)}, {Explain: true, AllExits: true}} {
			q.Values = numbers(7, 2)
			predict(t, r, q)
		}
	}
	check("answers")

	broken, executions := errors.New("broken"), 0
	l.executed = func() error {
		if executions++; executions%2 == 0 {
			return broken
		}
		return nil
	}
	answers, err := r.Predict(t.Context(), layarun.Request{Values: numbers(7, 3), Policy: "full"})
	if err != nil || !errors.Is(answers[0].Err, broken) && !errors.Is(answers[6].Err, broken) {
		t.Errorf("errors %v and %v of a backend that fails", err, answers)
	}
	check("failed executions")

	ctx, cancel := context.WithCancel(t.Context())
	l.executed = func() error { cancel(); return nil }
	if _, err := r.Predict(ctx, layarun.Request{Values: numbers(7, 4), Policy: "full"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled under way: %v", err)
	}
	check("a cancelled request")

	if l.executables.Load() == 0 {
		t.Error("no executable was counted")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if buffers, executables := l.buffers.Load(), l.executables.Load(); buffers != 0 || executables != 0 {
		t.Errorf("after closing: %d buffers and %d executables are alive, want none", buffers, executables)
	}
}

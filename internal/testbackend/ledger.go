package testbackend

import (
	"sync/atomic"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// Ledger is a backend that knows what is alive on another one and what passes between host and device.
type Ledger struct {
	compute.Backend
	// Apart says that host and device have memories of their own, as with an accelerator, whatever the backend beneath
	// shares.
	Apart bool
	// Executed is called before every execution, which fails with its error; nil does nothing.
	Executed func() error

	Buffers     atomic.Int64 // alive
	Executables atomic.Int64 // alive
	Compiled    atomic.Int64 // executables ever made
	Executions  atomic.Int64
	Up, Down    atomic.Int64 // bytes copied to the device and to the host; shared memory is not counted
}

func (l *Ledger) counted(b compute.Buffer, err error) (compute.Buffer, error) {
	if err != nil {
		return nil, err
	}
	l.Buffers.Add(1)
	return &countedBuffer{b, l}, nil
}

// HasSharedBuffers is false for a ledger apart.
func (l *Ledger) HasSharedBuffers() bool { return !l.Apart && l.Backend.HasSharedBuffers() }

// BufferFromFlatData counts the bytes that go up.
func (l *Ledger) BufferFromFlatData(device compute.DeviceNum, flat any, shape shapes.Shape) (compute.Buffer, error) {
	l.Up.Add(int64(shape.ByteSize()))
	return l.counted(l.Backend.BufferFromFlatData(device, flat, shape))
}

// NewSharedBuffer counts the buffer.
func (l *Ledger) NewSharedBuffer(device compute.DeviceNum, shape shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := l.Backend.NewSharedBuffer(device, shape)
	b, err = l.counted(b, err)
	return b, flat, err
}

// Builder counts what is compiled with it.
func (l *Ledger) Builder(name string) compute.Builder {
	return countedBuilder{l.Backend.Builder(name), l}
}

type countedBuffer struct {
	compute.Buffer
	ledger *Ledger
}

func (b *countedBuffer) Backend() compute.Backend { return b.ledger }

func (b *countedBuffer) Finalize() error {
	b.ledger.Buffers.Add(-1)
	return b.Buffer.Finalize()
}

func (b *countedBuffer) ToFlatData(flat any) error {
	b.ledger.Down.Add(int64(len(dtypes.UnsafeByteSliceFromAny(flat))))
	return b.Buffer.ToFlatData(flat)
}

func (b *countedBuffer) CopyToDevice(device compute.DeviceNum) (compute.Buffer, error) {
	return b.ledger.counted(b.Buffer.CopyToDevice(device))
}

type countedBuilder struct {
	compute.Builder
	ledger *Ledger
}

func (b countedBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	b.ledger.Executables.Add(1)
	b.ledger.Compiled.Add(1)
	return countedExecutable{e, b.ledger}, nil
}

type countedExecutable struct {
	compute.Executable
	ledger *Ledger
}

func (e countedExecutable) Finalize() {
	e.ledger.Executables.Add(-1)
	e.Executable.Finalize()
}

func (e countedExecutable) Execute(inputs []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	e.ledger.Executions.Add(1)
	if e.ledger.Executed != nil {
		if err := e.ledger.Executed(); err != nil {
			return nil, err
		}
	}
	plain := make([]compute.Buffer, len(inputs))
	for i, b := range inputs {
		plain[i] = b.(*countedBuffer).Buffer
		if donate != nil && donate[i] {
			e.ledger.Buffers.Add(-1)
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

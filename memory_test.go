package layarun_test

import (
	"context"
	"errors"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
)

// However a request ends, nothing of it stays on the device; and nothing at all once the runtime is closed.
func TestNothingStaysOnTheDevice(t *testing.T) {
	for name, apart := range map[string]bool{"shared memory": false, "memory of its own": true} {
		t.Run(name, func(t *testing.T) {
			nothingStays(t, &testbackend.Ledger{Backend: testbackend.Go(t), Apart: apart})
		})
	}
}

func nothingStays(t *testing.T, l *testbackend.Ledger) {
	b := vectors(t, everyDepth())
	r, err := layarun.New(b, &compile.Device{Backend: l, Name: "go", Workers: 1}, layarun.Options{Buckets: [][]int{{1, 2, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	weights := int64(len(b.Weights)) // one buffer each
	check := func(after string) {
		t.Helper()
		if got := l.Buffers.Load(); got != weights {
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
	l.Executed = func() error {
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
	l.Executed = func() error { cancel(); return nil }
	if _, err := r.Predict(ctx, layarun.Request{Values: numbers(7, 4), Policy: "full"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled under way: %v", err)
	}
	check("a cancelled request")

	if l.Executables.Load() == 0 {
		t.Error("no executable was counted")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if buffers, executables := l.Buffers.Load(), l.Executables.Load(); buffers != 0 || executables != 0 {
		t.Errorf("after closing: %d buffers and %d executables are alive, want none", buffers, executables)
	}
}

package testbackend_test

import (
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/testbackend"
)

// With -v this prints where the tests of this machine run.
func TestUsed(t *testing.T) {
	for _, device := range testbackend.All(t) {
		t.Logf("%s %s", device.Name, device.Plugin)
		product, err := graph.CallOnce(device.Backend, func(a, b *graph.Node) *graph.Node { return graph.Mul(a, b) }, float32(6), float32(7))
		if err != nil {
			t.Fatal(err)
		}
		if got := tensors.ToScalar[float32](product); got != 42 {
			t.Errorf("%s: 6 × 7 = %g", device.Name, got)
		}
	}
	if testbackend.Go(t).Name() == "" {
		t.Error("the pure-Go backend has no name")
	}
}

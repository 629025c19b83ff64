package same_test

import (
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/same"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
)

// Every way of arriving is compared, each answer once with the policy and once with exits off, and none differs beyond
// the bound.
func TestCheck(t *testing.T) {
	device, err := compile.OpenDevice("go")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	const samples = 40
	w, err := workload.Open(t.Context(), "mlp", workload.Options{Device: device, Samples: samples})
	if err != nil {
		t.Fatal(err)
	}
	found, err := same.Check(t.Context(), w, device, []int{2, 8})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Ways) != 3 || found.Samples != samples {
		t.Fatalf("compared %+v, want two buckets and a load", found)
	}
	for _, way := range found.Ways {
		if way.Answers != 2*samples {
			t.Errorf("%s: %d answers, want %d", way.Way, way.Answers, 2*samples)
		}
	}
	if err := found.Err(); err != nil {
		t.Error(err)
	}
}

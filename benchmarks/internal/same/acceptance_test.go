//go:build acceptance

package same_test

import (
	"cmp"
	"os"
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/same"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
)

// TestSameAnswers is a small part of what `make bench-kept` checks, on the committed convnet and real test images.
func TestSameAnswers(t *testing.T) {
	device, err := compile.OpenDevice("auto")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	samples := 1000
	if device.Name == "go" { // a hundred times slower on convolutions
		samples = 20
	}
	w, err := workload.Open(t.Context(), "convnet", workload.Options{
		Device: device, Folder: "../..", DataDir: cmp.Or(os.Getenv("LAYARUN_DATA"), "../../../../shared/data"), Samples: samples,
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := same.Check(t.Context(), w, device, []int{2, 8, 32})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("confidences differ by %.3g at most", found.Difference)
	for _, way := range found.Ways {
		t.Logf("%+v", way)
	}
	if err := found.Err(); err != nil {
		t.Error(err)
	}
}

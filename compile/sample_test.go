package compile_test

import (
	"strings"
	"testing"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/internal/testbackend"
)

func TestUnknownIdsAreRefused(t *testing.T) {
	n := networks(t)["encoder"] // a vocabulary of 20
	e, err := compile.NewEngine(&compile.Device{Backend: testbackend.Go(t), Workers: 1}, n, weightsOf(n, 1), []int{16, 32}, [][]int{{1}, {1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, ids := range [][]int32{{0}, {19, 0, 5}} {
		if _, err := e.NewSequence(ids, 0); err != nil {
			t.Errorf("%v: %v", ids, err)
		}
	}
	for _, ids := range [][]int32{{3, 20}, {3, -1}, {3, 1 << 30}} {
		if _, err := e.NewSequence(ids, 0); err == nil || !strings.Contains(err.Error(), "id 1 of a sequence is") || !strings.Contains(err.Error(), "want 0 to 19") {
			t.Errorf("%v: error %v, want one that names id 1 and 0 to 19", ids, err)
		}
	}
}

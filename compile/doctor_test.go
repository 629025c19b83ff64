package compile_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/layarun/layarun/compile"
)

func TestExamineChecksTheGoBackend(t *testing.T) {
	t.Setenv(compile.PluginPathEnv, t.TempDir())
	report, err := compile.Examine(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(report); err != nil {
		t.Error(err)
	}
	if report.Trains != "go" || report.AutoNote == "" {
		t.Errorf("auto trains on %q, %q; want go and the reason", report.Trains, report.AutoNote)
	}
	if len(report.Backends) != 5 {
		t.Fatalf("%d backends, want native, go, xla:cpu, xla:cuda, xla:tpu", len(report.Backends))
	}
	native := report.Backends[0]
	if _, err := compile.OpenDevice("native"); err == nil {
		if native.Name != "native" || native.Status != compile.StatusReady || native.Detail == "" || report.Auto != "native" {
			t.Errorf("%+v is not ready and what auto opens, %q", native, report.Auto)
		}
		checkChecks(t, native)
	}
	backend := report.Backends[1]
	if backend.Name != "go" || backend.Status != compile.StatusReady || len(backend.Devices) != 1 {
		t.Errorf("%+v is not a ready go backend of one device", backend)
	}
	checkChecks(t, backend)
	for _, b := range report.Backends[2:] {
		if b.Status == compile.StatusReady || b.Detail == "" {
			t.Errorf("%s: %q, %q from an empty folder", b.Name, b.Status, b.Detail)
		}
	}
}

func TestExamineChecksXLA(t *testing.T) {
	if _, found := compile.FindPlugin("cpu"); !found || !compile.HasXLA() {
		t.Log("no XLA, or no CPU plugin: go only")
		return
	}
	report, err := compile.Examine(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	backend := report.Backends[2]
	if backend.Name != "xla:cpu" || backend.Status != compile.StatusReady {
		t.Errorf("%+v is not ready", backend)
	}
	checkChecks(t, backend)
}

func TestExamineStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := compile.Examine(ctx, true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", report, err)
	}
}

// Two checks, right within the rounding bound but not exactly: an error of 0 would mean that nothing was compared.
func checkChecks(t *testing.T, b compile.BackendReport) {
	t.Helper()
	if len(b.Checks) != 2 {
		t.Errorf("%s: %d checks, want the product and the convolution", b.Name, len(b.Checks))
	}
	for _, c := range b.Checks {
		if !c.OK || c.MaxError <= 0 || c.MaxError > 1 || c.MedianMS <= 0 || c.FirstMS <= 0 {
			t.Errorf("%s: %+v", b.Name, c)
		}
		t.Logf("%s: %+v", b.Name, c)
	}
}

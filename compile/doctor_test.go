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
	if report.Auto != "go" || report.AutoNote == "" {
		t.Errorf("auto is %q, %q; want go and the reason", report.Auto, report.AutoNote)
	}
	if len(report.Backends) != 4 {
		t.Fatalf("%d backends, want go, xla:cpu, xla:cuda, xla:tpu", len(report.Backends))
	}
	backend := report.Backends[0]
	if backend.Name != "go" || backend.Status != compile.StatusReady || len(backend.Devices) != 1 {
		t.Errorf("%+v is not a ready go backend of one device", backend)
	}
	checkChecks(t, backend)
	for _, b := range report.Backends[1:] {
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
	backend := report.Backends[1]
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

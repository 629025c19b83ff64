// Package testbackend opens the compute backends that tests run on: pure Go always, XLA on the CPU where its plugin is
// installed. Nothing is ever downloaded.
//
// LAYARUN_TEST_BACKENDS, a list such as "go" or "go,xla:cpu", asks for exactly those; one that does not open then fails
// the tests. That is how CI makes sure that it tested XLA.
//
//	for _, device := range testbackend.All(t) {
//		t.Run(device.Name, func(t *testing.T) { … device.Backend … })
//	}
//
// A [Ledger] counts what lives on a backend and what is copied to it and from it, and can stand for a device with memory
// of its own.
//
// `go test -v -run Used ./internal/testbackend` says which backends there are.
package testbackend

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"github.com/layarun/layarun/compile"
)

// Env names the environment variable that lists the backends to test.
const Env = "LAYARUN_TEST_BACKENDS"

// All returns a device for each backend to test, the fastest to open first. They are shared by the tests of a process
// and stay open: nobody closes them. The names are logged.
func All(t testing.TB) []*compile.Device {
	t.Helper()
	devices, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range devices {
		names = append(names, d.Name)
	}
	t.Logf("backends: %s", strings.Join(names, ", "))
	return devices
}

// Go returns the pure-Go backend, for tests that need one backend and do not care which. It is shared like those of All.
func Go(t testing.TB) compute.Backend {
	t.Helper()
	device, err := pureGo()
	if err != nil {
		t.Fatal(err)
	}
	return device.Backend
}

var (
	pureGo = sync.OnceValues(func() (*compile.Device, error) { return compile.OpenDevice("go") })
	opened = sync.OnceValues(func() ([]*compile.Device, error) {
		var devices []*compile.Device
		for _, name := range wanted() {
			device, err := open(name)
			if err != nil {
				return nil, err
			}
			devices = append(devices, device)
		}
		return devices, nil
	})
)

func open(name string) (*compile.Device, error) {
	if name == "go" {
		return pureGo()
	}
	return compile.OpenDevice(name)
}

// wanted lists the backends to test, by name.
func wanted() []string {
	if list := os.Getenv(Env); list != "" {
		return strings.Split(list, ",")
	}
	if _, found := compile.FindPlugin("cpu"); found && compile.HasXLA() {
		return []string{"go", "xla:cpu"}
	}
	return []string{"go"}
}

package compile

import (
	"context"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/installer"

	"github.com/layarun/layarun/internal/kernel"
)

// Report says what this program and this machine can run on.
type Report struct {
	Go        string            `json:"go"` // version
	OS        string            `json:"os"`
	Arch      string            `json:"arch"`
	CPUs      int               `json:"cpus"` // that this process may use
	SIMD      bool              `json:"simd"` // built with GOEXPERIMENT=simd: vector instructions for the go backend
	XLA       bool              `json:"xla"`  // the build can load XLA plugins
	Modules   map[string]string `json:"modules"`
	Searched  []string          `json:"searched"` // the folders searched for plugins, in order
	Auto      string            `json:"auto"`     // the backend that auto opens
	Trains    string            `json:"trains"`   // the backend that auto trains on
	AutoNote  string            `json:"auto_note,omitempty"`
	Backends  []BackendReport   `json:"backends"`
	Installed string            `json:"install_dir"` // where `layarun backend install` puts plugins
}

// BackendReport is what is known of one backend.
type BackendReport struct {
	Name    string   `json:"name"`
	Status  string   `json:"status"` // one of the Status constants
	Detail  string   `json:"detail,omitempty"`
	Plugin  string   `json:"plugin,omitempty"`
	Devices []string `json:"devices,omitempty"`
	Checks  []Check  `json:"checks,omitempty"`
}

// What a backend's status may be.
const (
	StatusReady    = "ready"         // opened, and its checks passed where they ran
	StatusMissing  = "not installed" // its plugin was not found
	StatusUntested = "untested"      // the machine has no such device, so its plugin is not loaded
	StatusFailed   = "failed"        // did not open, or a check failed; Detail says why
)

// Examine reports on every backend. With check it also runs a matrix product and a convolution on each that opens, and
// compares them with plain loops. What fails is in the report; the error is ctx's.
func Examine(ctx context.Context, check bool) (*Report, error) {
	r := &Report{
		Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.GOMAXPROCS(0),
		SIMD: strings.Contains(runtime.Version(), "simd"), // as in "go1.26.8-X:simd"
		XLA:  xlaBuilt, Modules: modules(), Searched: PluginDirs(),
	}
	if dir, err := PluginDir(); err == nil {
		r.Installed = dir
	}
	for _, name := range []string{nativeName, "go", "xla:cpu", "xla:cuda", "xla:tpu"} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.Backends = append(r.Backends, examine(name, check))
	}
	if device, err := OpenDevice("auto"); err == nil {
		r.Auto = device.Name
		if graphs, err := device.Graphs(); err == nil {
			r.Trains, r.AutoNote = graphs.Name, graphs.Note
		}
		device.Close()
	}
	return r, nil
}

// tracked are the modules whose versions decide what a model computes, and how fast.
var tracked = regexp.MustCompile(`^github\.com/(layarun|gomlx)/`)

func modules() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	for _, m := range append(info.Deps, &info.Main) {
		if tracked.MatchString(m.Path) {
			versions[m.Path] = m.Version
		}
	}
	return versions
}

func examine(name string, check bool) BackendReport {
	r := BackendReport{Name: name, Status: StatusReady}
	if kind, isXLA := strings.CutPrefix(name, "xla:"); isXLA {
		path, found := FindPlugin(kind)
		switch r.Plugin = path; {
		case !xlaBuilt:
			r.Status, r.Detail = StatusMissing, noXLA
		case !found:
			r.Status, r.Detail = StatusMissing, "`layarun backend install "+kind+"` installs it"
		case !deviceHere(kind):
			r.Status, r.Detail = StatusUntested, "no such device on this machine"
		}
	}
	if r.Status != StatusReady {
		return r
	}
	if name == nativeName {
		return examineNative(r, check)
	}
	device, err := OpenDevice(name)
	if err != nil {
		r.Status, r.Detail = StatusFailed, err.Error()
		return r
	}
	defer device.Close()
	r.Plugin = device.Plugin
	for n := range device.Backend.NumDevices() {
		r.Devices = append(r.Devices, device.Backend.DeviceDescription(compute.DeviceNum(n)))
	}
	if !check {
		return r
	}
	for _, s := range selfChecks {
		r.add(s.on(device.Backend))
	}
	return r
}

func examineNative(r BackendReport, check bool) BackendReport {
	if !kernel.Available() {
		r.Status, r.Detail = StatusUntested, "this processor has neither AVX-512 nor AVX2"
		return r
	}
	r.Detail = kernel.Instructions()
	if check {
		for _, s := range selfChecks {
			r.add(s.onNative())
		}
	}
	return r
}

// add notes a check, and that the backend is not ready if it failed.
func (r *BackendReport) add(c Check) {
	r.Checks = append(r.Checks, c)
	if !c.OK {
		r.Status, r.Detail = StatusFailed, "self-check: "+c.Name+" is wrong or did not run"
	}
}

// deviceHere guesses whether the machine has a device of the kind, without loading the plugin: a plugin without its
// device may take long to give up, or end the process.
func deviceHere(kind string) bool {
	switch kind {
	case "cuda":
		return installer.HasNvidiaGPU()
	case "tpu":
		for _, pattern := range []string{"/dev/accel*", "/dev/vfio/[0-9]*"} {
			if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
				return true
			}
		}
		return false
	}
	return true
}

package compile

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // registers "go"
	"github.com/gomlx/go-xla/installer"

	"github.com/layarun/layarun/internal/kernel"
)

// Device is what networks run on: a backend, native kernels, or kernels with a backend for what has none. Each call of
// [OpenDevice] opens another one: for XLA a PJRT client of its own, with its own threads and its own copy of whatever is
// uploaded.
type Device struct {
	Backend compute.Backend // what builds graphs; nil for native kernels
	Name    string          // "native", "go", "xla:cpu"
	Plugin  string          // the XLA plugin's path and PJRT version; "" for others
	Note    string          // one line on what auto passed over and why; "" where there is nothing to say
	Native  bool            // networks run on native kernels if there are kernels for all of their operations
	Workers int             // how many executions run side by side to advantage, at least 1

	mu     sync.Mutex
	open   func() (*Device, error) // opens graphs; nil where there is nothing to open
	graphs *Device
}

// Graphs is the device that builds graphs, for training and for networks without kernels: this one or, for native kernels that
// auto chose, a backend that the first call opens and Close closes. It is an error for the device "native".
func (d *Device) Graphs() (*Device, error) {
	if d.Backend != nil {
		return d, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.graphs == nil {
		if d.open == nil {
			return nil, fmt.Errorf("compile: backend %q runs networks and builds no graphs, as training does: take auto, go or xla:cpu", d.Name)
		}
		graphs, err := d.open()
		if err != nil {
			return nil, err
		}
		d.graphs = graphs
	}
	return d.graphs, nil
}

// Ran names what networks run on: Name or, once some network has needed it, the backend of Graphs.
func (d *Device) Ran() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.graphs != nil {
		return d.graphs.Name
	}
	return d.Name
}

// OpenDevice opens a backend by name:
//
//	auto              XLA on CUDA where an NVIDIA device and its plugin are found; else native where the processor has AVX-512
//	                  or AVX2, with the next for training and for networks without kernels; else XLA on the CPU where a plugin
//	                  is found, else go. What does not load is passed over, and Note says so. "" means auto
//	native            native kernels alone: nothing is compiled, and nothing can be trained
//	go                GoMLX's pure-Go backend, always there
//	xla:cpu|cuda|tpu  XLA with the plugin that [FindPlugin] finds
//	xla:/abs/path.so  XLA with this plugin
//
// It never downloads anything; [InstallPlugin] does. XLA needs a build with cgo. The caller closes the device.
func OpenDevice(name string) (*Device, error) {
	if name == "" || name == "auto" {
		return openAuto()
	}
	if name == "go" {
		return openGo("")
	}
	if name == nativeName {
		return openNative()
	}
	target, isXLA := strings.CutPrefix(name, "xla:")
	switch {
	case isXLA && !xlaBuilt:
		return nil, fmt.Errorf("compile: backend %q: %s", name, noXLA)
	case isXLA && filepath.IsAbs(target):
		return openXLA(target)
	case isXLA && slices.Contains(pluginKinds, target):
		path, found := FindPlugin(target)
		if !found {
			return nil, pluginNotFound(name, target)
		}
		return openXLA(path)
	}
	return nil, fmt.Errorf("compile: %w %q: want auto, native, go, xla:cpu, xla:cuda, xla:tpu or xla:/absolute/plugin.so", ErrUnknownBackend, name)
}

// ErrUnknownBackend is in the error of a backend's name that means nothing, on any machine.
var ErrUnknownBackend = errors.New("unknown backend")

// HasXLA tells whether this build can load XLA plugins: it was built with cgo for Linux or macOS.
func HasXLA() bool { return xlaBuilt }

// Close releases the device. Tensors and executables made on it must not be used afterwards.
func (d *Device) Close() {
	if d.Backend != nil {
		d.Backend.Finalize()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.graphs != nil {
		d.graphs.Close()
		d.graphs = nil
	}
}

// nativeName is the backend of native kernels.
const nativeName = "native"

func openNative() (*Device, error) {
	if !kernel.Available() {
		return nil, fmt.Errorf("compile: backend %q: this processor has neither AVX-512 nor AVX2; take auto, go or xla:cpu", nativeName)
	}
	return &Device{Name: nativeName, Native: true, Workers: runtime.GOMAXPROCS(0)}, nil
}

// goConfig runs one operation at a time, each on all cores. Running operations side by side deadlocks in compute v0.1.6:
// a product inside a worker waits for free workers (workerspool.Saturate) that are all waiting likewise. A training of
// 512-wide blocks hung in one of three runs.
const goConfig = "go:ops_sequential"

func openGo(note string) (*Device, error) {
	var backend compute.Backend
	err := guard(func() (err error) {
		backend, err = compute.NewWithConfig(goConfig)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("compile: backend \"go\": %w", err)
	}
	return &Device{Backend: backend, Name: "go", Note: note, Workers: 1}, nil
}

// openAuto prefers an accelerator to native kernels, and those to other backends on the processor.
func openAuto() (*Device, error) {
	native, err := openNative()
	if err != nil {
		return openAutoBackend()
	}
	if _, found := FindPlugin("cuda"); found && xlaBuilt && installer.HasNvidiaGPU() {
		device, err := openAutoBackend()
		if err != nil || !device.Backend.HasSharedBuffers() {
			return device, err
		}
		native.Note = device.Note
		device.Close()
	}
	native.open = openAutoBackend
	return native, nil
}

// openAutoBackend tries the plugins from the fastest to the slowest device.
func openAutoBackend() (*Device, error) {
	if !xlaBuilt {
		return openGo(noXLA + "; using the pure-Go backend")
	}
	var notes []string
	for _, kind := range []string{"cuda", "cpu"} {
		if kind == "cuda" && !installer.HasNvidiaGPU() {
			continue
		}
		path, found := FindPlugin(kind)
		if !found {
			continue
		}
		device, err := openXLA(path)
		if err == nil {
			device.Note = strings.Join(notes, "; ")
			return device, nil
		}
		line, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "compile: "), "\n")
		notes = append(notes, line)
	}
	hint := "; using the pure-Go backend; `layarun backend install cpu` installs "
	if len(notes) == 0 {
		return openGo("no XLA plugin found in " + dirList() + hint + "one")
	}
	return openGo(strings.Join(notes, "; ") + hint + "the CPU plugin")
}

// openXLA loads the plugin at an absolute path and opens a client on it.
func openXLA(path string) (*Device, error) {
	name := xlaName(path)
	if strings.Contains(path, ",") {
		return nil, fmt.Errorf("compile: backend %q: %s has a comma in its path, where go-xla expects options", name, path)
	}
	if err := checkPlugin(path); err != nil {
		return nil, fmt.Errorf("compile: backend %q: the plugin cannot be loaded: %w", name, err)
	}
	// An asynchronous client runs one execution after another, each of which leaves cores idle between its parallel parts
	// and in those that are not parallel. On a CPU a worker per core fills them; docs/experiments.md has the figures.
	cpu := pluginKind(path) == "cpu"
	workers := 1
	if cpu {
		workers = runtime.GOMAXPROCS(0)
	}
	var backend compute.Backend
	open := func() error {
		return guard(func() (err error) {
			backend, err = newXLA(path+xlaOptions(path), cpu)
			return err
		})
	}
	var err error
	if cpu {
		err = withConvolutionFlags(path, open)
	} else {
		err = open()
	}
	if err != nil {
		return nil, fmt.Errorf("compile: backend %q: plugin %s: %w", name, path, err)
	}
	return &Device{Backend: backend, Name: name, Plugin: path + pluginVersion(path), Workers: workers}, nil
}

// xlaName is the backend's name in tables: the kind where the file's name tells it, whatever its folder.
func xlaName(path string) string {
	if kind := pluginKind(path); kind != "" {
		return "xla:" + kind
	}
	return "xla:" + filepath.Base(path)
}

// xlaOptions are go-xla's options for a plugin. go-xla guesses from the whole path and documents two defaults for
// preallocate, so they are set here: GPU memory is taken as needed, and float32 products stay float32 (TF32 keeps 10
// bits of the mantissa, and a certificate is void on a backend of lower precision).
func xlaOptions(path string) string {
	switch pluginKind(path) {
	case "cpu":
		return ",shared_buffers=true"
	case "cuda":
		return ",shared_buffers=false,preallocate=false,tf32=false"
	}
	return ",shared_buffers=false"
}

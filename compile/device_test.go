package compile_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/compile"
)

const cpuPlugin = "pjrt_c_api_cpu_plugin.so"

func TestOpenDeviceRefusesUnknownNames(t *testing.T) {
	names := []string{"xla", "GO", "cpu", "onnx:cpu"}
	if compile.HasXLA() {
		names = append(names, "xla:", "xla:gpu", "xla:plugin.so")
	}
	for _, name := range names {
		device, err := compile.OpenDevice(name)
		if err == nil {
			device.Close()
			t.Errorf("%q opened %s", name, device.Name)
			continue
		}
		for _, want := range []string{name, "xla:cpu", "auto"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %q does not name %q", name, err, want)
			}
		}
	}
}

func TestOpenDeviceNamesWhatWouldHelp(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(compile.PluginPathEnv, dir)
	_, err := compile.OpenDevice("xla:tpu")
	if err == nil {
		t.Fatal("opened xla:tpu from an empty folder")
	}
	help := []string{"xla:tpu", dir, "layarun backend install tpu"}
	if !compile.HasXLA() {
		help = []string{"xla:tpu", "built without cgo"}
	}
	for _, want := range help {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
}

func TestAutoFallsBackToGo(t *testing.T) {
	text := []byte("not a library")
	tests := []struct {
		name    string
		content []byte // nil: no file
		note    string
	}{
		{"no plugin", nil, "no XLA plugin found"},
		{"empty file", []byte{}, "truncated or not a shared library"},
		{"text file", text, "truncated or not a shared library"},
		{"other machine", library(t, elf.EM_RISCV, 0), "built for EM_RISCV"},
		{"truncated library", library(t, machine(), 1<<20), "is truncated: 120 bytes, its headers ask for 1048576"},
		{"other library", library(t, machine(), 0), "does not export GetPjrtApi"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS != "linux" && test.content != nil {
				t.Log("ELF is checked on Linux only")
				return
			}
			dir := t.TempDir()
			t.Setenv(compile.PluginPathEnv, dir)
			path := filepath.Join(dir, cpuPlugin)
			if test.content != nil {
				if err := os.WriteFile(path, test.content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			device, err := compile.OpenDevice("auto")
			if err != nil {
				t.Fatal(err)
			}
			defer device.Close()
			if device, err = device.Graphs(); err != nil {
				t.Fatal(err)
			}
			if device.Name != "go" {
				t.Errorf("opened %s, want go", device.Name)
			}
			notes := []string{dir, "using the pure-Go backend", test.note}
			if !compile.HasXLA() {
				notes = []string{"built without cgo", "using the pure-Go backend"}
			}
			for _, want := range notes {
				if !strings.Contains(device.Note, want) {
					t.Errorf("note %q does not say %q", device.Note, want)
				}
			}
			if strings.Contains(device.Note, "\n") {
				t.Errorf("note is more than one line: %q", device.Note)
			}
			if test.content == nil {
				return
			}
			if _, err := compile.OpenDevice("xla:" + path); err == nil {
				t.Errorf("opened %s by its path", path)
			}
		})
	}
}

func TestFindPluginKnowsTheNames(t *testing.T) {
	tests := []struct {
		kind  string
		files []string
		want  string // "" means none
	}{
		{"cpu", []string{"pjrt_c_api_cpu_plugin.so"}, "pjrt_c_api_cpu_plugin.so"},
		{"cpu", []string{"pjrt_c_api_cpu_v0.83.1_plugin.so"}, "pjrt_c_api_cpu_v0.83.1_plugin.so"},
		{"cpu", []string{"pjrt_c_api_cpu_v0.83.1_plugin.so", "pjrt_c_api_cpu_plugin.so"}, "pjrt_c_api_cpu_plugin.so"},
		{"cpu", []string{"pjrt_c_api_cuda_plugin.so", "libcpu.so", "pjrt_c_api_cpu_plugin.so.tmp"}, ""},
		{"cuda", []string{"pjrt_c_api_cpu_plugin.so", "pjrt_c_api_cuda_plugin.so"}, "pjrt_c_api_cuda_plugin.so"},
		{"tpu", []string{"pjrt-plugin-tpu.so"}, "pjrt-plugin-tpu.so"},
	}
	for _, test := range tests {
		dir := t.TempDir()
		t.Setenv(compile.PluginPathEnv, "relative:"+t.TempDir()+":"+dir)
		for _, name := range test.files {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		path, found := compile.FindPlugin(test.kind)
		if found != (test.want != "") || found && path != filepath.Join(dir, test.want) {
			t.Errorf("%s among %q: %q, %t; want %q", test.kind, test.files, path, found, test.want)
		}
	}
}

// Two devices of one name must be two clients: closing one leaves the other usable.
func TestDevicesAreIndependent(t *testing.T) {
	names := []string{"go"}
	if _, found := compile.FindPlugin("cpu"); found && compile.HasXLA() {
		names = append(names, "xla:cpu")
	} else {
		t.Log("no XLA, or no CPU plugin: go only")
	}
	for _, name := range names {
		first, err := compile.OpenDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		second, err := compile.OpenDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		if first.Backend == second.Backend {
			t.Errorf("%s: opened twice, got one backend", name)
		}
		if first.Name != name {
			t.Errorf("asked for %s, got %s", name, first.Name)
		}
		first.Close()
		double := graph.MustNewExec(second.Backend, func(x *graph.Node) *graph.Node { return graph.Add(x, x) })
		if got := tensors.ToScalar[float32](double.MustCall(float32(21))[0]); got != 42 {
			t.Errorf("%s: 21 + 21 = %g", name, got)
		}
		double.Finalize()
		second.Close()
	}
}

func machine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// library is the smallest 64-bit shared library: a header of 64 bytes and one loaded segment of 56 that claims to span
// size bytes of the file.
func library(t *testing.T, machine elf.Machine, size uint64) []byte {
	t.Helper()
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var b bytes.Buffer
	for _, part := range []any{h, elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: size}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

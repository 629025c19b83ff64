package compile

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/go-xla/installer"
)

// Progress is told now and then how many bytes have arrived. total is 0 where nobody knows it.
type Progress func(done, total int64)

// installLimit ends an installation that nothing else ends: go-xla's downloads have no timeout of their own. The CUDA
// libraries are some 3 GB.
const installLimit = time.Hour

// wheel is a Python package that holds a plugin, pinned by its digest.
type wheel struct {
	requirement string // for pip: name==version
	sha256      string // of the wheel
	size        int64  // of the wheel in bytes, for the progress bar
	member      string // the plugin's name in the wheel, a zip file
	memberSize  int64  // unpacked, in bytes
}

// cpuWheel is XLA's CPU plugin as built from jaxlib 0.11.2 (Apache-2.0), for Linux on amd64.
var cpuWheel = wheel{
	requirement: "lammps-jax-pjrt-cpu==0.11.2",
	sha256:      "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
	size:        62_711_338,
	member:      "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
	memberSize:  201_600_336,
}

// EnsureCPU returns the path of a CPU plugin that can be loaded, and installs one where there is none.
func EnsureCPU(ctx context.Context, progress Progress) (string, error) {
	if path, found := FindPlugin("cpu"); found && xlaBuilt && checkPlugin(path) == nil {
		return path, nil
	}
	return InstallPlugin(ctx, "cpu", progress)
}

// InstallPlugin downloads the plugin of a kind ("cpu", "cuda", "tpu") into [PluginDir] and returns its path. The plugin
// appears there only when all of it has arrived and was verified. progress may be nil; it is called from one other
// goroutine, not after the return.
//
// The CPU plugin for Linux on amd64 is a Python package of pinned sha256, fetched by pip, so that a mirror set up for
// pip is used. Without pip, elsewhere, and for cuda and tpu, go-xla's installer fetches its own release (it verifies
// the digests that PyPI states for cuda and tpu, and has none for cpu).
func InstallPlugin(ctx context.Context, kind string, progress Progress) (string, error) {
	path, err := installPlugin(ctx, kind, progress)
	if err != nil {
		return "", fmt.Errorf("compile: install the %s plugin: %w", kind, err)
	}
	return path, nil
}

func installPlugin(ctx context.Context, kind string, progress Progress) (string, error) {
	if !slices.Contains(pluginKinds, kind) {
		return "", fmt.Errorf("unknown kind, want one of %s", strings.Join(pluginKinds, ", "))
	}
	if !xlaBuilt {
		return "", errors.New(noXLA)
	}
	dir, err := PluginDir()
	if err != nil {
		return "", err
	}
	if !slices.Contains(PluginDirs(), dir) {
		return "", fmt.Errorf("%s is set to %q, so a plugin in %s would not be found; unset it or add that folder",
			PluginPathEnv, os.Getenv(PluginPathEnv), dir)
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	if progress == nil {
		progress = func(done, total int64) {}
	}
	if kind == "cpu" && runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		path, err := installWheel(ctx, cpuWheel, dir, progress)
		if !errors.Is(err, errNoPip) {
			return path, err
		}
	}
	return installRelease(ctx, kind, dir, progress)
}

// errNoPip says that this machine has no python3 or its python3 no pip.
var errNoPip = errors.New("python3 -m pip is not there")

// installWheel fetches w by pip and puts its plugin into dir under the plugin's own file name.
func installWheel(ctx context.Context, w wheel, dir string, progress Progress) (string, error) {
	staging, err := newStaging(dir)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(staging)

	file, err := pipDownload(ctx, w, staging, progress)
	if err != nil {
		return "", err
	}
	if err := verify(file, w.sha256); err != nil {
		return "", err
	}
	plugin := filepath.Join(staging, filepath.Base(w.member))
	if err := extract(file, w, plugin); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	target := filepath.Join(dir, filepath.Base(plugin))
	return target, os.Rename(plugin, target)
}

// newStaging makes a folder beside the target, so that the last step is a rename within one file system.
func newStaging(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, ".installing-")
}

// pipDownload runs pip and returns the wheel's path within staging. pip unpacks into TMPDIR before it moves the file,
// so that folder is put where its growth can be watched.
func pipDownload(ctx context.Context, w wheel, staging string, progress Progress) (string, error) {
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--quiet", "--progress-bar=off", "--no-input",
		"--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", staging, w.requirement)
	cmd.Env = append(os.Environ(), "TMPDIR="+staging)
	cmd.WaitDelay = 5 * time.Second // a grandchild may keep the pipe open after pip was killed
	var talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &talk, &talk
	stop := watch(staging, w.size, progress)
	err := cmd.Run()
	stop()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(talk.String(), "No module named pip") {
		return "", errNoPip
	}
	if err != nil {
		return "", fmt.Errorf("pip could not download %s (is there a network?): %w: %s", w.requirement, err, lastLine(talk.String()))
	}
	wheels, err := filepath.Glob(filepath.Join(staging, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("pip left %d wheels for %s, want 1", len(wheels), w.requirement)
	}
	return wheels[0], nil
}

// verify compares the file's SHA-256 with the pinned one, in hexadecimal.
func verify(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has sha256 %s, want %s: not installed", filepath.Base(path), got, want)
	}
	return nil
}

// extract writes the wheel's plugin to path and flushes it to the disk.
func extract(file string, w wheel, path string) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	defer archive.Close()
	member, err := archive.Open(w.member)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	defer member.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(member, w.memberSize+1)) // zip checks the CRC at the end
	if err == nil && n != w.memberSize {
		err = fmt.Errorf("%s: %s does not have %d bytes", filepath.Base(file), w.member, w.memberSize)
	}
	return errors.Join(err, out.Sync(), out.Close())
}

// watch reports by how many bytes dir has grown until the returned function is called.
func watch(dir string, total int64, progress Progress) (stop func()) {
	done, finished := make(chan struct{}), make(chan struct{})
	before := bytesUnder(dir)
	go func() {
		defer close(finished)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				progress(bytesUnder(dir)-before, total)
			}
		}
	}()
	return func() { close(done); <-finished }
}

func bytesUnder(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // files come and go while the download runs
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// installRelease lets go-xla's installer fetch the release that it was tested with. It knows no context: when ctx ends
// first it goes on, unheeded. Each of its plugins appears in one step, after the libraries that it needs; one that is
// there already stays.
func installRelease(ctx context.Context, kind, dir string, progress Progress) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	stop := watch(dir, 0, progress)
	defer stop()
	result := make(chan error, 1)
	go func() {
		result <- guard(func() error { return installer.AutoInstallPlugin(kind, filepath.Dir(dir), true, installer.Quiet) })
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err := <-result:
		if err != nil {
			return "", fmt.Errorf("go-xla's installer (is there a network?): %w", err)
		}
	}
	path, found := FindPlugin(kind)
	if !found {
		return "", fmt.Errorf("go-xla's installer sees no %s device here, or has no plugin for %s/%s", kind, runtime.GOOS, runtime.GOARCH)
	}
	return path, checkPlugin(path)
}

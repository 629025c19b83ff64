package compile

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/gomlx/go-xla/installer"
)

// PluginPathEnv names the environment variable that, when set, replaces the folders searched for PJRT plugins: a list
// separated by colons. It is go-xla's own variable.
const PluginPathEnv = "PJRT_PLUGIN_LIBRARY_PATH"

// pluginKinds are the accelerators that a backend name may ask for.
var pluginKinds = []string{"cpu", "cuda", "tpu"}

// pluginFile is go-xla's naming of plugins: pjrt_c_api_cpu_plugin.so, pjrt_c_api_cpu_v0.83.1_plugin.so,
// pjrt-plugin-tpu.so. Its first or second group is the kind.
var pluginFile = regexp.MustCompile(`^(?:pjrt_c_api_(.+?)(?:_v[0-9.]+)?_plugin|pjrt[-_]plugin[-_](.+?))\.(?:so|dylib)$`)

// PluginDir is the user's library folder, where plugins are installed and where go-xla looks first.
func PluginDir() (string, error) {
	lib, err := installer.DefaultHomeLibPath()
	if err != nil {
		return "", fmt.Errorf("compile: no user library folder: %w", err)
	}
	return filepath.Join(lib, "go-xla"), nil
}

// PluginDirs lists the folders searched for PJRT plugins, first match first: those of [PluginPathEnv] where it is set,
// else the user's and the system's go-xla folders and LD_LIBRARY_PATH. Relative folders are skipped.
func PluginDirs() []string {
	if list, set := os.LookupEnv(PluginPathEnv); set {
		return absolute(filepath.SplitList(list))
	}
	var dirs []string
	if user, err := PluginDir(); err == nil {
		dirs = append(dirs, user, filepath.Join(user, "nvidia"))
	}
	dirs = append(dirs, "/usr/local/lib/go-xla", "/usr/local/lib/go-xla/nvidia")
	return append(dirs, absolute(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")))...)
}

func absolute(dirs []string) []string {
	return slices.DeleteFunc(dirs, func(d string) bool { return !filepath.IsAbs(d) })
}

// FindPlugin returns the path of the first plugin of a kind ("cpu", "cuda", "tpu") in [PluginDirs]. The file is not
// opened. go-xla's own search is not used: it loads every candidate and crashes on one that does not load.
func FindPlugin(kind string) (path string, found bool) {
	for _, dir := range PluginDirs() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries { // sorted: the unversioned file, which go-xla links to the newest, comes first
			if pluginKind(e.Name()) == kind {
				return filepath.Join(dir, e.Name()), true
			}
		}
	}
	return "", false
}

// pluginKind reads the kind off a plugin's file name; "" where the name is not a plugin's.
func pluginKind(file string) string {
	m := pluginFile.FindStringSubmatch(filepath.Base(file))
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// pluginNotFound says what was asked for, where it was looked for, and what would help.
func pluginNotFound(name, kind string) error {
	return fmt.Errorf("compile: backend %q: no XLA plugin for it in %s; `layarun backend install %s` installs one",
		name, dirList(), kind)
}

func dirList() string {
	dirs := PluginDirs()
	if len(dirs) == 0 {
		return "no folder at all (" + PluginPathEnv + " is set but names no absolute folder)"
	}
	return strings.Join(dirs, ", ")
}

// checkPlugin refuses a file that the dynamic loader must not see. Loading a truncated library does not return an
// error: the process dies of SIGBUS when it touches a page beyond the end of the file.
func checkPlugin(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	if runtime.GOOS != "linux" {
		return nil
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is truncated or not a shared library: %w", path, err)
	}
	defer f.Close()
	if f.Type != elf.ET_DYN {
		return fmt.Errorf("%s is not a shared library (ELF type %v)", path, f.Type)
	}
	if want, known := elfMachine[runtime.GOARCH]; known && f.Machine != want {
		return fmt.Errorf("%s is built for %v, this program for %v", path, f.Machine, want)
	}
	for _, p := range f.Progs {
		if end := p.Off + p.Filesz; p.Type == elf.PT_LOAD && (end < p.Off || end > uint64(info.Size())) {
			return fmt.Errorf("%s is truncated: %d bytes, its headers ask for %d", path, info.Size(), end)
		}
	}
	return checkEntry(f, path)
}

var elfMachine = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkEntry requires the one function by which a PJRT plugin is entered.
func checkEntry(f *elf.File, path string) error {
	symbols, err := f.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("%s: symbols: %w", path, err)
	}
	for _, s := range symbols {
		if s.Name == "GetPjrtApi" && s.Section != elf.SHN_UNDEF {
			return nil
		}
	}
	return fmt.Errorf("%s is not a PJRT plugin: it does not export GetPjrtApi", path)
}

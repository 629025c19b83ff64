package result

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
)

// Environment says what a measurement was made on and with.
type Environment struct {
	Machine eval.Machine `json:"machine"`
	Backend string       `json:"backend"`
	Plugin  string       `json:"plugin,omitempty"` // of XLA, without its folder
}

// Here is the environment of this process, running on a device. The commit is that of the working folder: programs started
// by go run do not know theirs.
func Here(device *compile.Device) Environment {
	plugin := device.Plugin[strings.LastIndexByte(device.Plugin, '/')+1:]
	return Environment{Machine: eval.ThisMachine(commit()), Backend: device.Name, Plugin: plugin}
}

// String is the environment in one line.
func (e Environment) String() string {
	m, backend := e.Machine, e.Backend
	if e.Plugin != "" {
		backend += " (" + e.Plugin + ")"
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s, backend %s, commit %s", m.CPU, m.Cores, m.OS, m.Arch, m.Go, backend, m.Commit)
}

// commit is the checked-out commit, with "+" where tracked files have changes; "" outside a checkout.
func commit() string {
	hash, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return ""
	}
	id := strings.TrimSpace(string(hash))
	if changes, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changes) > 0 {
		id += "+"
	}
	return id
}

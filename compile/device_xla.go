//go:build cgo && (linux || darwin)

package compile

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla" // also sets TF_CPP_MIN_LOG_LEVEL, so that XLA stays off stderr
	"github.com/gomlx/go-xla/pjrt"
)

const (
	xlaBuilt = true
	noXLA    = ""
)

// newXLA opens a client. The plugin is an absolute path, so go-xla neither searches nor installs. A synchronous client
// executes in the calling thread, so that calls from several goroutines run side by side.
func newXLA(config string, synchronous bool) (compute.Backend, error) {
	options := pjrt.NamedValuesMap{}
	if synchronous {
		options["asynchronous"] = false
	}
	b, err := xla.NewWithOptions(config, options)
	if err != nil {
		return nil, err // not b: a nil pointer in an interface is not nil
	}
	return b, nil
}

// pluginVersion is " (PJRT 0.89)" for a plugin that has been loaded.
func pluginVersion(path string) string {
	plugin, err := pjrt.GetPlugin(path)
	if err != nil {
		return ""
	}
	major, minor := plugin.Version()
	return fmt.Sprintf(" (PJRT %d.%d)", major, minor)
}

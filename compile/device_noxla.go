//go:build !cgo || !(linux || darwin)

package compile

import (
	"errors"

	"github.com/gomlx/compute"
)

const (
	xlaBuilt = false
	noXLA    = "this build has no XLA: it was built without cgo, or for a system other than Linux and macOS"
)

func newXLA(string, bool) (compute.Backend, error) { return nil, errors.New(noXLA) }

func pluginVersion(string) string { return "" }

package compile

import (
	"bytes"
	"debug/elf"
	"os"
	"strings"
)

// xlaFlagsEnv is where a plugin looks for flags, once, while its first client is made.
const xlaFlagsEnv = "XLA_FLAGS"

// convolutionFlags let XLA's CPU plugin convolve with oneDNN, which it carries, instead of YNNPACK: 1.4 to 2 times as fast
// from 8 samples on (docs/adr/0013). Products stay with YNNPACK.
var convolutionFlags = []string{
	"--xla_cpu_experimental_onednn_custom_call=true",
	"--xla_cpu_experimental_ynn_fusion_type=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION",
}

// withConvolutionFlags calls open, which makes a client of the plugin at path, with convolutionFlags set for it. What the
// caller has in XLA_FLAGS comes after them and so has the last word. A plugin ends the process over a flag that it does
// not know, so one that lacks any of them gets none; and the variable is as before when open has returned, for the next
// plugin may be another.
func withConvolutionFlags(path string, open func() error) error {
	if !knowsFlags(path, convolutionFlags) {
		return open()
	}
	before, set := os.LookupEnv(xlaFlagsEnv)
	flags := strings.Join(append(convolutionFlags[:len(convolutionFlags):len(convolutionFlags)], before), " ")
	if err := os.Setenv(xlaFlagsEnv, flags); err != nil {
		return err
	}
	err := open()
	if !set {
		os.Unsetenv(xlaFlagsEnv)
	} else {
		os.Setenv(xlaFlagsEnv, before)
	}
	return err
}

// knowsFlags reports whether the constants of a shared library hold the names of all flags.
func knowsFlags(path string, flags []string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	constants := f.Section(".rodata")
	if constants == nil {
		return false
	}
	text, err := constants.Data()
	if err != nil {
		return false
	}
	for _, flag := range flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
		if !bytes.Contains(text, []byte(name)) {
			return false
		}
	}
	return true
}

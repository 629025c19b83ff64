package compile_test

import (
	"os"
	"testing"

	"github.com/layarun/layarun/compile"
)

// The flags are for the plugin alone: afterwards the variable is what the caller has set, or unset.
func TestOpenDeviceLeavesXLAFlags(t *testing.T) {
	path, found := compile.FindPlugin("cpu")
	if !found {
		return // nothing to open: testbackend fails where a plugin is asked for
	}
	for _, want := range []string{"", "--xla_cpu_enable_fast_math=false"} {
		t.Setenv("XLA_FLAGS", want)
		if want == "" {
			os.Unsetenv("XLA_FLAGS")
		}
		device, err := compile.OpenDevice("xla:" + path)
		if err != nil {
			t.Fatal(err)
		}
		device.Close()
		if got, set := os.LookupEnv("XLA_FLAGS"); got != want || set != (want != "") {
			t.Errorf("XLA_FLAGS is %q (set: %t) afterwards, want %q", got, set, want)
		}
	}
}

// A plugin ends the process over a flag that it does not know, so a library that does not hold a flag's name gets none.
func TestKnowsFlags(t *testing.T) {
	for _, path := range []string{"flags_test.go", "no/such/file"} {
		if compile.KnowsFlags(path, compile.ConvolutionFlags) {
			t.Errorf("%s is no shared library, but knows the flags", path)
		}
	}
	plugin, found := compile.FindPlugin("cpu")
	if !found {
		return // as above
	}
	if !compile.KnowsFlags(plugin, compile.ConvolutionFlags) {
		t.Errorf("%s, which is pinned, does not know %q", plugin, compile.ConvolutionFlags)
	}
	if compile.KnowsFlags(plugin, append([]string{"--xla_cpu_no_such_flag=1"}, compile.ConvolutionFlags...)) {
		t.Errorf("%s knows a flag that there is not", plugin)
	}
}

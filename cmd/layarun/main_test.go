package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/layarun/layarun/compile"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"layarun": main})
}

// TestScripts runs testdata/script/*.txt. Each has a home folder of its own and finds no XLA plugin, so it runs on the
// pure-Go backend; nothing is downloaded.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.Cd)
			env.Setenv("LANG", "C.UTF-8")
			tiny, err := filepath.Abs(tinyBundle)
			env.Setenv("TINY", tiny)
			if err != nil {
				return err
			}
			checkpoints, err := filepath.Abs("../../pretrained/testdata")
			env.Setenv("CHECKPOINTS", checkpoints)
			return err
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "xla":
				return compile.HasXLA() && runtime.GOOS == "linux" && runtime.GOARCH == "amd64", nil
			case "native":
				_, err := compile.OpenDevice("native")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits runs a command that must end with the given code: exits 2 layarun nope.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [arg]...")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %v", err)
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		fault, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("exits: %v", err)
		}
		code = fault.ExitCode()
	}
	if code != want {
		ts.Fatalf("%v exits with %d, want %d", args[1:], code, want)
	}
}

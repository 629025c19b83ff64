package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/layarun/layarun/compile"
)

// console finds the blocks of commands in a document, each with the comment on the line above it, if there is one.
var console = regexp.MustCompile("(?m)(?:^<!-- (.*) -->\n)?^```console\n((?s:.*?))^```$")

// TestREADME runs the commands of README.md, one after another in one folder, on the pure-Go backend. A block below
// <!-- not run: why --> is left out; so are the commands for a checkout (go run, go test), which .ci/run runs.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir, ran := t.TempDir(), 0
	for _, block := range console.FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(block[1], "not run: ") {
			continue
		}
		for line := range strings.Lines(block[2]) {
			command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			if !isCommand {
				t.Errorf("a console block holds %q, want commands only, each after \"$ \"", line)
			}
			if !strings.HasPrefix(command, "layarun ") {
				continue
			}
			run := exec.CommandContext(t.Context(), "sh", "-c", command) // layarun is this test binary: see TestMain
			run.Dir = dir
			run.Env = append(os.Environ(), compile.PluginPathEnv+"="+dir)
			if out, err := run.CombinedOutput(); err != nil {
				t.Errorf("README.md: %s: %v\n%s", command, err, out)
			}
			ran++
		}
	}
	if ran == 0 {
		t.Error("README.md holds no command that starts with layarun")
	}
}

// What README.md tells to type in a checkout is what CI runs.
func TestREADMECommandsAreRunByCI(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	ci, err := os.ReadFile(filepath.Join("..", "..", ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\$ (go .+)$`).FindAllStringSubmatch(string(readme), -1) {
		if !strings.Contains(string(ci), m[1]) {
			t.Errorf(".ci/run does not run README's %q", m[1])
		}
	}
}

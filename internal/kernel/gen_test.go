package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What is committed is what the generator writes.
func TestGenerated(t *testing.T) {
	gen, err := filepath.Abs("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "run", gen)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"loops_amd64.s", "loops_amd64.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != string(want) {
			t.Errorf("%s is not what gen.go writes (%v): go generate ./internal/kernel", name, err)
		}
	}
}

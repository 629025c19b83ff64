package bundle_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/layarun/layarun/bundle"
)

// FuzzManifest asks for no panic, and that what opens can be saved and opened again.
func FuzzManifest(f *testing.F) {
	files := map[string][]byte{}
	entries, err := os.ReadDir(tinyDir)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(tinyDir, e.Name())); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(files["manifest.json"])
	var compact bytes.Buffer
	if err := json.Compact(&compact, files["manifest.json"]); err != nil {
		f.Fatal(err)
	}
	f.Add(compact.Bytes())
	f.Fuzz(func(t *testing.T, manifest []byte) {
		dir := t.TempDir()
		for name, data := range files {
			if name == "manifest.json" {
				data = manifest
			}
			write(t, filepath.Join(dir, name), data)
		}
		b, err := bundle.Open(dir)
		if err != nil {
			return
		}
		again := save(t, b)
		got, err := bundle.Open(again)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest() != b.Digest() || !slices.Equal(got.Classes, b.Classes) {
			t.Error("the bundle changed on its way through the disk")
		}
	})
}

//go:build models

package pretrained_test

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMiniLM reads a real checkpoint, fetched and run by transformers beforehand:
//
//	sh pretrained/testdata/fetch.sh FOLDER PYTHON
//	LAYARUN_MODELS=FOLDER go test -tags models ./pretrained
func TestMiniLM(t *testing.T) {
	dir := os.Getenv("LAYARUN_MODELS")
	if dir == "" {
		t.Fatal("LAYARUN_MODELS is not set, want the folder that fetch.sh has filled")
	}
	equalsTransformers(t, filepath.Join(dir, "minilm"))
}

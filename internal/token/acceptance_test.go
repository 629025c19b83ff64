//go:build acceptance

package token_test

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The first 3,000 lines of four data sets become the ids of the Hugging Face library.
func TestLinesEqualHuggingFace(t *testing.T) {
	dir := os.Getenv("LAYARUN_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	lines := func(yield func(string) bool) {
		for _, name := range []string{"sst2/train.tsv.gz", "imdb/train.tsv.gz", "agnews/test.csv.gz", "banking77/train.csv.gz"} {
			f, err := os.Open(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			unzip, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(unzip)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.SplitN(string(text), "\n", 3001)[:3000] {
				if !yield(line) {
					return
				}
			}
		}
	}
	for _, name := range references {
		tok, want := reference(t, name)
		if got := digest(tok, lines); got != want["lines"] {
			t.Errorf("%s: ids of 12,000 lines have digest %s, want %s", name, got, want["lines"])
		}
	}
}

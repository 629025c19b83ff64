package pretrained_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/pretrained"
)

// A hub of one model, in the two requests that its clients make: the list of files, and a file at a revision.
func TestFetch(t *testing.T) {
	const sha = "0123456789abcdef0123456789abcdef01234567"
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isFile := strings.CutPrefix(r.URL.Path, "/tiny/minilm/resolve/"+sha+"/")
		switch {
		case strings.HasPrefix(r.URL.Path, "/api/models/tiny/minilm/"):
			files := []string{"README.md", "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
				"model.safetensors.index.json", "onnx/model.onnx", "pytorch_model.bin", "sentence_bert_config.json", "tokenizer_config.json",
				"vocab.txt", "1_Pooling/config.json"}
			for i, name := range files {
				files[i] = fmt.Sprintf(`{"rfilename": %q}`, name)
			}
			fmt.Fprintf(w, `{"id": "tiny/minilm", "sha": %q, "siblings": [%s]}`, sha, strings.Join(files, ","))
		case isFile:
			if r.Method == http.MethodGet {
				asked[name]++
			}
			w.Header().Set("X-Repo-Commit", sha)
			w.Header().Set("ETag", fmt.Sprintf("%q", strings.ReplaceAll(name, "/", "-")))
			http.ServeFile(w, r, filepath.Join("testdata", "minilm", name))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for range 2 { // the second time from the cache
		dir, err := pretrained.Fetch(t.Context(), "tiny/minilm")
		if err != nil {
			t.Fatal(err)
		}
		m, err := pretrained.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if m.MaxLength != 16 {
			t.Errorf("max length is %d, want the 16 of sentence_bert_config.json", m.MaxLength)
		}
	}
	for _, name := range []string{"README.md", "pytorch_model.bin", "onnx/model.onnx"} {
		if asked[name] > 0 {
			t.Errorf("%s was fetched", name)
		}
	}
	if n := asked["config.json"]; n != 1 {
		t.Errorf("config.json was fetched %d times, want once", n)
	}
	if _, err := pretrained.Fetch(t.Context(), "tiny/none"); err == nil || !strings.Contains(err.Error(), "tiny/none") {
		t.Errorf("a model that is not there: %v", err)
	}
}

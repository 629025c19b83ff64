package pretrained

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/go-huggingface/hub"
)

// Fetch brings what [Open] reads of a model on the Hugging Face hub into the cache that its programs share, and returns the
// folder. id is "owner/name". What the cache holds already is not fetched again. HF_ENDPOINT and XDG_CACHE_HOME say where
// hub and cache are, as they do for others.
func Fetch(ctx context.Context, id string) (string, error) {
	repo := hub.New(id)
	repo.Verbosity = 0
	var names []string
	for name, err := range repo.IterFileNames() {
		if err != nil {
			return "", fmt.Errorf("pretrained: the hub's list of the files of %s: %w", id, err)
		}
		if wanted(name) {
			names = append(names, name)
		}
	}
	config := slices.Index(names, configFile)
	if config < 0 {
		return "", fmt.Errorf("pretrained: %s on the hub has no %s", id, configFile)
	}
	paths, err := repo.DownloadFilesCtx(ctx, names...)
	if err != nil {
		return "", fmt.Errorf("pretrained: fetching %s: %w", id, err)
	}
	return filepath.Dir(paths[config]), nil
}

// wanted reports whether Open reads a file of this name. Repositories hold the same weights in other forms as well.
func wanted(name string) bool {
	shard := strings.HasPrefix(name, "model-") && strings.HasSuffix(name, ".safetensors") && !strings.Contains(name, "/")
	return shard || slices.Contains([]string{configFile, preprocessorFile, wholeFile, indexFile, tokenizerFile, tokenizerConfigFile,
		vocabFile, bytesFile, mergesFile, sentenceFile, poolingFile}, name)
}

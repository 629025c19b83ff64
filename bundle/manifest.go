package bundle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
)

// formatVersion is what this package writes and the only one it reads. It goes up when an older reader would
// misunderstand a bundle.
const formatVersion = 1

// The files of a bundle. There are no others.
const (
	manifestFile  = "manifest.json"
	weightsFile   = "weights.safetensors"
	tokenizerFile = "tokenizer.json"
	profileFile   = "profile.json"
	planFile      = "plan.json"
	policiesFile  = "policies.json"
)

// listed are the files that a manifest may list.
var listed = []string{weightsFile, tokenizerFile, profileFile, planFile, policiesFile}

// manifest is the JSON form of manifest.json.
type manifest struct {
	Format    int                 `json:"format"`
	Name      string              `json:"name"`
	CreatedBy string              `json:"created_by"`
	Backbone  json.RawMessage     `json:"backbone"` // as backbone.Encode writes it
	Head      laya.Config         `json:"head,omitzero"`
	Classes   []string            `json:"classes,omitempty"`
	Input     input               `json:"input"`
	Precision string              `json:"precision,omitempty"`
	Data      *Data               `json:"data,omitempty"`
	Train     map[string]float64  `json:"train,omitempty"`
	Files     map[string]fileInfo `json:"files"`
}

// input tells a reader that does not know the backbone what one sample is.
type input struct {
	Kind      string `json:"kind"`                 // "text", "image" or "vector"
	Shape     []int  `json:"shape,omitempty"`      // of one sample, float32: [height, width, channels] or [features]
	MaxLength int    `json:"max_length,omitempty"` // text only: tokens
	// Fit is of images only, and the backbone does not say it.
	Fit picture.Fit `json:"fit,omitzero"`
}

type fileInfo struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func inputOf(spec layer.Spec, maxLength int) input {
	switch {
	case spec.DType == dtypes.Int32:
		return input{Kind: "text", MaxLength: maxLength}
	case len(spec.Dims) == 3:
		return input{Kind: "image", Shape: spec.Dims}
	}
	return input{Kind: "vector", Shape: spec.Dims}
}

func (i input) equal(j input) bool {
	return i.Kind == j.Kind && i.MaxLength == j.MaxLength && slices.Equal(i.Shape, j.Shape)
}

// parseManifest reads manifest.json into a bundle that lacks what the other files hold, and returns the list of those.
func parseManifest(text []byte) (*Bundle, map[string]fileInfo, error) {
	var version struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, nil, err
	}
	if version.Format == nil || *version.Format != formatVersion {
		return nil, nil, fmt.Errorf("format is %s, want %d: this bundle needs another version of layarun", orMissing(version.Format), formatVersion)
	}
	var m manifest
	if err := strict.Decode(text, &m); err != nil {
		return nil, nil, err
	}
	network, err := backbone.Decode(m.Backbone)
	if err != nil {
		return nil, nil, err
	}
	if want := inputOf(network.Input(), m.Input.MaxLength); !m.Input.equal(want) {
		return nil, nil, fmt.Errorf("input is %+v, want %+v as the backbone has", m.Input, want)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if !slices.Contains(listed, name) {
			return nil, nil, fmt.Errorf("files: %q is not one of %v", name, listed)
		}
	}
	b := &Bundle{Name: m.Name, CreatedBy: m.CreatedBy, Backbone: network, Head: m.Head, Classes: m.Classes,
		MaxLength: m.Input.MaxLength, Fit: m.Input.Fit, Precision: m.Precision, Data: m.Data, Train: m.Train}
	if _, err := b.precision(); err != nil {
		return nil, nil, err
	}
	return b, m.Files, nil
}

func orMissing(n *int) string {
	if n == nil {
		return "missing"
	}
	return fmt.Sprint(*n)
}

// formatManifest is the inverse of parseManifest.
func formatManifest(b *Bundle, files map[string]fileInfo) ([]byte, error) {
	network, err := backbone.Encode(b.Backbone)
	if err != nil {
		return nil, err
	}
	sample := inputOf(b.Backbone.Input(), b.MaxLength)
	sample.Fit = b.Fit
	return formatJSON(manifest{
		Format: formatVersion, Name: b.Name, CreatedBy: b.CreatedBy, Backbone: network, Head: b.Head, Classes: b.Classes,
		Input: sample, Precision: b.Precision, Data: b.Data, Train: b.Train, Files: files,
	})
}

// formatJSON indents, because people read these files and compare them line by line.
func formatJSON(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}

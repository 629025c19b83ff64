// Package pretrained brings in networks that other programs have trained.
//
// [Open] reads a folder in the layout of the Hugging Face hub: config.json, model.safetensors (whole or in shards), and
// for text tokenizer.json or vocab.txt, for images preprocessor_config.json. It gives the network as a backbone with weights under our names and, where the
// checkpoint has a classifier for sequences or images, that classifier as a lastlayer head, so that the imported network
// answers as the original does.
//
// Nothing is guessed. A field of config.json or preprocessor_config.json that is not known, or has a value that the backbone does not follow, is
// refused by name; so is a tensor that has no place, and a weight that no tensor fills. Tensors that a family is known to
// carry without needing them (position_ids, the head of a language model) are named in [Model].Unused.
package pretrained

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
)

// Model is an imported network.
type Model struct {
	Family   string            // "bert", …: the model_type of config.json
	Backbone backbone.Backbone // in the form that runs: batch normalisation is folded away
	// Head is the checkpoint's own classifier, of kind lastlayer; the zero value if it has none.
	Head laya.Config
	// Weights are those of the backbone and, with a head, of the tap at the last depth and of the head.
	Weights   layer.Weights
	Classes   []string // id2label in the order of the logits; none without a head
	Tokenizer []byte   // tokenizer.json; nil unless the network reads text
	MaxLength int      // tokens of the longest input; 0 unless the network reads text
	// Fit is how pictures are brought to the network's size; the zero value unless it reads images.
	Fit picture.Fit
	// Unused are the tensors of the checkpoint that the network does not need, sorted.
	Unused []string
}

// The files of a folder that are read.
const (
	configFile       = "config.json"
	preprocessorFile = "preprocessor_config.json"
)

// family reads the config.json of one model_type and says where the tensors go.
type family func(c *config, dir *folder) (*plan, error)

var families = map[string]family{
	"bert":       bert,
	"distilbert": distilBERT,
	"roberta":    roberta,
	"vit":        vit,
	cifarResNet:  resNet,
}

// Families lists the values of model_type that Open knows, sorted.
func Families() []string { return sortedKeys(families) }

// Open reads the checkpoint in dir. The error names folder and file, and the field or tensor.
func Open(dir string) (*Model, error) {
	m, err := open(&folder{dir})
	if err != nil {
		return nil, fmt.Errorf("pretrained: %s: %w", dir, err)
	}
	return m, nil
}

func open(dir *folder) (*Model, error) {
	text, err := dir.readIfThere(configFile)
	if err != nil {
		return nil, err
	}
	if text == nil { // the one family that has none
		if _, err := dir.onlyWeights(); err != nil {
			return nil, err
		}
	}
	c, err := parseConfig(cmp.Or(string(text), `{"model_type": "`+cifarResNet+`"}`))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	kind := c.text("model_type", "")
	read, ok := families[kind]
	if !ok {
		return nil, fmt.Errorf("%s: model_type is %q, want one of %s", configFile, kind, strings.Join(Families(), ", "))
	}
	p, err := read(c, dir)
	if err != nil && text == nil {
		return nil, fmt.Errorf("there is no %s, and as a %s %w", configFile, cifarResNet, err)
	}
	if err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	m := &Model{Family: kind, Backbone: p.backbone, Head: p.head, Classes: p.classes, Fit: p.fit}
	if err := m.Backbone.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	if err := m.readWeights(dir, p); err != nil {
		return nil, err
	}
	if p.text != nil {
		if err := m.readTokenizer(dir, p.text); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readWeights fills the network with the checkpoint's tensors, all of them and nothing else.
func (m *Model) readWeights(dir *folder, p *plan) error {
	source, err := p.source, error(nil)
	if source == nil {
		if source, err = dir.tensors(); err != nil {
			return err
		}
	}
	if m.Weights, m.Unused, err = p.place(source); err != nil {
		return err
	}
	b := bundle.Bundle{Backbone: m.Backbone, Head: m.Head}
	params, err := b.Params()
	if err != nil {
		return err
	}
	if err := layer.CheckWeights(m.Weights, params); err != nil {
		return err
	}
	if f, ok := m.Backbone.(backbone.Folder); ok {
		m.Backbone, m.Weights, err = f.Fold(m.Weights)
	}
	return err
}

// Bundle makes a bundle of the network, by the program and version by. Without a head it answers nothing until it has
// been trained with one.
func (m *Model) Bundle(name, by string) *bundle.Bundle {
	return &bundle.Bundle{Name: name, CreatedBy: by, Backbone: m.Backbone, Head: m.Head, Weights: m.Weights, Classes: m.Classes,
		Tokenizer: m.Tokenizer, MaxLength: m.MaxLength, Fit: m.Fit}
}

// folder is a checkpoint on disk.
type folder struct{ path string }

// maxText bounds a JSON or text file; the largest tokenizers have some tens of megabytes.
const maxText = 128 << 20

// read returns a file that must be there; its error names the file.
func (f *folder) read(name string) ([]byte, error) {
	info, err := os.Stat(filepath.Join(f.path, name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, pathless(err))
	}
	if info.Size() > maxText {
		return nil, fmt.Errorf("%s: has %d bytes, want at most %d", name, info.Size(), maxText)
	}
	text, err := os.ReadFile(filepath.Join(f.path, name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, pathless(err))
	}
	return text, nil
}

// readIfThere is read of a file that may be missing: nil then.
func (f *folder) readIfThere(name string) ([]byte, error) {
	text, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// pathless drops the path from an error whose wrapping names folder and file.
func pathless(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

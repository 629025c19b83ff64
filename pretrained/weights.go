package pretrained

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
)

// plan is what a family makes of a config.json.
type plan struct {
	backbone backbone.Backbone
	head     laya.Config
	classes  []string
	fit      picture.Fit                // of a network that reads images
	text     *text                      // nil unless the network reads text
	source   *source                    // nil unless the family has read it, to learn sizes
	given    map[string]*tensors.Tensor // weights of ours that no checkpoint holds
	// prefix stands before the names of the backbone's tensors in checkpoints with a head, and is left out in others.
	prefix  string
	moves   []move
	surplus []string // names of tensors that the network does not need; one that ends in a dot stands for all that begin so
}

// move takes one tensor of the checkpoint to one weight of ours.
type move struct {
	to, from string
	how      reshape // nil: as it is
}

// reshape makes a weight of ours out of a tensor of a checkpoint.
type reshape func(t *tensors.Tensor) (*tensors.Tensor, error)

// affine moves a dense layer, whose kernel PyTorch keeps as [out, in].
func affine(to, from string) []move {
	return []move{{to + ".kernel", from + ".weight", transpose}, {to + ".bias", from + ".bias", nil}}
}

// norm moves a layer norm.
func norm(to, from string) []move {
	return []move{{to + ".gain", from + ".weight", nil}, {to + ".bias", from + ".bias", nil}}
}

// source is the tensors of a checkpoint.
type source struct {
	weights layer.Weights
	// other are the names of tensors that hold no floating-point numbers that can be read, with their type.
	other map[string]string
}

// place renames and reshapes the tensors of a checkpoint. It refuses a tensor that is missing or has no place, all of
// them named in the error, and returns the names of those that are known to be surplus.
func (p *plan) place(s *source) (weights layer.Weights, unused []string, err error) {
	left := map[string]string{} // names by what is left of them without the prefix
	prefixed := p.prefix != "" && slices.ContainsFunc(sortedKeys(s.weights), func(name string) bool { return strings.HasPrefix(name, p.prefix) })
	for _, name := range append(sortedKeys(s.weights), sortedKeys(s.other)...) {
		bare := name
		if prefixed {
			bare = strings.TrimPrefix(name, p.prefix)
		}
		if other, taken := left[bare]; taken {
			return nil, nil, fmt.Errorf("tensors %s and %s are the same weight", other, name)
		}
		left[bare] = name
	}
	weights = maps.Clone(layer.Weights(p.given))
	if weights == nil {
		weights = layer.Weights{}
	}
	var missing []string
	for _, m := range p.moves {
		name, ok := left[m.from]
		if !ok {
			missing = append(missing, m.from)
			continue
		}
		delete(left, m.from)
		t, readable := s.weights[name]
		if !readable {
			return nil, nil, fmt.Errorf("tensor %s has dtype %s, want F32, F16 or BF16", name, s.other[name])
		}
		if m.how != nil {
			if t, err = m.how(t); err != nil {
				return nil, nil, fmt.Errorf("tensor %s: %w", name, err)
			}
		}
		weights[m.to] = t
	}
	var unknown []string
	for bare, name := range left {
		if p.isSurplus(bare) {
			unused = append(unused, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unused)
	slices.Sort(unknown)
	if len(missing) > 0 {
		err = fmt.Errorf("the checkpoint lacks %s", some(missing))
	}
	if len(unknown) > 0 {
		err = errors.Join(err, fmt.Errorf("the checkpoint holds %s, which the network has no place for", some(unknown)))
	}
	return weights, unused, err
}

// isSurplus reports whether a tensor is one of those that checkpoints of the family carry without the network's needing
// them. A pattern that ends in a dot stands for all names that begin so.
func (p *plan) isSurplus(name string) bool {
	return slices.ContainsFunc(p.surplus, func(pattern string) bool {
		return name == pattern || strings.HasSuffix(pattern, ".") && strings.HasPrefix(name, pattern)
	})
}

// some lists names, the first of them if there are many.
func some(names []string) string {
	const most = 12
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// The files that weights may lie in.
const (
	wholeFile = "model.safetensors"
	indexFile = "model.safetensors.index.json"
)

// tensors reads the weights, whole or in shards.
func (f *folder) tensors() (*source, error) {
	s := &source{layer.Weights{}, map[string]string{}}
	index, err := f.readIfThere(indexFile)
	if err != nil {
		return nil, err
	}
	if index != nil {
		return s, f.readShards(s, index)
	}
	name := wholeFile
	if _, fault := os.Stat(filepath.Join(f.path, configFile)); errors.Is(fault, fs.ErrNotExist) {
		if name, err = f.onlyWeights(); err != nil {
			return nil, err
		}
	}
	err = f.readTensors(s, name, nil)
	if errors.Is(err, fs.ErrNotExist) {
		if _, fault := os.Stat(filepath.Join(f.path, "pytorch_model.bin")); fault == nil {
			return nil, errors.New("pytorch_model.bin is a pickle, which is not read: save the model anew with safe_serialization=True")
		}
	}
	return s, err
}

// readShards reads the files that the index names; together they must hold what it lists, each what it lists for it.
func (f *folder) readShards(s *source, index []byte) error {
	var list struct {
		Files map[string]string `json:"weight_map"` // tensor to file
	}
	if err := json.Unmarshal(index, &list); err != nil {
		return fmt.Errorf("%s: %w", indexFile, err)
	}
	if len(list.Files) == 0 {
		return fmt.Errorf("%s: weight_map is empty", indexFile)
	}
	shards := map[string]bool{}
	for _, file := range list.Files {
		shards[file] = true
	}
	for _, file := range sortedKeys(shards) {
		if !filepath.IsLocal(file) || strings.ContainsAny(file, `/\`) {
			return fmt.Errorf("%s: weight_map names the file %q, want one in this folder", indexFile, file)
		}
		if err := f.readTensors(s, file, list.Files); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(list.Files) {
		if s.weights[name] == nil && s.other[name] == "" {
			return fmt.Errorf("%s: tensor %s is not in %s", indexFile, name, list.Files[name])
		}
	}
	return nil
}

// readTensors adds the tensors of one file; where says in which file each must be, unless it is nil.
func (f *folder) readTensors(s *source, name string, where map[string]string) error {
	file, err := os.Open(filepath.Join(f.path, name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, pathless(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", name, pathless(err))
	}
	weights, err := safetensors.Select(bufio.NewReaderSize(file, 1<<20), info.Size(), func(tensor, dtype string) (bool, error) {
		if where != nil && where[tensor] != name {
			return false, fmt.Errorf("%s has it in %q", indexFile, where[tensor])
		}
		switch safetensors.Precision(dtype) {
		case safetensors.Float32, safetensors.Float16, safetensors.BFloat16:
			return true, nil
		}
		s.other[tensor] = dtype
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for tensor, t := range weights {
		s.weights[tensor] = t
	}
	return nil
}

// transpose swaps the axes of a matrix.
func transpose(t *tensors.Tensor) (*tensors.Tensor, error) { return axes(1, 0)(t) }

// axes returns a function that orders the axes of a tensor anew: axis i of the result is axis order[i] of the original.
func axes(order ...int) reshape {
	return func(t *tensors.Tensor) (*tensors.Tensor, error) {
		from := t.Shape().Dimensions
		if len(from) != len(order) {
			return nil, fmt.Errorf("shape is %v, want %d axes", from, len(order))
		}
		dims, steps := make([]int, len(order)), make([]int, len(order))
		step := make([]int, len(order)) // of the original's axes in its values
		for i, n := len(from)-1, 1; i >= 0; i-- {
			step[i] = n
			n *= from[i]
		}
		for i, axis := range order {
			dims[i], steps[i] = from[axis], step[axis]
		}
		out := make([]float32, t.Shape().Size())
		err := tensors.ConstFlatData(t, func(in []float32) {
			at := make([]int, len(order)) // the place in the result, and
			source := 0                   // where its value stands in the original
			for i := range out {
				out[i] = in[source]
				for axis := len(at) - 1; axis >= 0; axis-- {
					at[axis]++
					source += steps[axis]
					if at[axis] < dims[axis] {
						break
					}
					source -= dims[axis] * steps[axis]
					at[axis] = 0
				}
			}
		})
		return tensors.FromFlatDataAndDimensions(out, dims...), err
	}
}

// dropRows returns a function that leaves out the first rows of a matrix.
func dropRows(n int) reshape {
	return func(t *tensors.Tensor) (*tensors.Tensor, error) {
		dims := t.Shape().Dimensions
		if len(dims) != 2 || dims[0] <= n {
			return nil, fmt.Errorf("shape is %v, want a matrix of more than %d rows", dims, n)
		}
		values, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(values[n*dims[1]:], dims[0]-n, dims[1]), nil
	}
}

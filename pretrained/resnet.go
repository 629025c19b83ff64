package pretrained

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/laya"
)

// cifarResNet is the model_type of [resNet]. The family has no config.json of its own: without one its sizes follow from the
// tensors, and its classes are numbered.
const cifarResNet = "cifar_resnet"

// resNet reads a residual network for CIFAR (He et al. 2016, section 4.2, shortcut A) under the names that PyTorch code gives
// its tensors: conv1, bn1, layer<stage>.<block>.conv1, bn1, conv2, bn2, and linear. It classifies the average over the last
// state, 8×8 pixels. Our tap pools to 4×4 first, a mix of average and maximum; with the average alone and a sixteenth of
// the classifier's weights in each place, the sum is the same.
func resNet(c *config, dir *folder) (*plan, error) {
	s, err := dir.tensors()
	if err != nil {
		return nil, err
	}
	b := &backbone.ResNet{Inputs: []int{32, 32, 3}, StemStride: 1, Shortcut: "A", Norm: "batch", Epsilon: 1e-5}
	c.only("image_size", "32")
	p := &plan{backbone: b, source: s, moves: convMoves("stem.conv", "conv1", "bn1")}
	p.surplus = append(p.surplus, "bn1.num_batches_tracked")
	for stage := 1; ; stage++ {
		blocks, channels := 0, 0
		for ; ; blocks++ {
			from := fmt.Sprintf("layer%d.%d", stage, blocks)
			kernel := s.weights[from+".conv1.weight"]
			if kernel == nil {
				break
			}
			if kernel.Rank() != 4 {
				return nil, fmt.Errorf("tensor %s.conv1.weight: shape is %v, want 4 axes", from, kernel.Shape().Dimensions)
			}
			channels = kernel.Shape().Dim(0)
			to := backbone.BlockName(b.Depth() + blocks + 1)
			for _, n := range []string{"1", "2"} {
				p.moves = append(p.moves, convMoves(to+".conv"+n, from+".conv"+n, from+".bn"+n)...)
				p.surplus = append(p.surplus, from+".bn"+n+".num_batches_tracked")
			}
		}
		if blocks == 0 {
			break
		}
		b.Stages = append(b.Stages, backbone.Stage{Channels: channels, Blocks: blocks})
	}
	if len(b.Stages) != 3 {
		return nil, fmt.Errorf("the checkpoint has %d stages of blocks (layer1.0.conv1.weight, …), want 3", len(b.Stages))
	}
	return p, p.classifyAverage(c, dir, b)
}

// classifyAverage adds the head and the weights that stand in no checkpoint: moments of the pixels, and the mix of the tap.
func (p *plan) classifyAverage(c *config, dir *folder, b *backbone.ResNet) error {
	linear := p.source.weights["linear.weight"]
	if linear == nil || linear.Rank() != 2 {
		return errors.New("the checkpoint has no matrix linear.weight")
	}
	p.classes = c.classesOf(linear.Shape().Dim(0))
	depth := b.Depth()
	p.head = laya.Config{Kind: laya.LastLayer, Reads: []int{depth}, Classes: len(p.classes)}
	p.moves = append(p.moves, move{laya.SharedName + ".classifier.kernel", "linear.weight", spread(16)},
		move{laya.SharedName + ".classifier.bias", "linear.bias", nil})
	mean, std, err := dir.pixels([]float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}) // those of ImageNet, as its training code has them
	if err != nil {
		return err
	}
	p.given = map[string]*tensors.Tensor{
		backbone.TapName(depth) + ".mix": tensors.FromValue(float32(1)), "stem.mean": tensors.FromValue(mean), "stem.std": tensors.FromValue(std),
	}
	return nil
}

// convMoves moves a convolution, whose kernel PyTorch keeps as [out, in, rows, columns], and the batch norm behind it.
func convMoves(to, conv, bn string) []move {
	return []move{
		{to + ".kernel", conv + ".weight", axes(2, 3, 1, 0)}, {to + ".gain", bn + ".weight", nil}, {to + ".shift", bn + ".bias", nil},
		{to + ".mean", bn + ".running_mean", nil}, {to + ".variance", bn + ".running_var", nil},
	}
}

// spread makes the kernel [places * in, out] of a classifier [out, in] of the average over some places.
func spread(places int) reshape {
	return func(t *tensors.Tensor) (*tensors.Tensor, error) {
		kernel, err := transpose(t)
		if err != nil {
			return nil, err
		}
		values, err := tensors.CopyFlatData[float32](kernel)
		if err != nil {
			return nil, err
		}
		for i := range values {
			values[i] /= float32(places)
		}
		dims := kernel.Shape().Dimensions
		return tensors.FromFlatDataAndDimensions(slices.Repeat(values, places), places*dims[0], dims[1]), nil
	}
}

// preprocessor is what preprocessor_config.json says about the values of pixels.
type preprocessor struct {
	Rescale   *bool     `json:"do_rescale"`
	Factor    *float64  `json:"rescale_factor"`
	Normalise *bool     `json:"do_normalize"`
	Mean      []float32 `json:"image_mean"`
	Std       []float32 `json:"image_std"`
}

// pixels are the mean and deviation of each channel, for pixels in [0, 1], by which the network was trained; the given ones
// where the folder does not say. nil makes the file a must.
func (f *folder) pixels(mean, std []float32) ([]float32, []float32, error) {
	p, err := readJSON[*preprocessor](f, preprocessorFile)
	if err != nil {
		return nil, nil, err
	}
	off := func(b *bool) bool { return b != nil && !*b }
	switch {
	case p == nil && mean == nil:
		return nil, nil, fmt.Errorf("%s: %w, and mean and deviation of the pixels stand nowhere else", preprocessorFile, fs.ErrNotExist)
	case p == nil:
		return mean, std, nil
	case off(p.Rescale) || p.Factor != nil && math.Abs(*p.Factor*255-1) > 1e-6:
		return nil, nil, fmt.Errorf("%s: do_rescale and rescale_factor make pixels other than 0 to 1, want do_rescale by 1/255", preprocessorFile)
	case off(p.Normalise):
		return []float32{0, 0, 0}, []float32{1, 1, 1}, nil
	case len(p.Mean) != 3 || len(p.Std) != 3 || !(slices.Min(p.Std) > 0):
		return nil, nil, fmt.Errorf("%s: image_mean is %v and image_std %v, want three numbers each, those of image_std > 0", preprocessorFile, p.Mean, p.Std)
	}
	return p.Mean, p.Std, nil
}

// onlyWeights is the one file of weights in a folder, whatever its name.
func (f *folder) onlyWeights() (string, error) {
	found, err := filepath.Glob(filepath.Join(f.path, "*.safetensors"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there is no %s, and of files *.safetensors there are %d, want one", configFile, len(found))
	}
	return filepath.Base(found[0]), nil
}

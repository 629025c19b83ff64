package pretrained

import (
	"errors"
	"fmt"
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
	p.given = map[string]*tensors.Tensor{backbone.TapName(depth) + ".mix": tensors.FromValue(float32(1))}
	mean, std := []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225} // those of ImageNet, as its training code has them
	return p.readPixels(dir, b.Inputs, mean, std)
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

// onlyWeights is the one file of weights in a folder, whatever its name.
func (f *folder) onlyWeights() (string, error) {
	found, err := filepath.Glob(filepath.Join(f.path, "*.safetensors"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("there is no %s, and of files *.safetensors there are %d, want one", configFile, len(found))
	}
	return filepath.Base(found[0]), nil
}

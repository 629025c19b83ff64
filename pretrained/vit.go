package pretrained

import (
	"fmt"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
)

// vit reads the vision transformer (Dosovitskiy et al. 2021), and DeiT without distillation, which is of its shape.
func vit(c *config, dir *folder) (*plan, error) {
	size, patch := c.sides("image_size"), c.sides("patch_size")
	if patch[0] != patch[1] {
		c.fault("patch_size is %v, want a square", patch)
	}
	v := &backbone.ViT{
		Inputs: []int{size[0], size[1], 3}, Patch: patch[0], Layers: c.layers("num_hidden_layers"), Dim: c.whole("hidden_size"),
		Heads: c.whole("num_attention_heads"), Hidden: c.whole("intermediate_size"), Activation: c.activation("hidden_act"),
		Epsilon: c.number("layer_norm_eps", 1e-12), Dropout: c.number("hidden_dropout_prob", 0), Pool: "cls",
	}
	c.only("num_channels", "1", "3")
	c.get("num_channels", "a whole number", &v.Inputs[2])
	p := &plan{backbone: v, prefix: "vit.", moves: vitMoves(v), surplus: []string{
		"pooler.", "embeddings.mask_token", "decoder.", // the last two of masked images
	}}
	if c.architecture("ViTModel", "ViTForImageClassification", "ViTForMaskedImageModeling") == "ViTForImageClassification" {
		p.moves = append(p.moves, norm(backbone.TapName(v.Layers)+".norm", "layernorm")...)
		p.classify(c, v.Layers, "", "classifier")
	} else {
		p.surplus = append(p.surplus, "layernorm.")
	}
	bias := true
	if c.get("qkv_bias", "true or false", &bias); !bias {
		var err error
		if p.source, err = dir.tensors(); err == nil {
			err = p.source.addZeroBiases()
		}
		if err != nil {
			return nil, err
		}
	}
	if len(c.faults) > 0 || v.Validate() != nil {
		return p, nil // the caller says so; sizes may be anything
	}
	return p, p.readPixels(dir, v.Inputs, nil, nil)
}

func vitMoves(v *backbone.ViT) []move {
	const patch = "embeddings.patch_embeddings.projection"
	moves := []move{
		{"stem.class", "embeddings.cls_token", merge(3)}, {"stem.position", "embeddings.position_embeddings", merge(2)},
		{"stem.patch.kernel", patch + ".weight", patchKernel}, {"stem.patch.bias", patch + ".bias", nil},
	}
	for k := 1; k <= v.Layers; k++ {
		to, from := backbone.BlockName(k), fmt.Sprintf("encoder.layer.%d", k-1)
		for _, name := range []string{"query", "key", "value"} {
			moves = append(moves, affine(to+".attention."+name, from+".attention.attention."+name)...)
		}
		moves = append(moves, affine(to+".attention.output", from+".attention.output.dense")...)
		moves = append(moves, norm(to+".attention.norm", from+".layernorm_before")...)
		moves = append(moves, affine(to+".ffn.up", from+".intermediate.dense")...)
		moves = append(moves, affine(to+".ffn.down", from+".output.dense")...)
		moves = append(moves, norm(to+".ffn.norm", from+".layernorm_after")...)
	}
	return moves
}

// patchKernel makes the matrix [rows * columns * channels, out] of a convolution [out, channels, rows, columns].
func patchKernel(t *tensors.Tensor) (*tensors.Tensor, error) {
	t, err := axes(2, 3, 1, 0)(t)
	if err != nil {
		return nil, err
	}
	return merge(3)(t)
}

// merge returns a function that makes one axis of the first n.
func merge(n int) reshape {
	return func(t *tensors.Tensor) (*tensors.Tensor, error) {
		dims := t.Shape().Dimensions
		if len(dims) < n {
			return nil, fmt.Errorf("shape is %v, want at least %d axes", dims, n)
		}
		merged := 1
		for _, d := range dims[:n] {
			merged *= d
		}
		values, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, err
		}
		return tensors.FromFlatDataAndDimensions(values, append([]int{merged}, dims[n:]...)...), nil
	}
}

// addZeroBiases gives query, key and value, trained without, biases of zero.
func (s *source) addZeroBiases() error {
	for _, name := range sortedKeys(s.weights) {
		dense, isKernel := strings.CutSuffix(name, ".weight")
		place := strings.LastIndex(dense, ".attention.attention.")
		if !isKernel || place < 0 || s.weights[name].Rank() != 2 {
			continue
		}
		if s.weights[dense+".bias"] != nil {
			return fmt.Errorf("%s: qkv_bias is false, but the checkpoint holds %s.bias", configFile, dense)
		}
		out := s.weights[name].Shape().Dim(0)
		s.weights[dense+".bias"] = tensors.FromFlatDataAndDimensions(make([]float32, out), out)
	}
	return nil
}

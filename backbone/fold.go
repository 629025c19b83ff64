package backbone

import (
	"fmt"
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Fold implements [Folder]: norm(conv(x)) = gain (kernel * x - mean) / sqrt(variance + eps) + shift is one convolution
// with a bias.
func (r *ResNet) Fold(weights layer.Weights) (Backbone, layer.Weights, error) {
	folded := *r
	folded.Norm = "folded"
	if r.Norm == "folded" {
		return &folded, weights, nil
	}
	out := layer.Weights{}
	for name, t := range weights {
		out[name] = t
	}
	for _, p := range layer.ParamsOf(Ops(r)...) {
		conv, isKernel := strings.CutSuffix(p.Name, ".kernel")
		if !isKernel {
			continue
		}
		if err := foldConv(out, conv, r.Epsilon); err != nil {
			return nil, nil, err
		}
	}
	return &folded, out, nil
}

func foldConv(weights layer.Weights, conv string, epsilon float64) error {
	values := map[string][]float32{}
	for _, name := range []string{"kernel", "gain", "shift", "mean", "variance"} {
		t, ok := weights[conv+"."+name]
		if !ok {
			return fmt.Errorf("backbone: resnet: weight %q is missing", conv+"."+name)
		}
		v, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return fmt.Errorf("backbone: resnet: weight %q: %w", conv+"."+name, err)
		}
		values[name] = v
	}
	channels := len(values["gain"])
	bias := make([]float32, channels)
	for c := range channels {
		scale := float64(values["gain"][c]) / math.Sqrt(float64(values["variance"][c])+epsilon)
		bias[c] = float32(float64(values["shift"][c]) - scale*float64(values["mean"][c]))
		for i := c; i < len(values["kernel"]); i += channels {
			values["kernel"][i] = float32(scale * float64(values["kernel"][i]))
		}
	}
	dims := weights[conv+".kernel"].Shape().Dimensions
	weights[conv+".kernel"] = tensors.FromFlatDataAndDimensions(values["kernel"], dims...)
	weights[conv+".bias"] = tensors.FromFlatDataAndDimensions(bias, channels)
	for _, name := range []string{"gain", "shift", "mean", "variance"} {
		delete(weights, conv+"."+name)
	}
	return nil
}

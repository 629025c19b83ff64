package pretrained_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
	"github.com/layarun/layarun/pretrained"
)

// Every hidden state and the logits are those of transformers, from the files of the pictures on.
func TestViTEqualsTransformers(t *testing.T) {
	for _, name := range []string{"vit", "deit"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			m, want := open(t, dir), expected(t, dir)
			dims := m.Backbone.Input().Dims
			var values []float32
			pictures := []string{"large.png", "tall.png", "grey.png"} // PICTURES of make.py
			for _, picture := range pictures {
				content, err := os.ReadFile(filepath.Join("..", "picture", "testdata", picture))
				if err != nil {
					t.Fatal(err)
				}
				sample, err := m.Fit.Decode(content, dims)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, sample...)
			}
			in := tensors.FromFlatDataAndDimensions(values, append([]int{len(pictures)}, dims...)...)
			states, logits := run(t, m, in)
			for k, state := range states {
				same(t, fmt.Sprintf("state %d", k), state, want[fmt.Sprintf("state.%d", k)], nil)
			}
			if (want["logits"] != nil) != (m.Head.Kind != "") {
				t.Fatalf("the head is %+v", m.Head)
			}
			if want["logits"] != nil {
				same(t, "logits", logits, want["logits"], nil)
			}
			if err := m.Bundle("x", "test").Save(filepath.Join(t.TempDir(), "bundle")); err != nil {
				t.Error(err)
			}
		})
	}
}

// What the two checkpoints say besides the weights.
func TestViTModels(t *testing.T) {
	m := open(t, "testdata/vit")
	want := &backbone.ViT{Inputs: []int{16, 24, 3}, Patch: 8, Layers: 2, Dim: 12, Heads: 3, Hidden: 20, Activation: "gelu", Epsilon: 1e-12, Pool: "cls"}
	if !reflect.DeepEqual(m.Backbone, want) || m.Family != "vit" || !slices.Equal(m.Classes, []string{"no", "perhaps", "yes"}) || !m.Fit.IsZero() || m.Unused != nil {
		t.Errorf("vit: got %s %+v, classes %q, fit %+v, unused %q", m.Family, m.Backbone, m.Classes, m.Fit, m.Unused)
	}
	m = open(t, "testdata/deit")
	want.Activation, want.Epsilon = "gelu_tanh", 1e-6
	fit := picture.Fit{Size: []int{19, 28}, Filter: "bicubic"}
	unused := []string{"layernorm.bias", "layernorm.weight", "pooler.dense.bias", "pooler.dense.weight"}
	if !reflect.DeepEqual(m.Backbone, want) || m.Classes != nil || !reflect.DeepEqual(m.Fit, fit) || !slices.Equal(m.Unused, unused) {
		t.Errorf("deit: got %+v, classes %q, fit %+v, unused %q", m.Backbone, m.Classes, m.Fit, m.Unused)
	}
	if b := m.Bundle("x", "y"); !reflect.DeepEqual(b.Fit, fit) {
		t.Errorf("the bundle's fit is %+v, want %+v", b.Fit, fit)
	}
}

// Sizes come in several forms, and a processor has its own answers where the file is silent.
func TestFits(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want picture.Fit
	}{
		"nothing":     {`{}`, picture.Fit{}},
		"number":      {`{"size": 24, "feature_extractor_type": "DeiTFeatureExtractor", "crop_size": {"height": 16, "width": 24}}`, picture.Fit{Size: []int{24, 24}, Filter: "bicubic"}},
		"edge":        {`{"size": 24, "image_processor_type": "CLIPImageProcessor"}`, picture.Fit{ShortestEdge: 24, Filter: "bicubic"}},
		"told square": {`{"size": 24, "default_to_square": true, "image_processor_type": "BitImageProcessorFast", "resample": 2}`, picture.Fit{Size: []int{24, 24}}},
		"named edge":  {`{"size": {"shortest_edge": 30}, "image_processor_type": "BitImageProcessor"}`, picture.Fit{ShortestEdge: 30, Filter: "bicubic"}},
		"same size":   {`{"size": {"height": 16, "width": 24}, "image_processor_type": "ViTImageProcessorFast", "resample": 3, "crop_size": null, "device": null}`, picture.Fit{Filter: "bicubic"}},
	} {
		t.Run(name, func(t *testing.T) {
			moments := strings.Replace(c.text, "{", `{"image_mean": [0, 0, 0], "image_std": [1, 1, 1],`, 1)
			m := open(t, spoilt(t, "vit", map[string]func([]byte) []byte{"preprocessor_config.json": replace(strings.Replace(moments, ",}", "}", 1))}))
			if !reflect.DeepEqual(m.Fit, c.want) {
				t.Errorf("fit is %+v, want %+v", m.Fit, c.want)
			}
		})
	}
	m := open(t, spoilt(t, "vit", map[string]func([]byte) []byte{"preprocessor_config.json": set("do_normalize", "false")}))
	if mean := m.Weights["stem.mean"].Value(); !reflect.DeepEqual(mean, []float32{0, 0, 0}) {
		t.Errorf("the mean is %v without normalisation, want zeros", mean)
	}
}

// What would make other pixels or another network than the checkpoint's is refused, with file and field or tensor.
func TestViTRefuses(t *testing.T) {
	in := func(file, field, value string) map[string]func([]byte) []byte {
		return map[string]func([]byte) []byte{file: set(field, value)}
	}
	config := func(field, value string) map[string]func([]byte) []byte { return in("config.json", field, value) }
	pixels := func(field, value string) map[string]func([]byte) []byte {
		return in("preprocessor_config.json", field, value)
	}
	for want, c := range map[string]struct {
		from   string
		change map[string]func([]byte) []byte
	}{
		`config.json: architectures is ["ViTMAEModel"], want one of ViTModel`: {"vit", config("architectures", `["ViTMAEModel"]`)},
		"config.json: image_size is [16,24,3], want a whole number or two":    {"vit", config("image_size", "[16, 24, 3]")},
		`config.json: image_size is "16", want a whole number`:                {"vit", config("image_size", `"16"`)},
		"config.json: image_size is missing":                                  {"vit", config("image_size", "")},
		"config.json: patch_size is [8 4], want a square":                     {"vit", config("patch_size", "[8, 4]")},
		"want height and width to be multiples of patch, 7":                   {"vit", config("patch_size", "7")},
		"patch is 0, want at least 1":                                         {"vit", config("patch_size", "0")},
		"config.json: num_channels is 4, want 1 or 3":                         {"vit", config("num_channels", "4")},
		`config.json: hidden_act is "quick_gelu", want gelu`:                  {"vit", config("hidden_act", `"quick_gelu"`)},
		"config.json: num_hidden_layers is 1000000, want at most 4096":        {"vit", config("num_hidden_layers", "1000000")},
		"config.json: window_size is 7, a field that is not known":            {"vit", config("window_size", "7")},
		`config.json: qkv_bias is 1, want true or false`:                      {"vit", config("qkv_bias", "1")},
		"qkv_bias is false, but the checkpoint holds vit.encoder.layer.0":     {"vit", config("qkv_bias", "false")},
		"the checkpoint lacks encoder.layer.0.attention.attention.query.bias": {"deit", config("qkv_bias", "true")},
		`weight "stem.position" has shape`: {"vit", map[string]func([]byte) []byte{
			"config.json": set("image_size", "[16, 32]"), "preprocessor_config.json": set("size", "")}},
		"tensor vit.embeddings.cls_token: shape is [1], want at least 3 axes": {"vit", map[string]func([]byte) []byte{"model.safetensors": tensorsWith(func(w layer.Weights) { w["vit.embeddings.cls_token"] = tensors.FromValue([]float32{1}) })}},

		"preprocessor_config.json: file does not exist, and mean and deviation": {"vit", map[string]func([]byte) []byte{"preprocessor_config.json": remove}},
		"preprocessor_config.json: unexpected end":                              {"vit", map[string]func([]byte) []byte{"preprocessor_config.json": replace("{")}},
		`image_processor_type is "BeitImageProcessor", want the ImageProcessor`: {"vit", pixels("image_processor_type", `"BeitImageProcessor"`)},
		`image_processor_type is "ViT", want the ImageProcessor of Bit, CLIP`:   {"vit", pixels("image_processor_type", `"ViT"`)},
		"do_resize is false, want true":                                         {"vit", pixels("do_resize", "false")},
		"do_rescale is false, want true":                                        {"vit", pixels("do_rescale", "false")},
		"rescale_factor is 1, want 1/255":                                       {"vit", pixels("rescale_factor", "1")},
		"resample is 1, want 2, bilinear, or 3, bicubic":                        {"vit", pixels("resample", "1")},
		"image_mean is [0.5] and image_std [0.5 0.5 0.5], want 3 numbers each":  {"vit", pixels("image_mean", "[0.5]")},
		"image_mean is 0.5, want a list of numbers":                             {"vit", pixels("image_mean", "0.5")},
		"image_std [1 0 1], want 3 numbers each":                                {"vit", pixels("image_std", "[1, 0, 1]")},
		`size is {"longest_edge":24}, want height and width, or shortest_edge`:  {"vit", pixels("size", `{"longest_edge": 24}`)},
		`size is "large", want a whole number or an object`:                     {"vit", pixels("size", `"large"`)},
		`size is {"height":20,"width":24}, want [16 24], the image_size of con`: {"vit", pixels("size", `{"height": 20, "width": 24}`)},
		`size is {"shortest_edge":24}, want [16 24]`:                            {"vit", pixels("size", `{"shortest_edge": 24}`)},
		"do_center_crop is true, want false":                                    {"vit", pixels("do_center_crop", "true")},
		"do_reduce_labels is true, a field that is not known":                   {"vit", pixels("do_reduce_labels", "true")},
		`crop_size is 20, want [16 24], the image_size of config.json`:          {"deit", pixels("crop_size", "20")},
		`size is {"height":19,"width":28}, want [16 24]`:                        {"deit", pixels("do_center_crop", "false")},
		"preprocessor_config.json: picture: size is [12 28], want [16 24]":      {"deit", pixels("size", `{"height": 12, "width": 28}`)},
	} {
		dir := spoilt(t, c.from, c.change)
		if _, err := pretrained.Open(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "pretrained: "+dir+": ") {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

package pretrained_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/pretrained"
)

// spoilt returns a copy of a checkpoint of testdata in which some files were changed; a change to nil removes the file.
func spoilt(t *testing.T, name string, change map[string]func([]byte) []byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	for file, edit := range change {
		path := filepath.Join(dir, file)
		before, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		after := edit(before)
		if after == nil {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, after, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// set changes one field of a JSON file; the value is JSON, "" removes the field.
func set(field, value string) func([]byte) []byte {
	return func(text []byte) []byte {
		fields := map[string]json.RawMessage{}
		if text != nil {
			if err := json.Unmarshal(text, &fields); err != nil {
				panic(err)
			}
		}
		fields[field] = json.RawMessage(value)
		if value == "" {
			delete(fields, field)
		}
		out, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		return out
	}
}

// tensorsWith changes the tensors of a safetensors file.
func tensorsWith(change func(layer.Weights)) func([]byte) []byte {
	return func(data []byte) []byte {
		weights, err := safetensors.Read(strings.NewReader(string(data)), int64(len(data)))
		if err != nil {
			panic(err)
		}
		change(weights)
		var out strings.Builder
		if err := safetensors.Write(&out, weights); err != nil {
			panic(err)
		}
		return []byte(out.String())
	}
}

// renamed gives the convnet a config.json, with which its weights must have the usual name.
func renamed(config string) map[string]func([]byte) []byte {
	weights, err := os.ReadFile("testdata/resnet/weights.safetensors")
	if err != nil {
		panic(err)
	}
	return map[string]func([]byte) []byte{"config.json": replace(config), "model.safetensors": replace(string(weights))}
}

func remove([]byte) []byte { return nil }

func replace(text string) func([]byte) []byte { return func([]byte) []byte { return []byte(text) } }

// Whatever would make another network than the checkpoint's is refused, with file and field or tensor.
func TestOpenRefuses(t *testing.T) {
	one := tensors.FromValue([]float32{1})
	in := func(file string, edit func([]byte) []byte) map[string]func([]byte) []byte {
		return map[string]func([]byte) []byte{file: edit}
	}
	config := func(field, value string) map[string]func([]byte) []byte { return in("config.json", set(field, value)) }
	weights := func(change func(layer.Weights)) map[string]func([]byte) []byte {
		return in("model.safetensors", tensorsWith(change))
	}
	for name, c := range map[string]struct {
		from   string
		change map[string]func([]byte) []byte
		want   []string
	}{
		"no config": {"bert", in("config.json", remove), []string{"there is no config.json, and of files *.safetensors there are 2, want one"}},
		"no config, other names": {"bert", map[string]func([]byte) []byte{"config.json": remove, "expected.safetensors": remove},
			[]string{"there is no config.json, and as a cifar_resnet the checkpoint has 0 stages of blocks"}},
		"rescaled pixels": {"resnet", in("preprocessor_config.json", set("rescale_factor", "1")), []string{"preprocessor_config.json: rescale_factor is 1, want 1/255"}},
		"no deviation":    {"resnet", in("preprocessor_config.json", set("image_mean", "[0, 0, 0]")), []string{"image_std [], want 3 numbers each"}},
		"other size":      {"resnet", renamed(`{"model_type": "cifar_resnet", "image_size": 64}`), []string{"config.json: image_size is 64, want 32"}},
		"two classes": {"resnet", renamed(`{"model_type": "cifar_resnet", "id2label": {"0": "a", "1": "b"}}`),
			[]string{`weight "head.classifier.kernel" has shape`, "[96 2]"}},
		"no JSON":         {"bert", in("config.json", replace("{")), []string{"config.json: unexpected end"}},
		"other family":    {"bert", config("model_type", `"electra"`), []string{`model_type is "electra", want one of bert, cifar_resnet, distilbert, roberta, vit`}},
		"other class":     {"bert", config("architectures", `["BertForTokenClassification"]`), []string{`architectures is ["BertForTokenClassification"], want one of BertModel,`}},
		"activation":      {"bert", config("hidden_act", `"relu"`), []string{`hidden_act is "relu", want gelu, gelu_new or gelu_pytorch_tanh`}},
		"positions":       {"bert", config("position_embedding_type", `"relative_key"`), []string{`position_embedding_type is "relative_key", want "absolute"`}},
		"decoder":         {"bert", config("is_decoder", "true"), []string{"is_decoder is true, want false"}},
		"several labels":  {"bert", config("problem_type", `"multi_label_classification"`), []string{`problem_type is "multi_label_classification", want "single_label`}},
		"regression":      {"bert", config("id2label", `{"0": "score"}`), []string{"id2label has 1 classes, want at least 2"}},
		"gap in labels":   {"bert", config("id2label", `{"0": "a", "2": "b"}`), []string{"id2label has no class 1 of 2"}},
		"unknown field":   {"bert", config("rope_theta", "10000.0"), []string{"rope_theta is 10000.0, a field that is not known"}},
		"missing size":    {"bert", config("hidden_size", ""), []string{"hidden_size is missing"}},
		"no number":       {"bert", config("hidden_size", `"12"`), []string{`hidden_size is "12", want a whole number`}},
		"heads":           {"bert", config("num_attention_heads", "5"), []string{"dim is 12, want a multiple of heads, 5"}},
		"too many layers": {"bert", config("num_hidden_layers", "1000000000"), []string{"num_hidden_layers is 1000000000, want at most 4096"}},
		"two faults":      {"bert", map[string]func([]byte) []byte{"config.json": func(b []byte) []byte { return set("is_decoder", "true")(set("hidden_size", "")(b)) }}, []string{"hidden_size", "is_decoder"}},

		"more layers":    {"bert", config("num_hidden_layers", "3"), []string{"the checkpoint lacks encoder.layer.2.attention.self.query.weight", "more"}},
		"fewer layers":   {"bert", config("num_hidden_layers", "1"), []string{"the checkpoint holds bert.encoder.layer.1.attention.output.LayerNorm.bias", "no place for"}},
		"head not named": {"bert", config("architectures", `["BertModel"]`), []string{"holds classifier.bias, classifier.weight, which"}},
		"other shape":    {"bert", config("intermediate_size", "21"), []string{`weight "block.1.ffn.up.kernel" has shape`, "[12 21]"}},
		"lost tensor":    {"bert", weights(func(w layer.Weights) { delete(w, "classifier.bias") }), []string{"the checkpoint lacks classifier.bias"}},
		"strange tensor": {"bert", weights(func(w layer.Weights) { w["bert.embeddings.extra"] = one }), []string{"holds bert.embeddings.extra, which"}},
		"twin tensors":   {"bert", weights(func(w layer.Weights) { w["embeddings.LayerNorm.bias"] = one }), []string{"are the same weight"}},
		"integers": {"bert", in("model.safetensors", func(b []byte) []byte {
			return withIntegers(tensorsWith(func(w layer.Weights) { delete(w, "classifier.bias") })(b), "classifier.bias")
		}), []string{"tensor classifier.bias has dtype I64, want F32, F16 or BF16"}},
		"vector":     {"bert", weights(func(w layer.Weights) { w["classifier.weight"] = one }), []string{"tensor classifier.weight: shape is [1], want 2 axes"}},
		"cut file":   {"bert", in("model.safetensors", func(b []byte) []byte { return b[:len(b)-1] }), []string{"model.safetensors: tensors cover 12796 bytes of data, want 12795"}},
		"no weights": {"bert", in("model.safetensors", remove), []string{"model.safetensors: no such file"}},
		"pickle": {"bert", map[string]func([]byte) []byte{"model.safetensors": remove, "pytorch_model.bin": replace("x")},
			[]string{"pytorch_model.bin is a pickle, which is not read"}},

		"shard missing": {"minilm", in("model-00002-of-00002.safetensors", remove), []string{"model-00002-of-00002.safetensors: no such file"}},
		"shard outside": {"minilm", in("model.safetensors.index.json", set("weight_map", `{"a": "../b"}`)), []string{`names the file "../b", want one in this folder`}},
		"empty index":   {"minilm", in("model.safetensors.index.json", replace(`{}`)), []string{"weight_map is empty"}},
		"wrong shard": {"minilm", in("model.safetensors.index.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), "00001-of", "00002-of", 1))
		}), []string{"embeddings.LayerNorm.bias", `model.safetensors.index.json has it in "model-00002-of-00002.safetensors"`}},
		"listed, not there": {"minilm", in("model.safetensors.index.json", func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `"weight_map": {`, `"weight_map": {"x": "model-00002-of-00002.safetensors",`, 1))
		}), []string{"tensor x is not in model-00002"}},
		"pooling": {"minilm", in("1_Pooling/config.json", set("pooling_mode_max_tokens", "true")), []string{`1_Pooling/config.json: ["pooling_mode_max_tokens" "pooling_mode_mean_tokens"] are set`}},

		"no tokenizer": {"bert", in("tokenizer.json", remove), []string{"there is no tokenizer, want tokenizer.json, vocab.txt, or vocab.json with merges.txt"}},
		"tokenizer":    {"bert", in("tokenizer.json", set("normalizer", "null")), []string{"tokenizer.json: token: normalizer must be"}},
		"merges": {"roberta", map[string]func([]byte) []byte{"tokenizer.json": remove, "vocab.json": replace(`{"a": 1}`)},
			[]string{"merges.txt: no such file"}},
		"bytes": {"roberta", map[string]func([]byte) []byte{"tokenizer.json": remove, "vocab.json": replace(`{"a": 1}`), "merges.txt": replace("")},
			[]string{"vocab.json: token: the vocabulary of 1 has no <s>"}},
		"pad beyond positions": {"roberta", config("pad_token_id", "30"), []string{"max_length is -8, want at least 1"}},
		"padding id":           {"bert", config("pad_token_id", "3"), []string{"tokenizer.json: padding has id 0, want 3, the pad_token_id of config.json"}},
		"large tokens":         {"bert", in("tokenizer.json", func(b []byte) []byte { return []byte(strings.Replace(string(b), `"the": 5`, `"the": 25`, 1)) }), []string{"the largest id is 25, want less than 25"}},
		"case":                 {"bert", in("tokenizer_config.json", set("do_lower_case", "false")), []string{"tokenizer_config.json: do_lower_case is false, but the normalizer"}},
		"left padding":         {"bert", in("tokenizer_config.json", set("padding_side", `"left"`)), []string{`padding_side is "left", want right`}},
		"never split":          {"minilm", in("tokenizer_config.json", set("never_split", `["a b"]`)), []string{"never_split"}},
		"short vocabulary":     {"minilm", in("vocab.txt", replace("a\nb\n")), []string{"vocab.txt: token: the vocabulary of 2 lines has no [PAD]"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := spoilt(t, c.from, c.change)
			_, err := pretrained.Open(dir)
			if err == nil {
				t.Fatalf("opened, want an error with %q", c.want)
			}
			for _, want := range append(c.want, "pretrained: "+dir+": ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error is %q, want it to contain %q", err, want)
				}
			}
		})
	}
}

// withIntegers adds a tensor of two int64 to the end of a safetensors file.
func withIntegers(data []byte, name string) []byte {
	n := binary.LittleEndian.Uint64(data)
	header, values := strings.TrimRight(string(data[8:8+n]), " "), data[8+n:]
	header = fmt.Sprintf(`%s,%q:{"dtype":"I64","shape":[1,2],"data_offsets":[%d,%d]}}`, strings.TrimSuffix(header, "}"), name, len(values), len(values)+16)
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return slices.Concat(out, []byte(header), values, make([]byte, 16))
}

// What checkpoints carry besides the network is named and left out: heads of language models, and tables of integers.
func TestOpenLeavesOutWhatIsKnown(t *testing.T) {
	dir := spoilt(t, "minilm", map[string]func([]byte) []byte{
		"model-00002-of-00002.safetensors": func(data []byte) []byte {
			data = tensorsWith(func(w layer.Weights) { w["cls.predictions.bias"] = tensors.FromValue([]float32{1}) })(data)
			return withIntegers(data, "embeddings.position_ids")
		},
		"model.safetensors.index.json": func(b []byte) []byte {
			more := `"cls.predictions.bias": "model-00002-of-00002.safetensors", "embeddings.position_ids": "model-00002-of-00002.safetensors",`
			return []byte(strings.Replace(string(b), `"weight_map": {`, `"weight_map": {`+more, 1))
		},
	})
	m, err := pretrained.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "cls.predictions.bias, embeddings.position_ids, pooler.dense.bias, pooler.dense.weight"; strings.Join(m.Unused, ", ") != want {
		t.Errorf("unused are %q, want %s", m.Unused, want)
	}
	if whole := open(t, "testdata/minilm"); len(m.Weights) != len(whole.Weights) || !maps.EqualFunc(m.Weights, whole.Weights, func(a, b *tensors.Tensor) bool { return a.Equal(b) }) {
		t.Error("the weights changed with what is left out")
	}
}

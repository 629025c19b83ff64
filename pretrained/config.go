package pretrained

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// config is a config.json that remembers which of its fields were read, and what was wrong with them. A family asks for
// what it follows; finish refuses the rest.
type config struct {
	fields map[string]json.RawMessage
	seen   map[string]bool
	faults []error
}

func parseConfig(text string) (*config, error) {
	c := &config{seen: map[string]bool{}}
	if err := json.Unmarshal([]byte(text), &c.fields); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *config) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(format, args...))
}

// get reads a field into to; it reports whether the field is there and not null.
func (c *config) get(name, want string, to any) bool {
	c.seen[name] = true
	raw, ok := c.fields[name]
	if !ok || bytes.Equal(raw, []byte("null")) {
		return false
	}
	if err := json.Unmarshal(raw, to); err != nil {
		c.fault("%s is %s, want %s", name, short(raw), want)
		return false
	}
	return true
}

// whole is a number that must be there.
func (c *config) whole(name string) int {
	var n int
	if !c.get(name, "a whole number", &n) {
		c.missing(name)
	}
	return n
}

// layers is a number of blocks, bounded before anything is made for each of them.
func (c *config) layers(name string) int {
	const most = 4096
	n := c.whole(name)
	if n > most {
		c.fault("%s is %d, want at most %d", name, n, most)
		return 0
	}
	return n
}

// sides is a height and a width that must be there: one number for both, or a list of two.
func (c *config) sides(name string) [2]int {
	var n int
	if raw := c.fields[name]; len(raw) == 0 || raw[0] != '[' {
		n = c.whole(name)
		return [2]int{n, n}
	}
	var both []int
	if c.get(name, "a whole number or two", &both) && len(both) == 2 {
		return [2]int{both[0], both[1]}
	}
	c.fault("%s is %s, want a whole number or two", name, short(c.fields[name]))
	return [2]int{}
}

// number is a number that may be left out.
func (c *config) number(name string, otherwise float64) float64 {
	v := otherwise
	c.get(name, "a number", &v)
	return v
}

func (c *config) text(name, otherwise string) string {
	v := otherwise
	c.get(name, "a string", &v)
	return v
}

// missing notes a field that must be there, unless something else is wrong with it.
func (c *config) missing(name string) {
	if raw, ok := c.fields[name]; !ok || string(raw) == "null" {
		c.fault("%s is missing", name)
	}
}

// only refuses every value of a field but those given, as JSON. A missing field and null are fine.
func (c *config) only(name string, want ...string) {
	c.seen[name] = true
	raw, ok := c.fields[name]
	if !ok || string(raw) == "null" {
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil || !slices.Contains(want, compact.String()) {
		c.fault("%s is %s, want %s", name, short(raw), list(want))
	}
}

// activation translates the names that config.json uses to those of backbone.Encoder and backbone.ViT.
func (c *config) activation(name string) string {
	given := c.text(name, "gelu")
	switch given {
	case "gelu":
		return "gelu"
	case "gelu_new", "gelu_pytorch_tanh":
		return "gelu_tanh"
	}
	c.fault("%s is %q, want %s", name, given, list([]string{"gelu", "gelu_new", "gelu_pytorch_tanh"}))
	return "gelu"
}

// architecture is the class that saved the checkpoint, one of those given; "" where the file does not say.
func (c *config) architecture(want ...string) string {
	var names []string
	if !c.get("architectures", "a list of names", &names) || len(names) == 0 {
		return ""
	}
	if len(names) != 1 || !slices.Contains(want, names[0]) {
		c.fault("architectures is %q, want one of %s", names, list(want))
		return ""
	}
	return names[0]
}

// classes are the names in id2label, in order; "LABEL_0", … for the two classes that the format does not write down.
func (c *config) classes() []string { return c.classesOf(2) }

// classesOf is classes where the checkpoint tells how many there are, if the file does not.
func (c *config) classesOf(labels int) []string {
	var byID map[string]string
	given := c.get("num_labels", "a whole number", &labels)
	if c.get("id2label", "an object of class names by number", &byID) {
		if given && labels != len(byID) {
			c.fault("num_labels is %d, want the %d of id2label", labels, len(byID))
		}
		labels = len(byID)
	}
	c.only("problem_type", `"single_label_classification"`)
	if labels < 2 {
		c.fault("id2label has %d classes, want at least 2: a regression is no classifier", labels)
		return nil
	}
	names := make([]string, labels)
	for i := range names {
		names[i] = fmt.Sprintf("LABEL_%d", i)
		if byID == nil {
			continue
		}
		name, ok := byID[strconv.Itoa(i)]
		if !ok {
			c.fault("id2label has no class %d of %d", i, labels)
		}
		names[i] = name
	}
	return names
}

// harmless are fields of any family that change nothing about the answers: training, bookkeeping, and the texts that
// generate.
var harmless = []string{
	"_attn_implementation", "_commit_hash", "_name_or_path", "attn_implementation", "attention_dropout", "attention_probs_dropout_prob",
	"bos_token_id", "chunk_size_feed_forward", "classifier_dropout", "directionality", "dtype", "encoder_stride", "eos_token_id", "finetuning_task",
	"gradient_checkpointing", "id2label", "initializer_range", "label2id", "language", "name", "num_labels", "output_past",
	"pooler_act", "pooler_output_size",
	"pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type", "problem_type", "qa_dropout",
	"seq_classif_dropout", "sep_token_id", "tie_weights_", "tie_word_embeddings", "torch_dtype", "transformers_version", "use_cache",
}

// plain are fields of any family that must have the value of an ordinary encoder.
var plain = map[string][]string{
	"add_cross_attention": {"false"}, "is_decoder": {"false"}, "is_encoder_decoder": {"false"}, "output_attentions": {"false"},
	"output_hidden_states": {"false"}, "pruned_heads": {"{}"}, "torchscript": {"false"}, "return_dict": {"true"}, "use_bfloat16": {"false"},
	"position_embedding_type": {`"absolute"`},
}

// finish reports all that was wrong, and the fields that nobody has asked for.
func (c *config) finish() error {
	for _, name := range sortedKeys(plain) {
		c.only(name, plain[name]...)
	}
	c.refuseUnknown(harmless)
	return c.err()
}

// refuseUnknown notes the fields that nobody has asked for and that are not known to be harmless.
func (c *config) refuseUnknown(harmless []string) {
	for _, name := range sortedKeys(c.fields) {
		if !c.seen[name] && !slices.Contains(harmless, name) {
			c.fault("%s is %s, a field that is not known: take it out if the network computes the same without it", name, short(c.fields[name]))
		}
	}
}

// err is all that was wrong.
func (c *config) err() error { return errors.Join(c.faults...) }

// short is a value of the file on one line, cut where it is long.
func short(raw json.RawMessage) string {
	const most = 60
	var line bytes.Buffer
	if json.Compact(&line, raw) == nil {
		raw = line.Bytes()
	}
	if len(raw) > most {
		return string(raw[:most]) + "…"
	}
	return string(raw)
}

// list writes choices as a sentence does: a, b or c.
func list(words []string) string {
	text := ""
	for i, word := range words {
		switch {
		case i > 0 && i == len(words)-1:
			text += " or "
		case i > 0:
			text += ", "
		}
		text += word
	}
	return text
}

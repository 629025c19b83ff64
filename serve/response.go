package serve

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/picture"
)

// spec describes a tensor in metadata and answers; -1 in the shape is a number that varies.
type spec struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

// inputs lists what the model takes: one of these per request.
func inputs(m Model) []spec {
	if m.Dims() == nil {
		return []spec{{"text", "BYTES", []int{-1}}, {"ids", "INT32", []int{-1, -1}}}
	}
	all := []spec{{"input", "FP32", append([]int{-1}, m.Dims()...)}}
	if readsImages(m.Dims()) {
		all = append(all, imageInput)
	}
	return all
}

// imageInput holds files of pictures.
var imageInput = spec{"image", "BYTES", []int{-1}}

// readsImages reports whether samples of these dims can be files of pictures.
func readsImages(dims []int) bool { return picture.CheckDims(dims) == nil }

// output is one of the tensors an answer can have.
type output struct {
	name, datatype string
	explains       bool                // only on demand, and only from a head with attention
	dims           func(m Model) []int // shape after the samples
	data           func(m Model, answers []layarun.Answer) any
}

// outputs is the table of all tensors of an answer, in their order.
var outputs = []output{
	{"probabilities", "FP32", false, func(m Model) []int { return []int{len(m.Classes())} },
		func(_ Model, answers []layarun.Answer) any {
			return gather(answers, func(a layarun.Answer) []float32 { return a.Probabilities })
		}},
	{"label", "BYTES", false, scalar, func(m Model, answers []layarun.Answer) any {
		classes := m.Classes()
		return gather(answers, func(a layarun.Answer) []string { return classes[a.Label : a.Label+1] })
	}},
	{"exit_depth", "INT32", false, scalar, func(_ Model, answers []layarun.Answer) any {
		return gather(answers, func(a layarun.Answer) []int { return []int{a.ExitDepth} })
	}},
	{"confidence", "FP32", false, scalar, func(_ Model, answers []layarun.Answer) any {
		return gather(answers, func(a layarun.Answer) []float32 { return []float32{a.Confidence} })
	}},
	{"alpha", "FP32", true, func(m Model) []int { return []int{len(m.Reads())} },
		func(m Model, answers []layarun.Answer) any {
			return gather(answers, func(a layarun.Answer) []float32 { return padded(a.Alpha, len(m.Reads())) })
		}},
	{"contributions", "FP32", true, func(m Model) []int { return []int{len(m.Reads()), len(m.Classes())} },
		func(m Model, answers []layarun.Answer) any {
			return gather(answers, func(a layarun.Answer) []float32 {
				return padded(slices.Concat(a.Contributions...), len(m.Reads())*len(m.Classes()))
			})
		}},
	{"bias", "FP32", true, func(m Model) []int { return []int{len(m.Classes())} },
		func(_ Model, answers []layarun.Answer) any {
			return gather(answers, func(a layarun.Answer) []float32 { return a.Bias })
		}},
}

func scalar(Model) []int { return nil }

// gather lays the rows of all answers behind each other.
func gather[T any](answers []layarun.Answer, row func(layarun.Answer) []T) []T {
	var all []T
	for _, a := range answers {
		all = append(all, row(a)...)
	}
	return all
}

// padded is row with zeros up to n: reads beyond the exit have no attention.
func padded(row []float32, n int) []float32 {
	return append(slices.Clone(row), make([]float32, n-len(row))...)
}

func findOutput(name string) *output {
	i := slices.IndexFunc(outputs, func(o output) bool { return o.name == name })
	if i < 0 {
		return nil
	}
	return &outputs[i]
}

func outputNames() []string {
	var names []string
	for _, o := range outputs {
		names = append(names, o.name)
	}
	return names
}

func (o output) spec(m Model, n int) spec {
	return spec{o.name, o.datatype, append([]int{n}, o.dims(m)...)}
}

// answer is the body of a successful infer call.
type answer struct {
	Model      string            `json:"model_name"`
	Version    string            `json:"model_version,omitempty"`
	ID         *string           `json:"id,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Outputs    []tensorAnswer    `json:"outputs"`
}

type tensorAnswer struct {
	spec
	Data any `json:"data"`
}

// encode makes the body of the answer to r. It fails if a sample has no answer or a number is not finite.
func encode(m Model, r *inferRequest, answers []layarun.Answer) ([]byte, error) {
	for i, a := range answers {
		if a.Err != nil {
			return nil, fmt.Errorf("sample %d of %d: %w", i, len(answers), a.Err)
		}
		if r.Explain && len(a.Alpha) != len(a.Contributions) {
			return nil, fmt.Errorf("sample %d of %d: %d contributions to %d reads", i, len(answers), len(a.Contributions), len(a.Alpha))
		}
	}
	body := answer{Model: m.Name, Version: m.Version, ID: r.id}
	if digest := m.Digest(); digest != "" {
		body.Parameters = map[string]string{"model_digest": digest}
	}
	wanted := r.outputs
	if len(wanted) == 0 {
		wanted = outputNames()
	}
	for _, name := range wanted {
		if o := findOutput(name); r.Explain || !o.explains {
			body.Outputs = append(body.Outputs, tensorAnswer{o.spec(m, len(answers)), o.data(m, answers)})
		}
	}
	return json.Marshal(body)
}

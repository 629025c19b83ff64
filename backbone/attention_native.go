package backbone

import (
	"math"

	"github.com/layarun/layarun/internal/kernel"
	"github.com/layarun/layarun/layer"
)

// nativeAttentive is an attentive block on the processor.
type nativeAttentive struct {
	attentive
	qkv                      *kernel.Dense // query (scaled), key and value of one head after the other
	output, up, down         *kernel.Dense
	attentionNorm, innerNorm nativeNorm
}

func (a attentive) native(weights map[string][]float32) layer.Kernel {
	width := a.dim / a.heads
	if !kernel.Fills(a.dim, width, a.hidden) || a.activation != "gelu" {
		return nil
	}
	dense := func(name string, in, out int) *kernel.Dense {
		return kernel.NewDense(weights[name+".kernel"], weights[name+".bias"], in, out)
	}
	return &nativeAttentive{
		attentive: a, qkv: a.packHeads(weights),
		output: dense("attention.output", a.dim, a.dim), up: dense("ffn.up", a.dim, a.hidden), down: dense("ffn.down", a.hidden, a.dim),
		attentionNorm: newNativeNorm(weights, "attention.norm", a.epsilon), innerNorm: newNativeNorm(weights, "ffn.norm", a.epsilon),
	}
}

// packHeads lays the matrices of query, key and value side by side, head by head, so that the core that computes a head's
// has it in its cache when it attends. The query's carry the factor of the scores.
func (a attentive) packHeads(weights map[string][]float32) *kernel.Dense {
	width, scale := a.dim/a.heads, float32(1/math.Sqrt(float64(a.dim/a.heads)))
	all, bias := make([]float32, 0, 3*a.dim*a.dim), make([]float32, 0, 3*a.dim)
	lay := func(to []float32, from func(name string) []float32) []float32 {
		for head := range a.heads {
			for _, name := range []string{"query", "key", "value"} {
				for _, v := range from("attention." + name)[head*width : (head+1)*width] {
					if name == "query" {
						v *= scale
					}
					to = append(to, v)
				}
			}
		}
		return to
	}
	for row := range a.dim {
		all = lay(all, func(name string) []float32 { return weights[name+".kernel"][row*a.dim:] })
	}
	bias = lay(bias, func(name string) []float32 { return weights[name+".bias"] })
	return kernel.NewDense(all, bias, a.dim, 3*a.dim)
}

// Run implements [layer.Kernel]. Parts: h [length, dim] and, of encoders, the mask [length].
func (a *nativeAttentive) Run(split layer.Split, out, in []layer.Parts) {
	width := a.dim / a.heads
	var rows []token
	first := make([]int, len(in)) // row of each sample
	for i := range in {
		first[i] = len(rows)
		for at := range len(in[i][0]) / a.dim {
			rows = append(rows, token{i, at * a.dim})
		}
	}
	s := kernel.NewScratch(len(rows) * (3*a.dim + 3*a.dim + a.hidden))
	defer s.Free()
	h, x, mixed := s.Take(len(rows), a.dim), s.Take(len(rows), a.dim), s.Take(len(rows), a.dim)
	qkv, hidden := s.Take(len(rows), 3*a.dim), s.Take(len(rows), a.hidden)
	pre := a.norm == "pre"

	eachRows(split, len(rows), func(i int) {
		copy(h.Line(i), rows[i].of(in))
		if pre {
			a.attentionNorm.apply(x.Line(i), h.Line(i))
		}
	})
	source := h
	if pre {
		source = x
	}
	multiply(split, a.qkv, len(rows), qkv, source, kernel.Matrix{})
	split(a.heads*len(in), func(piece int) {
		head, i := piece/len(in), piece%len(in)
		sample := qkv.Lines(first[i])
		part := func(j int) kernel.Matrix { return sample.Columns((3*head + j) * width) }
		var mask []float32
		if len(in[i]) > 1 {
			mask = in[i][1]
		}
		kernel.Attention(len(in[i][0])/a.dim, width, mixed.Lines(first[i]).Columns(head*width), part(0), part(1), part(2), mask)
	})
	multiply(split, a.output, len(rows), x, mixed, h) // x = h + attention

	inner := x // the input of the feed-forward layer
	if pre {
		inner = mixed
	}
	eachRows(split, len(rows), func(i int) {
		if pre {
			a.innerNorm.apply(inner.Line(i), x.Line(i))
		} else {
			a.attentionNorm.apply(x.Line(i), x.Line(i))
		}
	})
	multiply(split, a.up, len(rows), hidden, inner, kernel.Matrix{})
	eachRows(split, len(rows), func(i int) { kernel.GELU(hidden.Line(i)) })
	multiply(split, a.down, len(rows), h, hidden, x)
	eachRows(split, len(rows), func(i int) {
		to := rows[i].of(out)[:a.dim]
		if pre {
			copy(to, h.Line(i))
		} else {
			a.innerNorm.apply(to, h.Line(i))
		}
	})
	for i := range in {
		if len(in[i]) > 1 {
			copy(out[i][1], in[i][1])
		}
	}
}

// token is where a row lies: in which sample, and from which number on.
type token struct{ sample, at int }

func (t token) of(samples []layer.Parts) []float32 { return samples[t.sample][0][t.at:] }

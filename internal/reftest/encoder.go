package reftest

import (
	"fmt"
	"math"
)

// Encoder is a transformer encoder in plain float64 loops, one sample and one value at a time: the reference for
// backbone.Encoder. Weights are flat, row-major, under the names that backbone.Encoder documents.
type Encoder struct {
	Layers, Heads, PadID int
	PreNorm, Tanh, CLS   bool
	Pooler               string // "", "tanh" or "relu"
	Epsilon              float64
	Weights              map[string][]float64
}

// Forward returns state k [length][dim] and tap k [dim] of one sample, which has at least one token, for k = 0 … Layers.
func (e Encoder) Forward(ids []int) (states [][][]float64, taps [][]float64) {
	h := e.embed(ids)
	for k := 0; ; k++ {
		states = append(states, h)
		taps = append(taps, e.tap(k, h, ids))
		if k == e.Layers {
			return states, taps
		}
		h = e.block(k+1, h, ids)
	}
}

func (e Encoder) embed(ids []int) [][]float64 {
	dim := len(e.Weights["stem.norm.gain"])
	h := make([][]float64, len(ids))
	for i, id := range ids {
		h[i] = make([]float64, dim)
		for d := range dim {
			h[i][d] = e.Weights["stem.word"][id*dim+d] + e.Weights["stem.position"][i*dim+d]
			if types := e.Weights["stem.token_type"]; types != nil {
				h[i][d] += types[d]
			}
		}
	}
	return e.norm("stem.norm", h)
}

func (e Encoder) block(k int, h [][]float64, ids []int) [][]float64 {
	prefix := fmt.Sprintf("block.%d.", k)
	if e.PreNorm {
		h = e.sum(h, e.attention(prefix, e.norm(prefix+"attention.norm", h), ids))
		return e.sum(h, e.ffn(prefix, e.norm(prefix+"ffn.norm", h)))
	}
	h = e.norm(prefix+"attention.norm", e.sum(h, e.attention(prefix, h, ids)))
	return e.norm(prefix+"ffn.norm", e.sum(h, e.ffn(prefix, h)))
}

// attention leaves padding keys out of the sums, where backbone.Encoder adds a large negative number to their scores.
// The sample needs at least one token.
func (e Encoder) attention(prefix string, x [][]float64, ids []int) [][]float64 {
	q := e.dense(prefix+"attention.query", x)
	k := e.dense(prefix+"attention.key", x)
	v := e.dense(prefix+"attention.value", x)
	dim := len(x[0])
	width := dim / e.Heads
	mixed := make([][]float64, len(x))
	for i := range x {
		mixed[i] = make([]float64, dim)
		for head := range e.Heads {
			lo, total := head*width, 0.0
			for j := range x {
				if ids[j] == e.PadID {
					continue
				}
				score := 0.0
				for d := lo; d < lo+width; d++ {
					score += q[i][d] * k[j][d]
				}
				weight := math.Exp(score / math.Sqrt(float64(width)))
				total += weight
				for d := lo; d < lo+width; d++ {
					mixed[i][d] += weight * v[j][d]
				}
			}
			for d := lo; d < lo+width; d++ {
				mixed[i][d] /= total
			}
		}
	}
	return e.dense(prefix+"attention.output", mixed)
}

func (e Encoder) ffn(prefix string, x [][]float64) [][]float64 {
	hidden := e.dense(prefix+"ffn.up", x)
	for _, row := range hidden {
		for d, v := range row {
			if e.Tanh {
				row[d] = v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
			} else {
				row[d] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
			}
		}
	}
	return e.dense(prefix+"ffn.down", hidden)
}

func (e Encoder) tap(k int, h [][]float64, ids []int) []float64 {
	if e.PreNorm {
		h = e.norm(fmt.Sprintf("tap.%d.norm", k), h)
	}
	if e.CLS {
		return e.pooler(k, h[0])
	}
	mean, tokens := make([]float64, len(h[0])), 0.0
	for i, row := range h {
		if ids[i] == e.PadID {
			continue
		}
		tokens++
		for d, v := range row {
			mean[d] += v
		}
	}
	for d := range mean {
		mean[d] /= tokens
	}
	return e.pooler(k, mean)
}

// pooler is activation(affine(x)) with the weights of tap k, or x itself.
func (e Encoder) pooler(k int, x []float64) []float64 {
	if e.Pooler == "" {
		return x
	}
	y := e.dense(fmt.Sprintf("tap.%d.pooler", k), [][]float64{x})[0]
	for d, v := range y {
		if e.Pooler == "relu" {
			y[d] = max(v, 0)
		} else {
			y[d] = math.Tanh(v)
		}
	}
	return y
}

func (e Encoder) dense(name string, x [][]float64) [][]float64 {
	kernel, bias := e.Weights[name+".kernel"], e.Weights[name+".bias"]
	y := make([][]float64, len(x))
	for i, row := range x {
		y[i] = append([]float64(nil), bias...)
		for d, v := range row {
			for o := range bias {
				y[i][o] += v * kernel[d*len(bias)+o]
			}
		}
	}
	return y
}

func (e Encoder) norm(name string, x [][]float64) [][]float64 {
	gain, bias := e.Weights[name+".gain"], e.Weights[name+".bias"]
	y := make([][]float64, len(x))
	for i, row := range x {
		n := float64(len(row))
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += v / n
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / n
		}
		y[i] = make([]float64, len(row))
		for d, v := range row {
			y[i][d] = (v-mean)/math.Sqrt(variance+e.Epsilon)*gain[d] + bias[d]
		}
	}
	return y
}

func (Encoder) sum(a, b [][]float64) [][]float64 {
	y := make([][]float64, len(a))
	for i := range a {
		y[i] = make([]float64, len(a[i]))
		for d := range a[i] {
			y[i][d] = a[i][d] + b[i][d]
		}
	}
	return y
}

package kernel

import "math"

// Masked is added to the attention score of a padding key, in graphs as well. It swamps every score in float32, so that the
// softmax gives padding a weight of exactly 0, and unlike -Inf it leaves a row of padding alone finite.
const Masked = -1e9

// Attention computes one head of so many rows and width columns ([Fills]): result = softmax(query @ keyᵀ) @ value. Keys
// whose mask is 0 have no weight, unless all masks are 0; without a mask all have.
func Attention(rows, width int, result, query, key, value Matrix, mask []float32) {
	best.attention(rows, width, result, query, key, value, mask)
}

func (in *instructions) attention(rows, width int, result, query, key, value Matrix, mask []float32) {
	keys := (rows + in.lanes - 1) / in.lanes * in.lanes
	s := NewScratch(2*keys*width + keys + min(rows, mostRows)*keys)
	defer s.Free()
	packedKey, packedValue := s.Take(1, keys*width).Values, s.Take(1, keys*width).Values
	bias, scores := s.Take(1, keys).Values, s.Take(min(rows, mostRows), keys)
	for j := range keys {
		switch {
		case j >= rows:
			bias[j] = float32(math.Inf(-1))
		case mask != nil:
			bias[j] = (1 - mask[j]) * Masked
		default:
			bias[j] = 0
		}
	}
	keyPanel, valuePanel := in.panelOf(keys), in.panelOf(width)
	packKeys(packedKey, key, rows, keys, width, keyPanel)
	packValues(packedValue, value, rows, keys, width, valuePanel)
	for from := 0; from < rows; from += mostRows {
		n := min(rows-from, mostRows)
		source := query.Lines(from)
		for panel := 0; panel < keys; panel += keyPanel {
			product{in, keyPanel, packedKey[panel*width:], bias[panel:]}.run(n, scores.Columns(panel), source, Matrix{}, width, NoFloor)
		}
		for i := range n {
			in.softmax(&scores.Values[i*keys], keys/in.lanes)
		}
		to := result.Lines(from)
		for panel := 0; panel < width; panel += valuePanel {
			product{in, valuePanel, packedValue[panel*keys:], zeros[:]}.run(n, to.Columns(panel), scores, Matrix{}, keys, NoFloor)
		}
	}
}

// panelOf is the width of panels over so many columns, whole vectors.
func (in *instructions) panelOf(columns int) int {
	if columns%(2*in.lanes) == 0 {
		return 2 * in.lanes
	}
	return in.lanes
}

// packKeys transposes keys [rows, width] into panels of keys, [keys/panel, width, panel]; those beyond the rows are 0.
func packKeys(packed []float32, key Matrix, rows, keys, width, panel int) {
	for j := range keys {
		to := packed[j/panel*panel*width+j%panel:]
		if j >= rows {
			for d := range width {
				to[d*panel] = 0
			}
			continue
		}
		for d, v := range key.Values[j*key.Row:][:width] {
			to[d*panel] = v
		}
	}
}

// packValues lays values [rows, width] out in panels of columns, [width/panel, keys, panel]; those beyond the rows are 0.
func packValues(packed []float32, value Matrix, rows, keys, width, panel int) {
	for from := 0; from < width; from += panel {
		for j := range keys {
			to := packed[from*keys+j*panel:][:panel]
			if j >= rows {
				clear(to)
				continue
			}
			copy(to, value.Values[j*value.Row+from:][:panel])
		}
	}
}

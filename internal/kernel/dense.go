package kernel

import "fmt"

// Dense is a product with a matrix and a bias, packed for the processor's instructions.
type Dense struct {
	set     *instructions
	in, out int // out is a multiple of a vector: columns of 0 fill the last
	width   int // columns of a panel
	weights []float32
	bias    []float32
}

// NewDense packs weights [in, out] and a bias [out]; no bias is 0. It returns nil where this processor has no instructions
// for it.
func NewDense(weights, bias []float32, in, out int) *Dense {
	if best == nil {
		return nil
	}
	return best.dense(weights, bias, in, out)
}

func (in *instructions) dense(weights, bias []float32, rows, out int) *Dense {
	if len(weights) != rows*out || bias != nil && len(bias) != out {
		panic(fmt.Sprintf("kernel: %d weights and %d biases are not those of a product %d to %d", len(weights), len(bias), rows, out))
	}
	full := (out + in.lanes - 1) / in.lanes * in.lanes
	width := in.panelOf(full)
	d := &Dense{set: in, in: rows, out: full, width: width, bias: make([]float32, full)}
	copy(d.bias, bias)
	if full != out {
		wide := make([]float32, rows*full)
		for row := range rows {
			copy(wide[row*full:], weights[row*out:(row+1)*out])
		}
		weights = wide
	}
	d.weights = pack(weights, full, width)
	return d
}

// Width is how many columns a result has: those of the weights, filled up to whole vectors with zeros.
func (d *Dense) Width() int { return d.out }

// Panels is into how many parts the columns of a result can be divided.
func (d *Dense) Panels() int { return d.out / d.width }

// Matrix is rows of numbers; Row is the distance from one to the next.
type Matrix struct {
	Values []float32
	Row    int
}

// Run computes panels from to to of rows of result = max(floor, source @ weights + bias + residual). A residual without
// values is 0.
func (d *Dense) Run(from, to, rows int, result, source, residual Matrix, floor float32) {
	for panel := from; panel < to; panel++ {
		column := panel * d.width
		product{d.set, d.width, d.weights[panel*d.in*d.width:][:d.in*d.width], d.bias[column:][:d.width]}.run(rows,
			result.Columns(column), source, residual.Columns(column), d.in, floor)
	}
}

// Line is row i.
func (m Matrix) Line(i int) []float32 { return m.Values[i*m.Row : (i+1)*m.Row] }

// Lines is the matrix without its first rows.
func (m Matrix) Lines(from int) Matrix {
	if m.Values == nil {
		return m
	}
	return Matrix{m.Values[from*m.Row:], m.Row}
}

// Columns is the matrix without its first columns.
func (m Matrix) Columns(column int) Matrix {
	if m.Values == nil {
		return m
	}
	return Matrix{m.Values[column:], m.Row}
}

// product is a matrix [in, width] of one panel, packed, with its bias [width].
type product struct {
	set     *instructions
	width   int
	weights []float32
	bias    []float32
}

func (p product) run(rows int, result, source, residual Matrix, in int, floor float32) {
	t := tile{
		weights: &p.weights[0], bias: &p.bias[0], rows: 1, run: uintptr(in), floor: floor, ahead: bytes(in * p.width),
		resultStride: bytes(result.Row), sourceStride: bytes(source.Row),
	}
	_, _, _ = p.weights[in*p.width-1], p.bias[p.width-1], source.Values[(rows-1)*source.Row+in-1]
	_ = result.Values[(rows-1)*result.Row+p.width-1]
	if residual.Values != nil {
		_ = residual.Values[(rows-1)*residual.Row+p.width-1]
		t.residualStride = bytes(residual.Row)
	}
	for row := 0; row < rows; {
		for _, f := range p.set.line(min(rows-row, mostRows), p.width/p.set.lanes) {
			t.source = &source.Values[row*source.Row]
			t.result = &result.Values[row*result.Row]
			t.residual = &zeros[0]
			if residual.Values != nil {
				t.residual = &residual.Values[row*residual.Row]
			}
			f.run(&t)
			row += f.pixels
		}
	}
}

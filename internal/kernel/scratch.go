package kernel

import "sync"

var buffers = sync.Pool{New: func() any { return new([]float32) }}

// Scratch is memory for what is computed on the way, used again by whoever comes next. It holds what the last user left.
type Scratch struct {
	buffer *[]float32
	rest   []float32
}

// NewScratch is room for so many numbers. Free gives it back.
func NewScratch(size int) *Scratch {
	buffer := buffers.Get().(*[]float32)
	if cap(*buffer) < size {
		*buffer = make([]float32, size)
	}
	return &Scratch{buffer, (*buffer)[:size]}
}

// Take cuts off a matrix.
func (s *Scratch) Take(rows, width int) Matrix {
	m := Matrix{s.rest[: rows*width : rows*width], width}
	s.rest = s.rest[rows*width:]
	return m
}

// Free gives the memory back; what Take returned must not be used any more.
func (s *Scratch) Free() { buffers.Put(s.buffer) }

// Line is row i.
func (m Matrix) Line(i int) []float32 { return m.Values[i*m.Row : (i+1)*m.Row] }

// Lines is the matrix without its first rows.
func (m Matrix) Lines(from int) Matrix {
	if m.Values == nil {
		return m
	}
	return Matrix{m.Values[from*m.Row:], m.Row}
}

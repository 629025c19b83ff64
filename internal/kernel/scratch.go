package kernel

import (
	"math/bits"
	"sync"
)

// free are buffers that are not in use, by the power of two that is their capacity.
var free [48]sync.Pool // of *[]float32

// Borrow returns so many numbers of memory, holding whatever the last user left. [Return] gives it back.
func Borrow(size int) *[]float32 {
	class := bits.Len(uint(max(size, 1) - 1))
	if b, ok := free[class].Get().(*[]float32); ok {
		*b = (*b)[:size]
		return b
	}
	b := make([]float32, size, 1<<class)
	return &b
}

// Return gives back what Borrow returned. It must not be used any more.
func Return(b *[]float32) { free[bits.Len(uint(cap(*b)-1))].Put(b) }

// Scratch is borrowed memory that is cut into matrices.
type Scratch struct {
	buffer *[]float32
	rest   []float32
}

// NewScratch borrows so many numbers. Free gives them back.
func NewScratch(size int) *Scratch {
	b := Borrow(size)
	return &Scratch{b, *b}
}

// Take cuts off a matrix.
func (s *Scratch) Take(rows, width int) Matrix {
	m := Matrix{s.rest[: rows*width : rows*width], width}
	s.rest = s.rest[rows*width:]
	return m
}

// Free gives the memory back; what Take returned must not be used any more.
func (s *Scratch) Free() { Return(s.buffer) }

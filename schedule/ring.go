package schedule

// ring is a first-in-first-out queue that reuses its memory. The zero value is empty.
type ring[T any] struct {
	buf   []T // its length is 0 or a power of two
	first int
	n     int
}

func (r *ring[T]) len() int { return r.n }

// front returns the first element of a ring that is not empty; it is valid until the next change.
func (r *ring[T]) front() *T { return r.at(0) }

// at returns element i, as front does the first.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.first+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(x T) {
	if r.n == len(r.buf) {
		grown := make([]T, max(8, 2*r.n))
		copied := copy(grown, r.buf[r.first:])
		copy(grown[copied:], r.buf[:r.first])
		r.buf, r.first = grown, 0
	}
	r.buf[(r.first+r.n)&(len(r.buf)-1)] = x
	r.n++
}

// pop takes the first element out of a ring that is not empty, and forgets it.
func (r *ring[T]) pop() T {
	x := r.buf[r.first]
	clear(r.buf[r.first : r.first+1])
	r.first = (r.first + 1) & (len(r.buf) - 1)
	r.n--
	return x
}

// filter drops the elements that keep refuses and leaves the others in order.
func (r *ring[T]) filter(keep func(*T) bool) {
	for range r.n {
		x := r.pop()
		if keep(&x) {
			r.push(x)
		}
	}
}

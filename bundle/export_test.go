package bundle

import "io"

// SaveThrough is Save with every file written through wrap.
func (b *Bundle) SaveThrough(dir string, wrap func(io.Writer) io.Writer) error {
	return b.save(dir, wrap)
}

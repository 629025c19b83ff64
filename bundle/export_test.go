package bundle

import "io"

// SaveThrough is Save with every file written through wrap.
func (b *Bundle) SaveThrough(dir string, wrap func(io.Writer) io.Writer) error {
	return b.save(dir, wrap)
}

// Publish is the renaming at the end of Save.
var Publish = publish

package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/layer"
)

// maxText bounds a JSON file of a bundle; the largest tokenizers have some tens of megabytes.
const maxText = 128 << 20

// Open reads the bundle in dir and verifies it: version, size and sha256 of every file, weights against what backbone and
// head ask for, policies against the exits, certificates against the digest. The error names folder and file.
//
// Files of other names are ignored. The caller finalises the weights.
func Open(dir string) (*Bundle, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w%s", err, hintAside(dir, err))
	}
	defer root.Close()
	b, err := open(root)
	if err != nil {
		return nil, fmt.Errorf("bundle: %s: %w", dir, err)
	}
	return b, nil
}

// hintAside tells of the older bundle that an interrupted Save has left beside dir.
func hintAside(dir string, err error) string {
	aside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), asidePattern(filepath.Base(dir))))
	if !errors.Is(err, fs.ErrNotExist) || len(aside) == 0 {
		return ""
	}
	return fmt.Sprintf("; a save was interrupted: rename %s to %s to have the older bundle back", aside[0], dir)
}

func open(root *os.Root) (*Bundle, error) {
	text, err := readManifest(root)
	if err != nil {
		return nil, err
	}
	b, files, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestFile, err)
	}
	if _, ok := files[weightsFile]; !ok {
		return nil, fmt.Errorf("%s: files does not list %s", manifestFile, weightsFile)
	}
	for _, name := range listed {
		want, ok := files[name]
		if !ok {
			if _, err := root.Lstat(name); err == nil {
				return nil, fmt.Errorf("%s: not listed in %s", name, manifestFile)
			}
			continue
		}
		got, err := b.readFile(root, name, want.Size)
		if err != nil {
			return nil, err
		}
		if got != want {
			return nil, fmt.Errorf("%s: sha256 is %s, want %s: the file was altered", name, got.SHA256, want.SHA256)
		}
	}
	if err := b.validate(); err != nil {
		return nil, err
	}
	return b, nil
}

// readFile reads one listed file of the given size into b and returns what it found on the way.
func (b *Bundle) readFile(root *os.Root, name string, size int64) (fileInfo, error) {
	f, err := openRegular(root, name, size)
	if err != nil {
		return fileInfo{}, err
	}
	defer f.Close()
	seen := newTally()
	r := io.TeeReader(f, seen)
	if name == weightsFile {
		b.Weights, err = b.readWeights(r, size)
	} else {
		err = b.readText(r, name)
	}
	if err != nil {
		return fileInfo{}, fmt.Errorf("%s: %w", name, err)
	}
	return seen.info(), nil
}

// readWeights reads the weights, all of which must have the precision that the manifest names.
func (b *Bundle) readWeights(r io.Reader, size int64) (layer.Weights, error) {
	p, err := b.precision()
	if err != nil {
		return nil, err
	}
	return safetensors.Select(r, size, func(_, dtype string) (bool, error) {
		if dtype != string(p) {
			return false, fmt.Errorf("dtype is %q, want %s as the manifest says", dtype, p)
		}
		return true, nil
	})
}

// readText reads one of the small files.
func (b *Bundle) readText(r io.Reader, name string) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	switch name {
	case tokenizerFile:
		b.Tokenizer = text
		return nil
	case profileFile:
		return strict.Decode(text, &b.Profile)
	case planFile:
		return strict.Decode(text, &b.Plan)
	}
	return strict.Decode(text, &b.Policies)
}

// readManifest reads the one file that the manifest does not list.
func readManifest(root *os.Root) ([]byte, error) {
	f, err := openRegular(root, manifestFile, -1)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestFile, err)
	}
	return text, nil
}

// openRegular opens a file of the bundle's folder, which must be an ordinary one (a link could lead anywhere) and, unless
// size is negative, have that size.
func openRegular(root *os.Root, name string, size int64) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unwrapPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file (%s)", name, info.Mode().Type())
	}
	if size >= 0 && info.Size() != size {
		return nil, fmt.Errorf("%s: has %d bytes, want %d: the file was truncated or altered", name, info.Size(), size)
	}
	if name != weightsFile && info.Size() > maxText {
		return nil, fmt.Errorf("%s: has %d bytes, want at most %d", name, info.Size(), maxText)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, unwrapPath(err))
	}
	return f, nil
}

// unwrapPath drops "open manifest.json:" from an error whose wrapping names folder and file.
func unwrapPath(err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

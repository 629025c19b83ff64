package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/layarun/layarun/picture"
)

// Options say where data is and how to read it. The zero value reads "digits" and well-named tables.
type Options struct {
	// Dir is the folder that holds the known sets, each in a folder of its own.
	Dir string
	// Seed draws the splits. A published result names it.
	Seed uint64
	// Sizes of the drawn splits; 0 means the set's default. A size for an official split is an error.
	Sizes Sizes
	// TextColumn and LabelColumn name columns of a table. Empty, they are "text" and "label" if the table has such columns;
	// without a text column all numeric columns but the label's are features.
	TextColumn, LabelColumn string
	// OptionalLabel lets a table be without the column that LabelColumn names: its samples then have no labels.
	OptionalLabel bool
	// Dims, [height, width, channels], are those images are brought to; nil means those of the first image.
	Dims []int
	// Fit is how images are brought to Dims.
	Fit picture.Fit
	// Classes fixes names and order of the classes, so that another file's labels mean the same; nil means those found, sorted.
	Classes []string
}

// Load reads a known set, or the user's own data at a path, and returns its four splits. A missing file is an error that
// says where it was looked for; it wraps [os.ErrNotExist].
func Load(ctx context.Context, name string, options Options) (*Splits, error) {
	if known, ok := find(name); ok {
		return known.load(ctx, options)
	}
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("dataset: %q is neither a known set (%s) nor a path: %w", name, strings.Join(Names(), ", "), reason(err))
	}
	s, err := Read(ctx, name, options)
	if err != nil {
		return nil, err
	}
	if i := slices.Index(s.Labels, Unknown); i >= 0 {
		return nil, fmt.Errorf("dataset: %s: sample %d has no label: name the column that holds them", name, i)
	}
	sizes, preset := options.Sizes, DefaultSizes(s.Len())
	sizes.Validation = cmp.Or(sizes.Validation, preset.Validation)
	sizes.Calibration = cmp.Or(sizes.Calibration, preset.Calibration)
	sizes.Test = cmp.Or(sizes.Test, preset.Test)
	return Split(s, sizes, options.Seed)
}

// Read reads the user's own data at a path without dividing it; the path may also be that of a single image. Samples of a
// table without label column, of an .npz without y, and images outside class folders have the label [Unknown].
func Read(ctx context.Context, path string, options Options) (*Set, error) {
	read, err := readerOf(path)
	if err != nil {
		return nil, err
	}
	s, err := read(ctx, path, options)
	if err != nil {
		return nil, err
	}
	if s.Len() == 0 {
		return nil, fmt.Errorf("dataset: %s: no samples", path)
	}
	return s, s.Validate()
}

// parts is what the files of a known set hold. Splits that are nil are drawn from pool.
type parts struct {
	pool, validation, calibration, test *Set
	// exact keeps pool samples that also occur in an official split, to follow a published protocol to the letter.
	exact bool
}

func (k *Known) load(ctx context.Context, options Options) (*Splits, error) {
	p, err := k.read(&source{ctx: ctx, dir: options.Dir, known: k, seed: options.Seed})
	if err != nil {
		return nil, err
	}
	sizes, defaults := options.Sizes, k.sizes
	official := func(part string, set *Set, size, preset *int) {
		if set != nil && *size != 0 {
			err = errors.Join(err, fmt.Errorf("dataset: %s: its %s split is fixed, so size %d has no effect", k.Name, part, *size))
		} else if set == nil {
			*size = cmp.Or(*size, *preset)
		}
	}
	official("validation", p.validation, &sizes.Validation, &defaults.Validation)
	official("calibration", p.calibration, &sizes.Calibration, &defaults.Calibration)
	official("test", p.test, &sizes.Test, &defaults.Test)
	if err != nil {
		return nil, err
	}
	return p.complete(sizes, options.Seed)
}

// complete draws the missing splits. Both of them are validated: files that pass their sha256 may still be misread.
func (p *parts) complete(sizes Sizes, seed uint64) (*Splits, error) {
	pool := p.pool
	if !p.exact {
		pool = pool.Without(slices.DeleteFunc([]*Set{p.validation, p.calibration, p.test}, func(s *Set) bool { return s == nil })...)
	}
	splits, err := Split(pool, sizes, seed)
	if err != nil {
		return nil, err
	}
	splits.Validation = cmp.Or(p.validation, splits.Validation)
	splits.Calibration = cmp.Or(p.calibration, splits.Calibration)
	splits.Test = cmp.Or(p.test, splits.Test)
	return splits, splits.validate()
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
)

const (
	predictChunk = 256      // samples answered together
	fewSamples   = 10       // of the bundle's own data, where no file is given
	maxLine      = 16 << 20 // bytes of a line of standard input
)

// samples are some of the samples of one file.
type samples struct {
	values []float32 // or texts
	texts  []string
	labels []int  // dataset.Unknown where there is none
	file   string // "" for --text and for the bundle's own data
	first  int    // the place in the file of the first of them
	image  bool   // the file is one image
}

// inputs reads what predict is asked about.
type inputs struct {
	app     *app
	bundle  *bundle.Bundle
	dims    []int // of a sample; nil for texts
	options predictOptions
}

// newInputs reads samples for a bundle.
func newInputs(a *app, b *bundle.Bundle, o predictOptions) *inputs {
	in := &inputs{app: a, bundle: b, options: o}
	if b.Tokenizer == nil {
		in.dims = b.Backbone.Input().Dims
	}
	return in
}

// all yields the samples of --text and of the files in their order, or without any a few of the bundle's own. It ends with
// the first error.
func (in *inputs) all(ctx context.Context, files []string) iter.Seq2[samples, error] {
	return func(yield func(samples, error) bool) {
		if texts := in.options.texts; len(texts) > 0 {
			if in.dims != nil {
				yield(samples{}, usageError("--text: the network reads numbers, %v for each sample, not texts", in.dims))
				return
			}
			if !yield(samples{texts: texts, labels: slices.Repeat([]int{dataset.Unknown}, len(texts))}, nil) {
				return
			}
		} else if len(files) == 0 {
			in.own(ctx)(yield)
			return
		}
		for _, file := range files {
			read := in.file
			if file == "-" {
				read = in.lines
			}
			for part, err := range read(ctx, file) {
				if !yield(part, err) || err != nil {
					return
				}
			}
		}
	}
}

// own yields the first test samples of the data that the bundle was made with.
func (in *inputs) own(ctx context.Context) iter.Seq2[samples, error] {
	return func(yield func(samples, error) bool) {
		splits, err := in.app.splitsOf(ctx, in.bundle)
		if err != nil {
			yield(samples{}, withHint(err, "layarun predict BUNDLE FILE"))
			return
		}
		test := splits.Test
		if test.Len() == 0 {
			yield(samples{}, fmt.Errorf("data %q has no test samples: give a file", in.bundle.Data.Name))
			return
		}
		few := make([]int, min(fewSamples, test.Len()))
		for i := range few {
			few[i] = i
		}
		in.app.say("no file given: the first %d of the %d test samples of %s", len(few), test.Len(), in.bundle.Data.Name)
		in.chunks(test.Subset(few), samples{})(yield)
	}
}

// file yields the samples of one file or folder.
func (in *inputs) file(ctx context.Context, path string) iter.Seq2[samples, error] {
	return func(yield func(samples, error) bool) {
		set, err := in.read(ctx, path)
		if err != nil {
			yield(samples{}, err)
			return
		}
		info, err := os.Stat(path)
		single := err == nil && !info.IsDir() && len(set.Dims) == 3 && set.Len() == 1
		in.chunks(set, samples{file: path, image: single})(yield)
	}
}

// read reads a file or folder that holds what the network reads.
func (in *inputs) read(ctx context.Context, path string) (*dataset.Set, error) {
	o := dataset.Options{TextColumn: in.options.textColumn, LabelColumn: in.options.labelColumn, Classes: in.bundle.Classes}
	if data := in.bundle.Data; data != nil && o.TextColumn == "" && in.dims == nil {
		o.TextColumn = data.TextColumn
	}
	if data := in.bundle.Data; data != nil && o.LabelColumn == "" {
		o.LabelColumn, o.OptionalLabel = data.LabelColumn, true
	}
	if len(in.dims) == 3 {
		o.Dims, o.Fit = in.dims, in.bundle.Fit
	}
	set, err := dataset.Read(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return set, in.fits(path, set)
}

// fits reports samples that the network does not read. Flat rows may stand for images.
func (in *inputs) fits(path string, set *dataset.Set) error {
	switch {
	case in.dims == nil && !set.IsText():
		return withHint(fmt.Errorf("%s: samples are %v numbers, but the network reads texts", path, set.Dims), "layarun predict BUNDLE "+path+" --text-column NAME")
	case in.dims == nil:
		return nil
	case set.IsText():
		return fmt.Errorf("%s: samples are texts, but the network reads %v numbers", path, in.dims)
	case slices.Equal(set.Dims, in.dims):
		return nil
	case len(set.Dims) == 1 && len(in.dims) == 1 && !strings.HasSuffix(strings.ToLower(path), ".npz"):
		return fmt.Errorf("%s: samples have shape %v, but the network reads %v: of a table, the columns count whose first cell is a number", path, set.Dims, in.dims)
	case set.Size() != product(in.dims), len(set.Dims) == len(in.dims):
		return fmt.Errorf("%s: samples have shape %v, but the network reads %v", path, set.Dims, in.dims)
	}
	return nil
}

func product(dims []int) int {
	p := 1
	for _, d := range dims {
		p *= d
	}
	return p
}

// chunks cuts a set; all but samples, labels and their place is taken from part.
func (in *inputs) chunks(set *dataset.Set, part samples) iter.Seq2[samples, error] {
	return func(yield func(samples, error) bool) {
		for start := 0; start < set.Len(); start += predictChunk {
			end := min(start+predictChunk, set.Len())
			part.first, part.labels = start, set.Labels[start:end]
			if set.IsText() {
				part.texts = set.Texts[start:end]
			} else {
				part.values = set.Values[start*set.Size() : end*set.Size()]
			}
			if !yield(part, nil) {
				return
			}
		}
	}
}

// lines yields what standard input has at a time, at most a chunk. A goroutine reads, so that an interrupt does not wait
// for a line; it ends with ctx or with the input.
func (in *inputs) lines(ctx context.Context, _ string) iter.Seq2[samples, error] {
	parts := make(chan samples)
	failed := make(chan error, 1)
	go func() {
		defer close(parts)
		failed <- in.readLines(os.Stdin, func(part samples) bool {
			select {
			case parts <- part:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	return func(yield func(samples, error) bool) {
		for {
			select {
			case <-ctx.Done():
				yield(samples{}, ctx.Err())
				return
			case part, more := <-parts:
				if !more {
					if err := <-failed; err != nil {
						yield(samples{}, fmt.Errorf("standard input: %w", err))
					}
					return
				}
				if !yield(part, nil) {
					return
				}
			}
		}
	}
}

// readLines parses lines and hands on those read so far when they make a chunk or when the next one is not there yet.
func (in *inputs) readLines(r io.Reader, hand func(samples) bool) error {
	reader := bufio.NewReaderSize(r, 1<<16)
	part, seen := samples{file: "-"}, 0
	for number := 1; ; number++ {
		line, err := readLine(reader)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if line != "" {
			if err := in.parseLine(line, &part); err != nil {
				return fmt.Errorf("line %d: %w", number, err)
			}
			part.labels = append(part.labels, dataset.Unknown)
		}
		if n := len(part.labels); n > 0 && (n == predictChunk || ended || reader.Buffered() == 0) {
			if seen += n; !hand(part) {
				return nil
			}
			part = samples{file: "-", first: seen}
		}
		if ended && seen == 0 {
			return errors.New("no samples")
		}
		if ended {
			return nil
		}
	}
}

// readLine is the next line without white space around it. At the end it is what is left, with io.EOF.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		piece, err := r.ReadSlice('\n')
		if line = append(line, piece...); len(line) > maxLine {
			return "", fmt.Errorf("more than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimSpace(string(line)), err
		}
	}
}

// parseLine adds one sample.
func (in *inputs) parseLine(line string, part *samples) error {
	if in.dims == nil {
		part.texts = append(part.texts, line)
		return nil
	}
	before := len(part.values)
	var err error
	if strings.HasPrefix(line, "[") {
		err = part.addJSON(line)
	} else {
		err = part.addNumbers(line)
	}
	if got, want := len(part.values)-before, product(in.dims); err == nil && got != want {
		return fmt.Errorf("%d numbers, want %d (%v)", got, want, in.dims)
	}
	return err
}

// addNumbers takes numbers divided by commas, tabs or spaces.
func (s *samples) addNumbers(line string) error {
	cells := strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == '\t' || r == ' ' })
	for i, cell := range cells {
		v, err := strconv.ParseFloat(cell, 32)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("number %d is %.40q, want a finite number", i+1, cell)
		}
		s.values = append(s.values, float32(v))
	}
	return nil
}

// addJSON takes an array of numbers, nested or flat.
func (s *samples) addJSON(line string) error {
	var tree any
	if err := json.Unmarshal([]byte(line), &tree); err != nil {
		return err
	}
	return s.addTree(tree)
}

func (s *samples) addTree(tree any) error {
	switch v := tree.(type) {
	case []any:
		for _, inner := range v {
			if err := s.addTree(inner); err != nil {
				return err
			}
		}
		return nil
	case float64:
		if math.Abs(v) > math.MaxFloat32 {
			return fmt.Errorf("%v is beyond the range of float32", v)
		}
		s.values = append(s.values, float32(v))
		return nil
	}
	return fmt.Errorf("found %v, want an array of numbers", tree)
}

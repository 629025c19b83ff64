package train

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/google/renameio/v2"
	"golang.org/x/exp/mmap"

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/layer"
)

// A frozen backbone gives every sample the same taps in every epoch. They are computed once, before the first step, and
// kept in tapsDir of the run folder: <split>.f32, a row of float32 (little endian) per sample, the shortest first, and
// <split>.json, which says how many rows are whole. A run that was stopped goes on after these.
const (
	tapsDir       = "taps"
	tapsBatch     = 64
	tapsSaveEvery = 5 * time.Second
)

// tapFile is what the head reads of all samples of a split.
type tapFile struct {
	width int
	row   []int // by sample
	data  *mmap.ReaderAt
}

// tapProgress is the <split>.json of a tapFile.
type tapProgress struct {
	Of    string `json:"of"` // digest of backbone, taps and samples
	Width int    `json:"width"`
	Rows  int    `json:"rows"` // that are whole
	CRC32 uint32 `json:"crc32"`
}

// values returns the rows of the samples at indices, one after another.
func (f *tapFile) values(indices []int) ([]float32, error) {
	values := make([]float32, 0, len(indices)*f.width)
	raw := make([]byte, 4*f.width)
	for _, i := range indices {
		if _, err := f.data.ReadAt(raw, int64(f.row[i])*int64(len(raw))); err != nil {
			return nil, fmt.Errorf("train: taps of sample %d: %w", i, err)
		}
		for at := 0; at < len(raw); at += 4 {
			values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(raw[at:])))
		}
	}
	return values, nil
}

// keepTaps computes the taps of both splits, as far as the run folder does not hold them, and lets the samples be read
// from there.
func (r *run) keepTaps(ctx context.Context) error {
	dir := r.job.Dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "layarun-taps-"); err != nil {
			return fmt.Errorf("train: taps: %w", err)
		}
		r.scratch = dir
	}
	dir = filepath.Join(dir, tapsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	for _, split := range []struct {
		name    string
		samples *samples
	}{{"train", r.train}, {"validation", r.validation}} {
		w := tapWriter{run: r, path: filepath.Join(dir, split.name), samples: split.samples, order: split.samples.byLength()}
		if err := w.write(ctx); err != nil {
			return err
		}
		var err error
		if split.samples.taps, err = w.open(); err != nil {
			return err
		}
	}
	return nil
}

// tapWriter fills the file of one split.
type tapWriter struct {
	run     *run
	path    string // without its ending
	samples *samples
	order   []int // samples in the order of the rows
	state   tapProgress
	pace    pace
	left    float64 // cost of the rows that are missing
}

func (w *tapWriter) write(ctx context.Context) error {
	if err := w.begin(); err != nil {
		return err
	}
	if w.state.Rows == len(w.order) {
		return nil
	}
	f, err := os.OpenFile(w.path+".f32", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	err = w.fill(ctx, f)
	return cmp.Or(err, f.Close())
}

// begin reads how far an earlier run has come: nowhere if that was with another network or other samples, or the rows are
// damaged.
func (w *tapWriter) begin() error {
	of, err := w.digest()
	if err != nil {
		return err
	}
	fresh := tapProgress{Of: of, Width: w.run.job.Network.TapWidth()}
	text, err := os.ReadFile(w.path + ".json")
	if w.state = fresh; err != nil {
		return nil
	}
	var before tapProgress
	if err := strict.Decode(text, &before); err != nil || before.Of != fresh.Of || before.Width != fresh.Width || before.Rows > len(w.order) {
		return nil
	}
	f, err := os.Open(w.path + ".f32")
	if err != nil {
		return nil
	}
	defer f.Close()
	sum, size := crc32.NewIEEE(), int64(4*before.Width)*int64(before.Rows)
	if n, err := io.CopyN(sum, f, size); err == nil && n == size && sum.Sum32() == before.CRC32 {
		w.state = before
	}
	return nil
}

// digest is that of all that decides the taps.
func (w *tapWriter) digest() (string, error) {
	h := sha256.New()
	network := w.run.job.Network
	for _, s := range network.Segments() {
		for _, op := range append(slices.Clone(s.Blocks), s.Tap) {
			fmt.Fprintf(h, "%s %s\n", op.Name, op.Signature)
		}
	}
	fmt.Fprintf(h, "%s %d\n", w.samples.set.Digest(), w.samples.max)
	for _, ids := range w.samples.tokens {
		if err := binary.Write(h, binary.LittleEndian, append([]int32{int32(len(ids))}, ids...)); err != nil {
			return "", fmt.Errorf("train: taps: %w", err)
		}
	}
	if err := safetensors.Write(h, w.run.fixed); err != nil {
		return "", fmt.Errorf("train: taps: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fill writes the rows that are missing, and now and then how many are whole.
func (w *tapWriter) fill(ctx context.Context, f *os.File) error {
	size := int64(4 * w.state.Width)
	if err := f.Truncate(int64(w.state.Rows) * size); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	for chunk := range slices.Chunk(w.order[w.state.Rows:], tapsBatch) {
		w.left += w.cost(chunk)
	}
	saved := time.Now()
	for w.state.Rows < len(w.order) {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), w.save(f))
		}
		if err := w.next(f); err != nil {
			return err
		}
		if time.Since(saved) > tapsSaveEvery {
			if err := w.save(f); err != nil {
				return err
			}
			saved = time.Now()
		}
	}
	return w.save(f)
}

// next computes and writes the rows of one batch.
func (w *tapWriter) next(f *os.File) error {
	began := time.Now()
	indices := slices.Clone(w.order[w.state.Rows:min(w.state.Rows+tapsBatch, len(w.order))])
	rows := len(indices)
	for len(indices) < tapsBatch { // so that one shape per length is compiled
		indices = append(indices, indices[rows-1])
	}
	b, err := w.samples.batch(indices)
	if err != nil {
		return err
	}
	defer b.free()
	values, err := w.run.stepper.tapsOf(b.x, w.run.fixedOn)
	if err != nil {
		return err
	}
	raw := make([]byte, 0, 4*rows*w.state.Width)
	for _, v := range values[:rows*w.state.Width] {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	if _, err := f.Write(raw); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	w.state.CRC32 = crc32.Update(w.state.CRC32, crc32.IEEETable, raw)
	w.state.Rows += rows
	w.left -= w.cost(indices)
	w.pace.add(w.samples.length(indices), w.cost(indices), time.Since(began).Seconds())
	if watch := w.run.job.Caching; watch != nil {
		watch(Caching{Split: filepath.Base(w.path), Done: w.state.Rows, Of: len(w.order), Left: w.pace.left(w.left)})
	}
	return nil
}

// cost of a batch, in multiplications; one that is not full is filled up.
func (w *tapWriter) cost(indices []int) float64 {
	n := w.run.job.Network
	return float64(n.MACs(n.Backbone.Depth(), w.samples.length(indices), true) * tapsBatch)
}

// save makes the rows written so far whole.
func (w *tapWriter) save(f *os.File) error {
	text, err := json.Marshal(w.state)
	if err := cmp.Or(err, f.Sync()); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	if err := renameio.WriteFile(w.path+".json", text, 0o644); err != nil {
		return fmt.Errorf("train: taps: %w", err)
	}
	return nil
}

func (w *tapWriter) open() (*tapFile, error) {
	data, err := mmap.Open(w.path + ".f32")
	if err != nil {
		return nil, fmt.Errorf("train: taps: %w", err)
	}
	f := &tapFile{width: w.state.Width, row: make([]int, len(w.order)), data: data}
	for row, i := range w.order {
		f.row[i] = row
	}
	return f, nil
}

// tapsOf runs the backbone on a batch: the rows of [n, width].
func (s *stepper) tapsOf(x *tensors.Tensor, weights []*tensors.Tensor) ([]float32, error) {
	args := []any{x}
	for _, t := range weights {
		args = append(args, t)
	}
	out, err := s.taps.Call(args...)
	if err != nil {
		return nil, fmt.Errorf("train: taps: %w", err)
	}
	values, err := tensors.CopyFlatData[float32](out[0])
	if err != nil {
		return nil, fmt.Errorf("train: taps: %w", err)
	}
	return values, out[0].FinalizeAll()
}

// fixedParams are the weights that a frozen backbone keeps: its own and its taps'.
func fixedParams(s *stepper) []layer.Param {
	head := map[string]bool{}
	for _, p := range s.params {
		head[p.Name] = true
	}
	return slices.DeleteFunc(s.network.Params(), func(p layer.Param) bool { return head[p.Name] })
}

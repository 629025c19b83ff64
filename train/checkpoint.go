package train

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/layer"
)

// A checkpoint is a folder checkpoints/step-<number> of the run folder with the state and the manifest below. It is
// written under another name and renamed when all of it is on disk, so what has the right name is whole, but for damage
// done later, which the digest shows.
const (
	checkpointsDir  = "checkpoints"
	checkpointForm  = "step-%09d"
	stateFile       = "state.safetensors"
	checkpointFile  = "checkpoint.json"
	bestPrefix      = "best/"
	keepCheckpoints = 2
)

// checkpoint is the manifest of a checkpoint.
type checkpoint struct {
	Run    string  `json:"run"` // digest of configuration, network and data: what it may continue
	Step   int     `json:"step"`
	Epoch  int     `json:"epoch"`
	Loss   float64 `json:"loss_sum"`
	Epochs []Epoch `json:"epochs"`
	SHA256 string  `json:"sha256"` // of the state
}

// identity is the digest of everything that decides how the run goes on.
func (j Job) identity() (string, error) {
	config, err := json.Marshal(j.Config)
	if err != nil {
		return "", fmt.Errorf("train: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%d\n", config, j.Train.Digest(), j.Validation.Digest(), j.MaxLength)
	for _, op := range j.Network.Ops() {
		fmt.Fprintf(h, "%s %s %v\n", op.Name, op.Signature, op.Params)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// save writes a checkpoint of the run as it stands and removes old ones.
func (r *run) save() error {
	if r.job.Dir == "" {
		return nil
	}
	if err := r.write(); err != nil {
		return fmt.Errorf("train: checkpoint at step %d: %w", r.step, err)
	}
	names, err := checkpoints(r.job.Dir)
	if err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-keepCheckpoints)] {
		if err := os.RemoveAll(filepath.Join(r.job.Dir, checkpointsDir, name)); err != nil {
			return fmt.Errorf("train: old checkpoint: %w", err)
		}
	}
	return nil
}

func (r *run) write() error {
	dir := filepath.Join(r.job.Dir, checkpointsDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	sum := sha256.New()
	all := layer.Weights{}
	for i, name := range r.state.names {
		all[name] = r.state.tensors[i]
	}
	for name, t := range r.best {
		all[bestPrefix+name] = t
	}
	err = writeSynced(filepath.Join(temp, stateFile), func(w io.Writer) error {
		return safetensors.Write(io.MultiWriter(w, sum), all)
	})
	if err != nil {
		return err
	}
	manifest, err := json.MarshalIndent(checkpoint{Run: r.identity, Step: r.step, Epoch: r.epoch, Loss: r.lossSum,
		Epochs: r.epochs, SHA256: hex.EncodeToString(sum.Sum(nil))}, "", "  ")
	if err != nil {
		return err
	}
	err = writeSynced(filepath.Join(temp, checkpointFile), func(w io.Writer) error {
		_, err := w.Write(append(manifest, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	target := filepath.Join(dir, fmt.Sprintf(checkpointForm, r.step))
	if err := os.RemoveAll(target); err != nil { // a damaged one, or the same again after an epoch's evaluation
		return err
	}
	return errors.Join(syncDir(temp), os.Rename(temp, target), syncDir(dir))
}

func writeSynced(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	return errors.Join(write(w), w.Flush(), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkpoints lists the names of the checkpoints of a run folder, oldest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: checkpoints: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "step-") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// ErrOtherRun is returned when the run folder holds checkpoints of another configuration, network or data.
var ErrOtherRun = errors.New("train: the run folder belongs to another run")

// resume continues from the newest checkpoint that is whole, if there is any.
func (r *run) resume() error {
	if r.job.Dir == "" {
		return nil
	}
	names, err := checkpoints(r.job.Dir)
	if err != nil || len(names) == 0 {
		return err
	}
	var faults []error
	for _, name := range slices.Backward(names) {
		err := r.read(filepath.Join(r.job.Dir, checkpointsDir, name))
		if err == nil || errors.Is(err, ErrOtherRun) {
			return err
		}
		faults = append(faults, fmt.Errorf("train: %s: %w", name, err))
	}
	return errors.Join(faults...)
}

// read takes the run's state from a checkpoint, or leaves it alone.
func (r *run) read(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, checkpointFile))
	if err != nil {
		return err
	}
	var c checkpoint
	if err := strict.Decode(text, &c); err != nil {
		return fmt.Errorf("%s: %w", checkpointFile, err)
	}
	if c.Run != r.identity {
		return fmt.Errorf("%w: %s was made with another configuration, network or data; choose another folder", ErrOtherRun, dir)
	}
	all, err := readState(filepath.Join(dir, stateFile), c.SHA256)
	if err != nil {
		return err
	}
	best := layer.Weights{}
	for name, t := range all {
		if rest, ok := strings.CutPrefix(name, bestPrefix); ok {
			best[rest] = t
		}
	}
	moved := make([]*tensors.Tensor, len(r.state.names))
	for i, name := range r.state.names {
		t, ok := all[name]
		if !ok {
			return fmt.Errorf("%s: %q is missing", stateFile, name)
		}
		if moved[i], err = t.OnDeviceClone(r.job.Backend, 0); err != nil {
			return err
		}
	}
	r.state.tensors, r.step, r.epoch, r.lossSum, r.epochs = moved, c.Step, c.Epoch, c.Loss, c.Epochs
	if len(best) > 0 {
		r.best = best
	}
	return nil
}

func readState(path, want string) (layer.Weights, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	all, err := safetensors.Read(bufio.NewReaderSize(io.TeeReader(f, sum), 1<<20), info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", stateFile, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return nil, fmt.Errorf("%s: sha256 is %s, want %s", stateFile, got, want)
	}
	return all, nil
}

package train

import (
	"bufio"
	"cmp"
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

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/internal/strict"
	"github.com/layarun/layarun/layer"
)

// A checkpoint is a folder checkpoints/step-<number> of the run folder with the state and the manifest below. It is
// written under another name and renamed when all of it is on disk, so what has the right name is whole, but for damage
// done later, which the digest shows.
const (
	checkpointForm  = "step-%09d"
	stateFile       = "state.safetensors"
	checkpointFile  = "checkpoint.json"
	newPattern      = ".new-*" // of a checkpoint that is being written
	bestPrefix      = "best/"
	keepCheckpoints = 2
)

// checkpoint is the manifest of a checkpoint.
type checkpoint struct {
	Run     string  `json:"run"` // digest of configuration, network and data: what it may continue
	Step    int     `json:"step"`
	Epoch   int     `json:"epoch"`
	Loss    float64 `json:"loss_sum"`
	Seconds float64 `json:"seconds"`
	Epochs  []Epoch `json:"epochs"`
	SHA256  string  `json:"sha256"` // of the state
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
	temp, err := os.MkdirTemp(dir, newPattern)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := r.fill(temp); err != nil {
		return err
	}
	if err := syncDir(temp); err != nil {
		return err
	}
	target := filepath.Join(dir, fmt.Sprintf(checkpointForm, r.step))
	if err := os.RemoveAll(target); err != nil { // a damaged one, or the same again after an epoch's evaluation
		return err
	}
	if err := os.Rename(temp, target); err != nil {
		return err
	}
	return syncDir(dir)
}

// fill writes the files of a checkpoint to dir.
func (r *run) fill(dir string) error {
	all := layer.Weights{}
	for i, name := range r.state.names {
		all[name] = r.state.tensors[i]
	}
	for name, t := range r.best {
		all[bestPrefix+name] = t
	}
	sum := sha256.New()
	err := writeSynced(filepath.Join(dir, stateFile), func(w io.Writer) error {
		return safetensors.Write(io.MultiWriter(w, sum), all)
	})
	if err != nil {
		return err
	}
	manifest, err := json.MarshalIndent(checkpoint{Run: r.identity, Step: r.step, Epoch: r.epoch, Loss: r.lossSum,
		Seconds: r.seconds, Epochs: r.epochs, SHA256: hex.EncodeToString(sum.Sum(nil))}, "", "  ")
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dir, checkpointFile), func(w io.Writer) error {
		_, err := w.Write(append(manifest, '\n'))
		return err
	})
}

func writeSynced(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = cmp.Or(write(w), w.Flush(), f.Sync()) // the first: a buffered writer repeats its error
	return cmp.Or(err, f.Close())
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

// resume continues from the newest checkpoint that is whole, if there is any, and removes what a killed trainer left
// half written.
func (r *run) resume() error {
	half, err := filepath.Glob(filepath.Join(r.job.Dir, checkpointsDir, newPattern))
	if err != nil {
		return fmt.Errorf("train: checkpoints: %w", err)
	}
	for _, dir := range half {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("train: checkpoints: %w", err)
		}
	}
	names, err := checkpoints(r.job.Dir)
	if err != nil || len(names) == 0 {
		return err
	}
	var faults []error
	for _, name := range slices.Backward(names) {
		err := r.read(filepath.Join(r.job.Dir, checkpointsDir, name))
		if err == nil {
			if r.job.Resumed != nil {
				r.job.Resumed(Resumption{Epoch: r.epoch, Epochs: r.job.Config.Epochs, Step: r.step, Steps: r.steps(), Skipped: faults})
			}
			return nil
		}
		if errors.Is(err, ErrOtherRun) {
			return err
		}
		faults = append(faults, fmt.Errorf("train: checkpoint %s: %w", name, err))
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
		return fmt.Errorf("%w: %s was made with another configuration, network or data", ErrOtherRun, dir)
	}
	all, err := readState(filepath.Join(dir, stateFile), c.SHA256)
	if err != nil {
		return err
	}
	state, err := r.stepper.stateOf(all)
	if err != nil {
		return fmt.Errorf("%s: %w", stateFile, err)
	}
	r.state.free()
	r.state, r.step, r.epoch, r.lossSum, r.seconds, r.epochs = state, c.Step, c.Epoch, c.Loss, c.Seconds, c.Epochs
	for name, t := range all {
		if rest, ok := strings.CutPrefix(name, bestPrefix); ok {
			if r.best == nil {
				r.best = layer.Weights{}
			}
			r.best[rest] = t
		}
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

package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// What a run folder holds.
const (
	RecipeFile     = "recipe.yaml"   // the resolved configuration
	MetricsFile    = "metrics.jsonl" // one [Epoch] per line
	checkpointsDir = "checkpoints"
	BundleDir      = "bundle" // the trained network; the caller of [Run] writes it
	lockFile       = ".lock"
)

// ErrBusy is returned when another trainer is at work in the run folder.
var ErrBusy = errors.New("train: another trainer is at work in the run folder")

// ErrOtherRun is returned when the run folder holds a run of another configuration, network or data.
var ErrOtherRun = errors.New("train: the run folder belongs to another run")

// lockFolder makes the folder if need be and keeps other trainers out of it until the lock is closed, or the process ends.
func lockFolder(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("train: run folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, lockFile))
	got, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("train: run folder: %w", err)
	}
	if !got {
		return nil, fmt.Errorf("%w: %s", ErrBusy, dir)
	}
	return lock, nil
}

// clearFolder forgets the run that dir holds. The checkpoints go first: without them nothing resumes.
func clearFolder(dir string) error {
	for _, name := range []string{checkpointsDir, MetricsFile, BundleDir} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("train: run folder: %w", err)
		}
	}
	return nil
}

// enterFolder continues the run that the folder holds, if it holds one, or claims it for this run.
func (r *run) enterFolder() error {
	dir := r.job.Dir
	if r.job.Restart {
		if err := clearFolder(dir); err != nil {
			return err
		}
	}
	if err := r.resume(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, BundleDir)); r.step == 0 && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s holds a bundle but no checkpoint that it could be continued from", ErrOtherRun, dir)
	}
	if r.job.Recipe != nil {
		if err := renameio.WriteFile(filepath.Join(dir, RecipeFile), r.job.Recipe, 0o644); err != nil {
			return fmt.Errorf("train: %w", err)
		}
	}
	return r.writeMetrics()
}

// writeMetrics writes the metrics from the run's own record, so that they never hold an epoch twice, whenever the run
// was killed. A kill between a checkpoint and its metrics is made good when the run resumes.
func (r *run) writeMetrics() error {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for _, e := range r.epochs {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("train: %s: %w", MetricsFile, err)
		}
	}
	if err := renameio.WriteFile(filepath.Join(r.job.Dir, MetricsFile), lines.Bytes(), 0o644); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

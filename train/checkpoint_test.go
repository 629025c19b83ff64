package train_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// stopAfter runs job and cancels it when it has made so many steps in all.
func stopAfter(t testing.TB, job train.Job, step int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	job.Watch = func(p train.Progress) {
		if p.Step >= step {
			cancel()
		}
	}
	if _, err := train.Run(ctx, job); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
}

// checkpointsOf lists the checkpoints of a run folder, oldest first.
func checkpointsOf(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// wantMetrics checks that metrics.jsonl holds exactly the given epochs.
func wantMetrics(t testing.TB, dir string, want []train.Epoch) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, train.MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []train.Epoch
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e train.Epoch
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("metrics hold %+v, want %+v", got, want)
	}
}

func TestCancelledRunGoesOnWithTheSameBits(t *testing.T) {
	for _, device := range testbackend.All(t) {
		stops := [][]int{{1}, {5}, {7}, {19}, {2, 3, 11}}
		if device.Name != "go" {
			stops = stops[2:3] // every run compiles, which takes XLA seconds
		}
		t.Run(device.Name, func(t *testing.T) { cancelledRun(t, device.Backend, stops) })
	}
}

// cancelledRun stops a run after each of the steps of a list.
func cancelledRun(t *testing.T, backend compute.Backend, all [][]int) {
	job := newJob(t)
	job.Backend = backend
	want := mustRun(t, job)
	for _, stops := range all {
		job.Dir = t.TempDir()
		var resumed []int
		job.Resumed = func(r train.Resumption) {
			resumed = append(resumed, r.Step)
			if r.Steps != 20 || r.Epochs != 4 || r.Epoch != r.Step/5 || len(r.Skipped) != 0 {
				t.Errorf("resumption %+v, want epoch %d of 4, 20 steps, nothing skipped", r, r.Step/5)
			}
		}
		for _, step := range stops {
			stopAfter(t, job, step)
		}
		got := mustRun(t, job)
		wantSameBits(t, got, want)
		wantMetrics(t, job.Dir, got.Epochs)
		if !reflect.DeepEqual(resumed, stops) {
			t.Errorf("resumed at steps %v, want %v", resumed, stops)
		}
	}
}

func TestFinishedRunIsReadBack(t *testing.T) {
	job := newJob(t)
	job.Dir = t.TempDir()
	job.Config.Patience = 1
	want := mustRun(t, job)
	if want.Finished {
		t.Error("a new run says that it was finished before")
	}
	if err := os.Remove(filepath.Join(job.Dir, train.MetricsFile)); err != nil { // as if killed before they were written
		t.Fatal(err)
	}
	job.Watch = func(p train.Progress) { t.Errorf("a finished run makes step %d", p.Step) }
	got := mustRun(t, job)
	wantSameBits(t, got, want)
	wantMetrics(t, job.Dir, want.Epochs)
	if !got.Finished {
		t.Error("a finished run does not say so")
	}
	job.Watch, job.Restart = nil, true
	if again := mustRun(t, job); again.Finished {
		t.Error("a run that was begun again says that it was finished")
	}
}

// damages are what a failing disk, or a crash in an unlucky order of writes, makes of a file.
var damages = map[string]func(t *testing.T, file string, rng *rand.Rand){
	"truncated": func(t *testing.T, file string, rng *rand.Rand) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, rng.Int64N(info.Size())); err != nil {
			t.Fatal(err)
		}
	},
	"one bit turned": func(t *testing.T, file string, rng *rand.Rand) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := rng.IntN(len(data))
		if strings.HasSuffix(file, ".json") {
			at = strings.Index(string(data), `"run"`) + 1
		}
		data[at] ^= 1
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
	},
	"missing": func(t *testing.T, file string, _ *rand.Rand) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	},
}

func TestDamagedCheckpointIsSkipped(t *testing.T) {
	job := newJob(t)
	job.Config.CheckpointEvery = 3
	want := mustRun(t, job)
	rng := rand.New(rand.NewPCG(1, 0))
	for kind, damage := range damages {
		for _, file := range []string{"state.safetensors", "checkpoint.json"} {
			t.Run(kind+" "+file, func(t *testing.T) {
				job := job
				job.Dir = t.TempDir()
				stopAfter(t, job, 13)
				names := checkpointsOf(t, job.Dir)
				if len(names) != 2 || !strings.HasSuffix(names[0], "step-000000012") || !strings.HasSuffix(names[1], "step-000000013") {
					t.Fatalf("checkpoints %v, want those of steps 12 and 13", names)
				}
				damage(t, filepath.Join(names[1], file), rng)
				var at train.Resumption
				job.Resumed = func(r train.Resumption) { at = r }
				got := mustRun(t, job)
				wantSameBits(t, got, want)
				wantMetrics(t, job.Dir, got.Epochs)
				if at.Step != 12 || len(at.Skipped) != 1 || !strings.Contains(at.Skipped[0].Error(), "step-000000013") {
					t.Errorf("resumption %+v, want step 12 and the fault of step 13", at)
				}
			})
		}
	}
}

func TestAllCheckpointsDamagedIsAnError(t *testing.T) {
	job := newJob(t)
	job.Config.CheckpointEvery = 3
	job.Dir = t.TempDir()
	stopAfter(t, job, 7)
	for _, name := range checkpointsOf(t, job.Dir) {
		if err := os.Truncate(filepath.Join(name, "state.safetensors"), 100); err != nil {
			t.Fatal(err)
		}
	}
	_, err := train.Run(t.Context(), job)
	for _, want := range []string{"step-000000006", "step-000000007", "state.safetensors"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that names %s", err, want)
		}
	}
	if got := len(checkpointsOf(t, job.Dir)); got != 2 {
		t.Errorf("%d checkpoints are left, want both for whoever looks into it", got)
	}
}

func TestFolderOfAnotherRunIsLeftAlone(t *testing.T) {
	job := newJob(t)
	job.Dir, job.Recipe = t.TempDir(), []byte("first")
	stopAfter(t, job, 6)
	for name, change := range map[string]func(j *train.Job){
		"configuration": func(j *train.Job) { j.Config.Rate *= 2 },
		"seed":          func(j *train.Job) { j.Config.Seed++ },
		"data":          func(j *train.Job) { j.Train = blobs(80, 9) },
		"start":         func(j *train.Job) { j.Start = layer.NewWeights(j.Network.Params(), 9) },
	} {
		t.Run(name, func(t *testing.T) {
			other := job
			other.Recipe = []byte("second")
			change(&other)
			if _, err := train.Run(t.Context(), other); !errors.Is(err, train.ErrOtherRun) || !strings.Contains(err.Error(), job.Dir) {
				t.Errorf("error %v, want ErrOtherRun with the folder", err)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(job.Dir, train.RecipeFile)); err != nil || string(text) != "first" {
		t.Errorf("the recipe is %q (%v), want that of the first run", text, err)
	}
	job.Recipe = []byte("again")
	mustRun(t, job)

	// A bundle without checkpoints is someone's result: it is neither continued nor overwritten.
	if err := os.Mkdir(filepath.Join(job.Dir, train.BundleDir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(job.Dir, "checkpoints")); err != nil {
		t.Fatal(err)
	}
	if _, err := train.Run(t.Context(), job); !errors.Is(err, train.ErrOtherRun) {
		t.Errorf("error %v, want ErrOtherRun", err)
	}
	job.Restart = true
	mustRun(t, job)
	if _, err := os.Stat(filepath.Join(job.Dir, train.BundleDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old bundle is still there after a restart (%v)", err)
	}
}

func TestTwoTrainersNeverShareAFolder(t *testing.T) {
	job := newJob(t)
	job.Dir = t.TempDir()
	second := job
	second.Restart = true
	tried := false
	job.Watch = func(p train.Progress) {
		if p.Step != 7 || p.Done != nil {
			return
		}
		tried = true
		if _, err := train.Run(t.Context(), second); !errors.Is(err, train.ErrBusy) || !strings.Contains(err.Error(), job.Dir) {
			t.Errorf("error %v, want ErrBusy with the folder", err)
		}
	}
	mustRun(t, job)
	if !tried {
		t.Fatal("the second trainer never tried")
	}
	if result := mustRun(t, second); result.Finished { // the lock is free again
		t.Error("the restarted run says that it was finished")
	}
}

func TestRunFolderThatCannotBeMade(t *testing.T) {
	job := newJob(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	job.Dir = filepath.Join(file, "run")
	if _, err := train.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one that names %s", err, file)
	}
}

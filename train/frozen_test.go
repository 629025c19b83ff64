package train_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// frozenJob is newJob with a backbone that stays as it was drawn.
func frozenJob(t testing.TB) train.Job {
	job := newJob(t)
	job.Config.BackboneRate, job.Config.Clip = 0, 0
	return job
}

func inBackbone(job train.Job) map[string]bool {
	inner := map[string]bool{}
	for _, p := range layer.ParamsOf(backbone.Ops(job.Network.Backbone)...) {
		inner[p.Name] = true
	}
	return inner
}

// The head learns on kept taps what it would learn behind the backbone, which stays bit by bit.
func TestFrozenBackbone(t *testing.T) {
	for _, device := range testbackend.All(t) {
		job := frozenJob(t)
		job.Backend = device.Backend
		job.Start = layer.NewWeights(job.Network.Params(), 7)
		got := mustRun(t, job)
		// So small a share moves no float32, and without a clip the gradients of the backbone have no part in the head's.
		job.Config.BackboneRate = 1e-30
		want := mustRun(t, job)
		inner := inBackbone(job)
		moved := 0.0
		for name, w := range want.Weights {
			g, w, start := tensors.MustCopyFlatData[float32](got.Weights[name]), tensors.MustCopyFlatData[float32](w), tensors.MustCopyFlatData[float32](job.Start[name])
			for i := range w {
				// Twenty steps of Adam on sums in another order: its first steps are rate * sign, which a gradient near 0 may turn.
				if d := math.Abs(float64(g[i] - w[i])); inner[name] && g[i] != start[i] || d > 2e-3 {
					t.Fatalf("%s: %s, value %d is %v, want %v; it began as %v", device.Name, name, i, g[i], w[i], start[i])
				}
				moved = max(moved, math.Abs(float64(g[i]-start[i])))
			}
		}
		if moved < 0.05 {
			t.Errorf("%s: no weight moved by more than %v", device.Name, moved)
		}
		for i, e := range got.Epochs {
			if w := want.Epochs[i]; math.Abs(e.TrainLoss-w.TrainLoss) > 1e-3 || math.Abs(e.Validation.Loss-w.Validation.Loss) > 1e-3 {
				t.Errorf("%s: epoch %d brought %+v, want about %+v", device.Name, i+1, e, w)
			}
		}
	}
}

// Taps that were computed are not computed again, whatever stopped the run, and damage to them is noticed.
func TestTapsAreKept(t *testing.T) {
	want := mustRun(t, frozenJob(t))
	stopped := func(dir string) train.Job {
		job := frozenJob(t)
		job.Dir = dir
		ctx, cancel := context.WithCancel(t.Context())
		job.Caching = func(c train.Caching) {
			if c.Done > c.Of || c.Split != "train" {
				t.Errorf("caching says %+v before the first batch of 80 is done", c)
			}
			cancel()
		}
		if _, err := train.Run(ctx, job); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want context.Canceled", err)
		}
		return job
	}
	done := func(job *train.Job) *[]train.Caching {
		var all []train.Caching
		job.Caching = func(c train.Caching) { all = append(all, c) }
		return &all
	}

	job := stopped(t.TempDir())
	told := done(&job)
	wantSameBits(t, mustRun(t, job), want)
	if len(*told) != 2 || (*told)[0] != (train.Caching{Split: "train", Done: 80, Of: 80, Left: (*told)[0].Left}) || (*told)[1].Split != "validation" {
		t.Errorf("after 64 of 80 samples were kept caching says %+v, want the rest of train and validation", *told)
	}

	job.Restart = true
	told = done(&job)
	job.Config.Rate /= 2 // another head: the same taps
	mustRun(t, job)
	if len(*told) != 0 {
		t.Errorf("with all taps kept caching says %+v", *told)
	}

	for name, change := range map[string]func(job *train.Job){
		"a damaged row": func(job *train.Job) {
			path := filepath.Join(job.Dir, "taps", "train.f32")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			raw[100] ^= 1
			if err := os.WriteFile(path, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"a short file": func(job *train.Job) {
			if err := os.Truncate(filepath.Join(job.Dir, "taps", "train.f32"), 100); err != nil {
				t.Fatal(err)
			}
		},
		"no progress": func(job *train.Job) {
			if err := os.WriteFile(filepath.Join(job.Dir, "taps", "train.json"), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"other samples":  func(job *train.Job) { job.Train = blobs(80, 9) },
		"other weights":  func(job *train.Job) { job.Config.Seed = 5 },
		"another length": func(job *train.Job) { job.Train = blobs(60, 1) },
	} {
		job := frozenJob(t)
		job.Dir = t.TempDir()
		mustRun(t, job)
		job.Restart = true
		change(&job)
		told := done(&job)
		got := mustRun(t, job)
		alone := job
		alone.Dir = ""
		wantSameBits(t, got, mustRun(t, alone))
		if len(*told) == 0 {
			t.Errorf("%s: the taps were taken as they were", name)
		}
	}
}

// The learning rate of stem and blocks is a share of the head's.
func TestBackboneRate(t *testing.T) {
	change := func(share float64) layer.Weights {
		job := newJob(t)
		job.Start = layer.NewWeights(job.Network.Params(), 5)
		c := &job.Config
		c.Epochs, c.Batch, c.WarmUp, c.Schedule, c.Decay, c.Clip, c.BackboneRate = 1, 80, 0, "constant", 0, 0, share
		result := mustRun(t, job)
		moved := layer.Weights{}
		for name, w := range result.Weights {
			values, start := tensors.MustCopyFlatData[float32](w), tensors.MustCopyFlatData[float32](job.Start[name])
			for i := range values {
				values[i] -= start[i]
			}
			moved[name] = tensors.FromFlatDataAndDimensions(values, w.Shape().Dimensions...)
		}
		return moved
	}
	whole, tenth := change(1), change(0.1)
	inner := inBackbone(newJob(t))
	for name := range whole {
		a, b := tensors.MustCopyFlatData[float32](whole[name]), tensors.MustCopyFlatData[float32](tenth[name])
		for i := range a {
			want := a[i]
			if inner[name] {
				want *= 0.1
			}
			if math.Abs(float64(b[i]-want)) > 1e-6 { // the difference of float32 of order 1
				t.Fatalf("%s, value %d moved by %v, want %v", name, i, b[i], want)
			}
		}
	}
}

func TestFrozenIsNotAugmented(t *testing.T) {
	c := train.Default()
	c.BackboneRate, c.Flip = 0, true
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "backbone_rate") || !strings.Contains(err.Error(), "flip") {
		t.Errorf("error %v, want one about flip and backbone_rate", err)
	}
	c = train.Default()
	c.BackboneRate = -1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "backbone_rate is -1") {
		t.Errorf("error %v, want one about backbone_rate", err)
	}
}

// Before a run is over it says how long the rest will take.
func TestTimeLeft(t *testing.T) {
	job := newJob(t)
	var left []float64
	job.Watch = func(p train.Progress) {
		if p.Done == nil {
			left = append(left, p.Left.Seconds())
		}
	}
	mustRun(t, job)
	if len(left) != 20 || left[0] != 0 || left[1] <= 0 || left[19] != 0 {
		t.Errorf("time left after each step: %v, want some from the second to the last", left)
	}
}

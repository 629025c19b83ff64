// Package train fits a backbone and its head together.
//
// The loop owns its state: weights, Adam's moments and running statistics are named tensors that go through one
// compiled step, and nothing else changes while it runs. The order of the samples, the augmentation and the dropout
// of a step follow from the seed and the step's number alone. So a checkpoint is the state and a step number, and a
// run that was killed and resumed ends with the same bits as one that was not (same machine, same backend).
package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/gomlx/compute"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/layer"
)

// Job is what to train on what.
type Job struct {
	Config  Config
	Network *compile.Network
	Backend compute.Backend
	// Train and Validation are the samples; Validation picks the best epoch.
	Train, Validation *dataset.Set
	// Tokens encodes texts, with at most MaxLength ids each; unused for images and tables.
	Tokens    *token.Tokenizer
	MaxLength int
	// Start are the weights to begin with; nil draws fresh ones from the seed.
	Start layer.Weights
	// Dir is where checkpoints and metrics.jsonl go; empty keeps none.
	Dir string
	// Watch, if not nil, is told after every step and every epoch.
	Watch func(Progress)
}

// Progress is where a run stands.
type Progress struct {
	Epoch, Epochs int // epochs are counted from 1
	Step, Steps   int // of the whole run
	Loss          float64
	// Done is set after each epoch.
	Done *Epoch
}

// Epoch is what one epoch brought.
type Epoch struct {
	Epoch      int     `json:"epoch"`
	TrainLoss  float64 `json:"train_loss"` // mean over the steps
	Validation Score   `json:"validation"`
	Best       bool    `json:"best"`
	Seconds    float64 `json:"seconds"`
}

// Result is the outcome of a run: the weights of the epoch with the best validation accuracy of the last exit.
type Result struct {
	Weights layer.Weights
	Epochs  []Epoch
	Best    int // epoch, from 1
	Steps   int
}

// ErrDiverged is returned when the loss is no longer a number.
var ErrDiverged = errors.New("train: the loss is not finite; try a smaller rate or a gradient clip")

// Run trains to the end, resuming from the newest whole checkpoint in Dir if there is one. When ctx is cancelled it
// writes a checkpoint and returns ctx.Err().
func Run(ctx context.Context, job Job) (*Result, error) {
	r, err := newRun(job)
	if err != nil {
		return nil, err
	}
	for r.epoch < job.Config.Epochs && !r.stopped() {
		if err := r.runEpoch(ctx); err != nil {
			return nil, err
		}
	}
	return &Result{Weights: r.best, Epochs: r.epochs, Best: r.bestEpoch(), Steps: r.step}, nil
}

// run is the state of one training run; the fields from state on are what a checkpoint holds.
type run struct {
	job               Job
	stepper           *stepper
	train, validation *samples
	perEpoch          int    // steps
	identity          string // of the job, for checkpoints

	state   *state
	best    layer.Weights // of the best epoch so far
	epochs  []Epoch
	epoch   int     // epochs finished
	step    int     // steps finished
	lossSum float64 // over the steps of the current epoch
}

func newRun(job Job) (*run, error) {
	if err := job.check(); err != nil {
		return nil, err
	}
	stepper, err := newStepper(job.Config, job.Network, job.Backend)
	if err != nil {
		return nil, err
	}
	r := &run{
		job: job, stepper: stepper,
		train:      newSamples(job.Train, job.Tokens, job.MaxLength),
		validation: newSamples(job.Validation, job.Tokens, job.MaxLength),
		perEpoch:   max(job.Train.Len()/job.Config.Batch, 1),
	}
	if r.identity, err = job.identity(); err != nil {
		return nil, err
	}
	start := job.Start
	if start == nil {
		start = job.fresh()
	}
	if err := layer.CheckWeights(start, stepper.params); err != nil {
		return nil, err
	}
	if r.state, err = stepper.newState(start); err != nil {
		return nil, err
	}
	return r, r.resume()
}

func (j Job) check() error {
	if err := j.Config.Validate(); err != nil {
		return err
	}
	for name, set := range map[string]*dataset.Set{"training": j.Train, "validation": j.Validation} {
		if set.Len() == 0 {
			return fmt.Errorf("train: the %s split is empty", name)
		}
		for i, label := range set.Labels {
			if label < 0 {
				return fmt.Errorf("train: sample %d of the %s split has no label", i, name)
			}
		}
	}
	if classes := j.Network.Head.Config().Classes; len(j.Train.Classes) != classes {
		return fmt.Errorf("train: the head has %d classes, the data %d", classes, len(j.Train.Classes))
	}
	return nil
}

// stopped reports whether patience has run out.
func (r *run) stopped() bool {
	patience := r.job.Config.Patience
	return patience > 0 && r.epoch-r.bestEpoch() >= patience
}

// bestEpoch is the last epoch that was the best when it ended; 0 before the first.
func (r *run) bestEpoch() int {
	for i := len(r.epochs) - 1; i >= 0; i-- {
		if r.epochs[i].Best {
			return r.epochs[i].Epoch
		}
	}
	return 0
}

// runEpoch does what is left of the current epoch. Samples that do not fill the last batch wait for another epoch's
// order.
func (r *run) runEpoch(ctx context.Context) error {
	began := time.Now()
	config := r.job.Config
	order := rand.New(rand.NewPCG(config.Seed, uint64(r.epoch))).Perm(r.job.Train.Len())
	total := config.Epochs * r.perEpoch
	size := min(config.Batch, r.job.Train.Len())
	for r.step < (r.epoch+1)*r.perEpoch {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), r.save())
		}
		at := r.step % r.perEpoch * size
		b := r.train.batch(order[at : at+size])
		rng := rand.New(rand.NewPCG(config.Seed, 1<<32+uint64(r.step)))
		if err := config.augment(b, r.job.Train.Dims, rng); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		loss, err := r.stepper.run(r.state, b, config.rateAt(r.step, total), r.step+1)
		if err != nil {
			return err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("%w (step %d)", ErrDiverged, r.step+1)
		}
		r.step++
		r.lossSum += loss
		r.watch(loss, nil)
		if every := config.CheckpointEvery; every > 0 && r.step%every == 0 {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return r.endEpoch(time.Since(began))
}

// endEpoch evaluates, keeps the weights if they are the best so far and writes a checkpoint.
func (r *run) endEpoch(took time.Duration) error {
	score, err := r.stepper.evaluate(r.state, r.validation, evaluationBatch(r.validation.set.Len()))
	if err != nil {
		return err
	}
	best := true
	for _, e := range r.epochs {
		best = best && score.Last() > e.Validation.Last()
	}
	r.epoch++
	e := Epoch{Epoch: r.epoch, TrainLoss: r.lossSum / float64(r.perEpoch), Validation: score, Best: best, Seconds: took.Seconds()}
	r.lossSum = 0
	r.epochs = append(r.epochs, e)
	if best {
		if r.best, err = r.state.weights(); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	r.watch(e.TrainLoss, &e)
	return nil
}

// evaluationBatch is large enough to be fast and small enough not to waste much on a small split.
func evaluationBatch(n int) int { return min(max(n, 1), 256) }

func (r *run) watch(loss float64, done *Epoch) {
	if r.job.Watch == nil {
		return
	}
	epoch := r.epoch + 1
	if done != nil {
		epoch = done.Epoch
	}
	config := r.job.Config
	r.job.Watch(Progress{Epoch: epoch, Epochs: config.Epochs, Step: r.step, Steps: config.Epochs * r.perEpoch, Loss: loss, Done: done})
}

// fresh draws the first weights from the seed and sets the stem's statistics from the training data.
func (j Job) fresh() layer.Weights {
	weights := layer.NewWeights(j.Network.Params(), j.Config.Seed)
	if j.Config.Standardise && !j.Train.IsText() {
		mean, std := j.Train.Moments()
		for i, s := range std {
			if s < 1e-6 { // a constant feature says nothing: leave it at its distance from the mean
				std[i] = 1
			}
		}
		weights["stem.mean"] = vector(mean)
		weights["stem.std"] = vector(std)
	}
	return weights
}

// Package train fits a backbone and its head together.
//
// The loop owns its state: weights, Adam's moments and running statistics are named tensors that go through one
// compiled step, and nothing else changes while it runs. The order of the samples, the augmentation and the dropout
// of a step follow from the seed and the step's number alone. So a checkpoint is the state and a step number, and a
// run that was killed and resumed ends with the same bits as one that was not (same machine, same backend).
//
// [Recipe] is the configuration file: [Recipe.Resolve] loads the data and fills in what was left out, [Resolved.Job] says
// what to train, [Run] trains it in a run folder, and [Resolved.Bundle] makes the bundle of the best epoch.
package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/layer"
)

// Epoch is what one epoch brought.
type Epoch struct {
	Epoch      int     `json:"epoch"`      // from 1
	Step       int     `json:"step"`       // steps of the run so far
	Rate       float64 `json:"rate"`       // learning rate of the last step
	TrainLoss  float64 `json:"train_loss"` // mean over the steps
	Validation Score   `json:"validation"`
	Best       bool    `json:"best"`    // the best so far, by accuracy of the last exit
	Seconds    float64 `json:"seconds"` // spent in the steps, not in evaluation and checkpoints
}

// Result is the outcome of a run: the weights of the epoch with the best validation accuracy of the last exit.
type Result struct {
	Weights layer.Weights
	Epochs  []Epoch
	Best    int // epoch, from 1
	Steps   int
	// Finished says that the run had ended before and Run did nothing but read its last checkpoint.
	Finished bool
}

// ErrDiverged is returned when the loss is no longer a number.
var ErrDiverged = errors.New("train: the loss is not finite; try a smaller rate or a gradient clip")

// Run trains to the end, resuming from the newest whole checkpoint in Dir if there is one. When ctx is cancelled it
// writes a checkpoint and returns ctx.Err().
//
// Errors a caller may want to tell apart are [ErrBusy], [ErrOtherRun] and [ErrDiverged]. After any error the checkpoints
// written so far are still there.
func Run(ctx context.Context, job Job) (*Result, error) {
	if err := job.check(); err != nil {
		return nil, err
	}
	if job.Dir != "" {
		lock, err := lockFolder(job.Dir)
		if err != nil {
			return nil, err
		}
		defer lock.Close()
	}
	r, err := newRun(ctx, job)
	if err != nil {
		return nil, err
	}
	defer r.close()
	finished := r.ended()
	for !r.ended() {
		if err := r.runEpoch(ctx); err != nil {
			return nil, err
		}
	}
	return &Result{Weights: r.result(), Epochs: r.epochs, Best: r.bestEpoch(), Steps: r.step, Finished: finished}, nil
}

// run is the state of one training run; the fields from state on are what a checkpoint holds.
type run struct {
	job               Job
	stepper           *stepper
	train, validation *samples
	perEpoch          int    // steps
	identity          string // of the job, for checkpoints
	pace              pace
	// What a frozen backbone keeps: its weights on the host and on the device, and the folder of its taps if that is not the
	// run's.
	fixed   layer.Weights
	fixedOn []*tensors.Tensor
	scratch string

	state   *state
	best    layer.Weights // of the best epoch so far
	epochs  []Epoch
	epoch   int     // epochs finished
	step    int     // steps finished
	lossSum float64 // over the steps of the current epoch
	seconds float64 // spent in them
}

func newRun(ctx context.Context, job Job) (*run, error) {
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
	err = r.begin()
	if err == nil && stepper.frozen && !r.ended() {
		err = r.keepTaps(ctx)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// result are all weights of the network at the best epoch.
func (r *run) result() layer.Weights {
	all := maps.Clone(r.best)
	maps.Copy(all, r.fixed)
	return all
}

// begin takes the first state: that of a checkpoint in the run folder, or a new one.
func (r *run) begin() error {
	var err error
	if r.identity, err = r.job.identity(); err != nil {
		return err
	}
	start, err := r.job.first()
	if err != nil {
		return err
	}
	if err := layer.CheckWeights(start, r.job.Network.Params()); err != nil {
		return err
	}
	if err := r.freeze(start); err != nil {
		return err
	}
	if r.state, err = r.stepper.newState(start); err != nil {
		return err
	}
	if r.job.Dir == "" {
		return nil
	}
	return r.enterFolder()
}

// freeze keeps the weights that do not learn; none unless the backbone is frozen.
func (r *run) freeze(start layer.Weights) error {
	if !r.stepper.frozen {
		return nil
	}
	r.fixed = layer.Weights{}
	for _, p := range fixedParams(r.stepper) {
		t, err := start[p.Name].OnDeviceClone(r.job.Backend, 0)
		if err != nil {
			return fmt.Errorf("train: %s: %w", p.Name, err)
		}
		r.fixed[p.Name] = start[p.Name]
		r.fixedOn = append(r.fixedOn, t)
	}
	return nil
}

// close frees what the run holds on the device and its scratch folder; the best weights are on the host and stay.
func (r *run) close() {
	for _, t := range r.fixedOn {
		t.MustFinalizeAll()
	}
	for _, s := range []*samples{r.train, r.validation} {
		if s.taps != nil {
			s.taps.data.Close()
		}
	}
	if r.scratch != "" {
		os.RemoveAll(r.scratch)
	}
	if r.state != nil {
		r.state.free()
	}
	r.stepper.close()
}

// ended reports whether all epochs are done or patience has run out.
func (r *run) ended() bool { return r.epoch >= r.job.Config.Epochs || r.stopped() }

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
	config := r.job.Config
	rng := rand.New(rand.NewPCG(config.Seed, uint64(r.epoch)))
	batches := r.train.batches(rng.Perm(r.job.Train.Len()), min(config.Batch, r.job.Train.Len()), rng)
	left := r.costs(batches)
	for r.step < (r.epoch+1)*r.perEpoch {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), r.save())
		}
		loss, err := r.oneStep(batches[r.step%r.perEpoch])
		if err != nil {
			return err
		}
		r.watch(loss, r.pace.left(left()), nil)
		if every := config.CheckpointEvery; every > 0 && r.step%every == 0 {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	return r.endEpoch()
}

// oneStep trains on the samples at indices and returns their loss.
func (r *run) oneStep(indices []int) (float64, error) {
	began := time.Now()
	config := r.job.Config
	b, err := r.train.batch(indices)
	if err != nil {
		return 0, err
	}
	defer b.free()
	rng := rand.New(rand.NewPCG(config.Seed, 1<<32+uint64(r.step))) // epochs use the numbers below
	if err := config.augment(b, r.job.Train.Dims, rng); err != nil {
		return 0, fmt.Errorf("train: %w", err)
	}
	loss, err := r.stepper.run(r.state, b, config.rateAt(r.step, r.steps()), r.step+1)
	if err != nil {
		return 0, err
	}
	if !finite(loss) {
		return 0, fmt.Errorf("%w (step %d)", ErrDiverged, r.step+1)
	}
	r.step++
	r.lossSum += loss
	seconds := time.Since(began).Seconds()
	r.seconds += seconds
	shape, cost := r.cost(indices)
	r.pace.add(shape, cost, seconds)
	return loss, nil
}

// steps is the number of steps of all epochs.
func (r *run) steps() int { return r.job.Config.Epochs * r.perEpoch }

// endEpoch evaluates, keeps the weights if they are the best so far and writes a checkpoint and the metrics.
func (r *run) endEpoch() error {
	score, err := r.stepper.evaluate(r.state, r.validation, evaluationBatch(r.validation.set.Len()))
	if err != nil {
		return err
	}
	if !finite(score.Loss) { // the last step of the epoch did it
		return fmt.Errorf("%w (validation after step %d)", ErrDiverged, r.step)
	}
	best := true
	for _, e := range r.epochs {
		best = best && score.Last() > e.Validation.Last()
	}
	r.epoch++
	e := Epoch{Epoch: r.epoch, Step: r.step, Rate: r.job.Config.rateAt(r.step-1, r.steps()),
		TrainLoss: r.lossSum / float64(r.perEpoch), Validation: score, Best: best, Seconds: r.seconds}
	r.lossSum, r.seconds = 0, 0
	r.epochs = append(r.epochs, e)
	if best {
		if r.best, err = r.state.weights(); err != nil {
			return err
		}
	}
	if err := r.save(); err != nil {
		return err
	}
	if r.job.Dir != "" {
		if err := r.writeMetrics(); err != nil {
			return err
		}
	}
	r.watch(e.TrainLoss, 0, &e)
	return nil
}

// evaluationBatch is large enough to be fast and small enough not to waste much on a small split.
func evaluationBatch(n int) int { return min(max(n, 1), 256) }

func (r *run) watch(loss float64, left time.Duration, done *Epoch) {
	if r.job.Watch == nil {
		return
	}
	epoch := r.epoch + 1
	if done != nil {
		epoch = done.Epoch
	}
	config := r.job.Config
	r.job.Watch(Progress{Epoch: epoch, Epochs: config.Epochs, Step: r.step, Steps: r.steps(), Loss: loss, Left: left, Done: done})
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

package train

import (
	"errors"
	"fmt"
)

// Config says how to train. Every field has a useful default ([Default]).
type Config struct {
	Seed   uint64 `json:"seed"`
	Epochs int    `json:"epochs"`
	Batch  int    `json:"batch"`
	// Patience stops after so many epochs without a better validation accuracy of the last exit; 0 never stops early.
	// The weights of the best epoch are the result.
	Patience int `json:"patience"`

	// Rate is the peak learning rate. It rises linearly over the first WarmUp share of all steps; then "cosine" lets it
	// fall to 0 along half a cosine and "constant" leaves it.
	Rate     float64 `json:"rate"`
	WarmUp   float64 `json:"warm_up"`
	Schedule string  `json:"schedule"`
	// BackboneRate times Rate is the learning rate of stem and blocks; taps and head learn at Rate. Pretrained weights want
	// a tenth or less. 0 leaves the backbone and its taps as they are: what the head reads is then computed once and kept.
	BackboneRate float64 `json:"backbone_rate"`
	// Beta1, Beta2 and Epsilon are Adam's; Decay is decoupled and applies to weights of two axes or more (Loshchilov and
	// Hutter 2019). Clip bounds the global norm of the gradient; 0 does not.
	Beta1   float64 `json:"beta1"`
	Beta2   float64 `json:"beta2"`
	Epsilon float64 `json:"epsilon"`
	Decay   float64 `json:"decay"`
	Clip    float64 `json:"clip"`

	// The loss is CE(last exit) + ExitWeight * mean CE(earlier exits) + DistilWeight * mean KL(last || exit), with the last
	// exit's distribution held fixed in the KL. Smoothing is the label smoothing of both CE terms.
	ExitWeight   float64 `json:"exit_weight"`
	DistilWeight float64 `json:"distil_weight"`
	Smoothing    float64 `json:"smoothing"`

	// Standardise sets the stem's mean and std from the training data (images and tables).
	Standardise bool `json:"standardise"`
	// Shift pads images by so many zero pixels and crops at random; Flip mirrors them at random.
	Shift int  `json:"shift"`
	Flip  bool `json:"flip"`

	// CheckpointEvery is the number of steps between checkpoints; one is also written after every epoch. 0: epochs only.
	CheckpointEvery int `json:"checkpoint_every"`
}

// Default trains a prefix head and its backbone together.
func Default() Config {
	return Config{
		Seed: 1, Epochs: 20, Batch: 64, Patience: 0,
		Rate: 2e-3, WarmUp: 0.1, Schedule: "cosine", BackboneRate: 1, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Decay: 0.01, Clip: 1,
		ExitWeight: 1, DistilWeight: 0.5, Standardise: true,
	}
}

// Validate reports every fault with field, value and what was expected.
func (c Config) Validate() error {
	var faults []error
	check := func(ok bool, field string, value any, want string) {
		if !ok {
			faults = append(faults, fmt.Errorf("train: %s is %v, want %s", field, value, want))
		}
	}
	check(c.Epochs >= 1, "epochs", c.Epochs, "at least 1")
	check(c.Batch >= 1, "batch", c.Batch, "at least 1")
	check(c.Patience >= 0, "patience", c.Patience, "at least 0")
	check(c.Rate > 0 && c.Rate < 1e3, "rate", c.Rate, "a number > 0")
	check(c.WarmUp >= 0 && c.WarmUp < 1, "warm_up", c.WarmUp, "a share of the steps, 0 <= warm_up < 1")
	check(c.Schedule == "cosine" || c.Schedule == "constant", "schedule", c.Schedule, "cosine or constant")
	check(c.BackboneRate >= 0 && c.BackboneRate < 1e3, "backbone_rate", c.BackboneRate, "a share of rate, at least 0")
	check(c.BackboneRate > 0 || c.Shift == 0 && !c.Flip, "shift and flip", fmt.Sprint(c.Shift, " and ", c.Flip), "0 and false where backbone_rate is 0")
	check(c.Beta1 >= 0 && c.Beta1 < 1, "beta1", c.Beta1, "0 <= beta1 < 1")
	check(c.Beta2 >= 0 && c.Beta2 < 1, "beta2", c.Beta2, "0 <= beta2 < 1")
	check(c.Epsilon > 0, "epsilon", c.Epsilon, "> 0")
	check(c.Decay >= 0, "decay", c.Decay, "at least 0")
	check(c.Clip >= 0, "clip", c.Clip, "at least 0; 0 does not clip")
	check(c.ExitWeight >= 0, "exit_weight", c.ExitWeight, "at least 0")
	check(c.DistilWeight >= 0, "distil_weight", c.DistilWeight, "at least 0")
	check(c.Smoothing >= 0 && c.Smoothing < 1, "smoothing", c.Smoothing, "0 <= smoothing < 1")
	check(c.Shift >= 0, "shift", c.Shift, "at least 0 pixels")
	check(c.CheckpointEvery >= 0, "checkpoint_every", c.CheckpointEvery, "at least 0 steps")
	return errors.Join(faults...)
}

package laya

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// The kinds of head.
const (
	Prefix    = "prefix"    // one attention head that answers at every depth it reads; the default
	Joint     = "joint"     // LAYA as published: the scorer reads all layers, so it answers at the last depth only
	LastLayer = "lastlayer" // softmax regression on the last tap
	Concat    = "concat"    // MLP on the concatenated adapters
	ScalarMix = "scalarmix" // one global softmax weight per layer
	Linear    = "linear"    // one independent linear classifier per exit
)

// Config describes a head. The zero value of a field a kind does not use is required of it, so that a config never says
// something that has no effect.
type Config struct {
	Kind string `json:"kind"`
	// Reads are the depths the head reads, ascending; the last is the network's depth. With kind prefix and linear every
	// one of them is an exit. This is the one value that exits and pruning change.
	Reads   []int `json:"reads"`
	Classes int   `json:"classes"`
	// Dim is d*, the width of the adapters (paper, section 3.1). Unused by lastlayer and linear.
	Dim int `json:"dim,omitempty"`
	// Tau is the softmax temperature over depth, finite and > 0 (paper, eq. 5). Prefix and joint.
	Tau float64 `json:"tau,omitempty"`
	// Hidden is w, the width of the scorer's hidden layer (joint, prefix) or of the MLP after concatenation (concat).
	Hidden int `json:"hidden,omitempty"`
	// Psi is the transform before scoring: "identity" or "mlp", two affine-GELU layers shared by all depths. Joint and prefix.
	Psi string `json:"psi,omitempty"`

	// The fields below are for prefix only.

	// TapNorm normalises the tap before the adapter: "" for none, "layer" for a layer norm per depth.
	TapNorm string `json:"tap_norm,omitempty"`
	// GELU puts a GELU after the adapter.
	GELU bool `json:"gelu,omitempty"`
	// ValueNorm mixes RMSNorm(z_i) * g_i instead of z_i.
	ValueNorm bool `json:"value_norm,omitempty"`
	// ExitScale gives each exit's logits a scale (one number) and a bias per class of its own.
	ExitScale bool `json:"exit_scale,omitempty"`
	// Correction adds h_agg @ D_k to h_agg at exit k, D_k = 0 at the start: a strictly shared classifier starves the
	// middle exits.
	Correction bool `json:"correction,omitempty"`
	// Dropout is the share of tap values dropped in training.
	Dropout float64 `json:"dropout,omitempty"`
}

// Default is a prefix head for the given depths and classes.
func Default(reads []int, classes int) Config {
	return Config{Kind: Prefix, Reads: slices.Clone(reads), Classes: classes, Dim: 128, Tau: 1, Hidden: 128, Psi: "identity",
		ExitScale: true, Correction: true}
}

// Exits are the depths at which the head can answer, ascending; the last is the network's depth.
func (c Config) Exits() []int {
	if c.Kind == Prefix || c.Kind == Linear {
		return slices.Clone(c.Reads)
	}
	return c.Reads[len(c.Reads)-1:]
}

// Attends reports whether the head has attention over depth (alpha).
func (c Config) Attends() bool { return c.Kind == Prefix || c.Kind == Joint || c.Kind == ScalarMix }

// Additive reports whether the logits are a sum over the depths read, which [Contributions] splits.
func (c Config) Additive() bool { return c.Attends() || c.Kind == LastLayer }

// Validate reports every fault with field, value and what was expected.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("laya: "+format, args...)) }
	kinds := []string{Prefix, Joint, LastLayer, Concat, ScalarMix, Linear}
	if !slices.Contains(kinds, c.Kind) {
		fault("kind is %q, want one of %v", c.Kind, kinds)
	}
	if c.Classes < 2 {
		fault("classes is %d, want at least 2", c.Classes)
	}
	c.validateReads(fault)
	c.validateScorer(fault)
	if c.TapNorm != "" && c.TapNorm != "layer" {
		fault("tap_norm is %q, want \"\" or \"layer\"", c.TapNorm)
	}
	if c.Kind != Prefix && (c.TapNorm != "" || c.GELU || c.ValueNorm || c.ExitScale || c.Correction || c.Dropout != 0) {
		fault("tap_norm, gelu, value_norm, exit_scale, correction and dropout are for kind prefix, not %s", c.Kind)
	}
	if !(c.Dropout >= 0 && c.Dropout < 1) {
		fault("dropout is %v, want 0 <= dropout < 1", c.Dropout)
	}
	return errors.Join(faults...)
}

// validateReads checks the depths, and which of them the kind can read.
func (c Config) validateReads(fault func(format string, args ...any)) {
	if len(c.Reads) == 0 {
		fault("reads is empty, want at least the last depth")
		return
	}
	for i, d := range c.Reads {
		if d < 0 || i > 0 && d <= c.Reads[i-1] {
			fault("reads is %v, want depths >= 0 in ascending order", c.Reads)
			break
		}
	}
	if c.Kind == LastLayer && len(c.Reads) != 1 {
		fault("reads is %v, want one depth for kind lastlayer", c.Reads)
	}
	if (c.Kind == Joint || c.Kind == Concat || c.Kind == ScalarMix) && c.Reads[0] == 0 {
		fault("reads is %v, but kind %s does not read depth 0", c.Reads, c.Kind)
	}
}

// validateScorer checks the widths, tau and psi: in range where the kind uses them, zero where it does not.
func (c Config) validateScorer(fault func(format string, args ...any)) {
	scores := c.Kind == Prefix || c.Kind == Joint
	width := func(name string, value int, used bool) {
		if used && value < 1 {
			fault("%s is %d, want at least 1 for kind %s", name, value, c.Kind)
		} else if !used && value != 0 {
			fault("%s is %d, but kind %s does not use it", name, value, c.Kind)
		}
	}
	width("dim", c.Dim, scores || c.Kind == Concat || c.Kind == ScalarMix)
	width("hidden", c.Hidden, scores || c.Kind == Concat)
	if scores && (math.IsNaN(c.Tau) || math.IsInf(c.Tau, 0) || c.Tau <= 0) {
		fault("tau is %v, want a finite number > 0", c.Tau)
	} else if !scores && c.Tau != 0 {
		fault("tau is %v, but kind %s does not use it", c.Tau, c.Kind)
	}
	if scores && c.Psi != "identity" && c.Psi != "mlp" {
		fault("psi is %q, want identity or mlp", c.Psi)
	} else if !scores && c.Psi != "" {
		fault("psi is %q, but kind %s does not use it", c.Psi, c.Kind)
	}
}

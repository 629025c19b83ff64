package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/prune"
)

// pruneOptions are the flags of prune.
type pruneOptions struct {
	threshold, maxDrop float64
	out                string
	name               string // of the new bundle: that of its folder; empty for the old name and "-pruned"
}

func newPruneCmd(a *app) *cobra.Command {
	var o pruneOptions
	cmd := &cobra.Command{
		Use:   "prune BUNDLE",
		Short: "Remove what the head pays little attention to, if validation allows",
		Long: `Propose removals by the attention profile and write a smaller network of those that validation allows, as a new bundle.

Layers whose score (largest over the classes, see profile) reaches the threshold stay. The network is cut after the last
of them; then residual blocks below the threshold are tried, the lowest score first, and then branches of the head. Each
candidate is built and measured on the validation split on top of what was removed before, and stays removed if accuracy
at full depth has dropped by at most --max-drop points in total; the accuracy of early exits is not looked at. A branch
that goes takes its exit with it.

The new bundle holds plan.json: what was tried, and why it went or stayed. It has no policies: thresholds and
certificates are void for another network. Where nothing can be removed no bundle is written.`,
		Example: `  layarun prune runs/digits/bundle
  layarun prune runs/mine/bundle --threshold 0.05 --max-drop 1 --out runs/mine/small`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd.Flags().Changed("threshold"), args[0]); err != nil {
				return err
			}
			return a.prune(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.threshold, "threshold", 0, "score from which a layer stays (default half an even share: 0.5 / depths read)")
	f.Float64Var(&o.maxDrop, "max-drop", 0.5, "largest drop in validation accuracy in total, in points")
	f.StringVarP(&o.out, "out", "o", "", "folder of the new bundle (default BUNDLE-pruned)")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

// check refuses what is wrong with the command line and completes it. Nothing that exists is written over: it may be a
// bundle that was calibrated since.
func (o *pruneOptions) check(hasThreshold bool, dir string) error {
	if hasThreshold && !(o.threshold > 0 && o.threshold < 1) {
		return usageError("--threshold is %v, want a score between 0 and 1", o.threshold)
	}
	if !(o.maxDrop >= 0 && o.maxDrop <= 100) {
		return usageError("--max-drop is %v, want points from 0 to 100", o.maxDrop)
	}
	if o.out != "" {
		o.name = filepath.Base(o.out)
	} else {
		o.out = filepath.Clean(dir) + "-pruned"
	}
	if _, err := os.Lstat(o.out); !errors.Is(err, fs.ErrNotExist) {
		return usageError("--out %s exists already, want a new folder", o.out)
	}
	return nil
}

// pruned is what prune reports.
type pruned struct {
	Bundle    string      `json:"bundle_folder"`
	Out       string      `json:"out,omitempty"` // empty where nothing could be removed
	Digest    string      `json:"digest,omitempty"`
	Backend   string      `json:"backend"`
	Samples   int         `json:"samples"` // of validation
	MaxDrop   float64     `json:"max_drop"`
	Plan      prune.Plan  `json:"plan"`
	Lost      float64     `json:"lost_attention"` // share of the norm-corrected attention on what went
	Before    networkSize `json:"before"`
	After     networkSize `json:"after"`
	policies  int         // that the new bundle does not have
	untouched []int       // blocks below the threshold that are not residual
}

// networkSize is what a network costs and how it does on validation, without exits.
type networkSize struct {
	Blocks     int     `json:"blocks"`
	Reads      []int   `json:"reads"`
	Parameters int     `json:"parameters"`
	MACs       int64   `json:"macs"`
	Accuracy   float64 `json:"accuracy"`
}

func (a *app) prune(ctx context.Context, dir string, o pruneOptions) error {
	b, splits, err := a.openForProfile(ctx, dir)
	if err != nil {
		return err
	}
	if slices.Contains(splits.Validation.Labels, dataset.Unknown) {
		return fmt.Errorf("data %q has validation samples without a label, and pruning is measured by accuracy", b.Data.Name)
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	defer device.Close()
	profile := b.Profile
	if profile == nil || profile.Bundle != b.Digest() || profile.Split != splits.Validation.Digest() {
		a.say("the bundle has no profile of its own on this validation split; making one")
		if profile, err = a.profileOf(ctx, b, device, splits.Validation); err != nil {
			return err
		}
	}
	if o.threshold == 0 {
		o.threshold = 0.5 / float64(len(profile.Reads))
	}
	t := &trial{app: a, device: device, base: b, set: splits.Validation}
	if t.right, err = t.answers(ctx, "measure", b); err != nil {
		return err
	}
	plan, err := prune.Search(*profile, removable(b), o.threshold, o.maxDrop/100, func(p prune.Plan) (prune.Measurement, error) { return t.measure(ctx, p) })
	if err != nil {
		return withHint(err, "layarun profile "+dir+", to see the scores")
	}
	r := pruned{Bundle: dir, Backend: device.Ran(), Samples: splits.Validation.Len(), MaxDrop: o.maxDrop / 100, Plan: plan,
		Lost: profile.Lost(plan.Reads), policies: len(b.Policies), untouched: untouched(b, *profile, plan)}
	if r.Before, err = sizeOf(b); err != nil {
		return err
	}
	r.Before.Accuracy = share(t.right)
	if r.After = r.Before; slices.ContainsFunc(plan.Steps, func(s prune.Step) bool { return s.Accepted }) {
		if err := r.write(b, o); err != nil {
			return err
		}
	}
	return a.showPruned(r)
}

// removable says of each block whether it can go while later ones stay.
func removable(b *bundle.Bundle) []bool {
	all := make([]bool, b.Backbone.Depth())
	for i := range all {
		all[i] = b.Backbone.Block(i + 1).Removable
	}
	return all
}

// untouched lists the kept blocks below the threshold, but for the last, that could not be tried: they are not residual.
func untouched(b *bundle.Bundle, p prune.Profile, plan prune.Plan) []int {
	var blocks []int
	scores := p.Scores()
	for _, k := range plan.Keep[:len(plan.Keep)-1] {
		if i := slices.Index(p.Reads, k); i >= 0 && scores[i] < plan.Threshold && !b.Backbone.Block(k).Removable {
			blocks = append(blocks, k)
		}
	}
	return blocks
}

// carryOut makes the bundle of a plan. Policies, certificates and profile belong to the network it was made from.
func carryOut(b *bundle.Bundle, plan prune.Plan) (*bundle.Bundle, error) {
	network, head, weights, err := prune.Apply(b.Backbone, b.Head, b.Weights, plan)
	if err != nil {
		return nil, err
	}
	return &bundle.Bundle{
		Name: b.Name, CreatedBy: "layarun " + readVersion().Version, Backbone: network, Head: head, Weights: weights,
		Classes: b.Classes, MaxLength: b.MaxLength, Tokenizer: b.Tokenizer, Fit: b.Fit, Data: b.Data, Plan: &plan,
	}, nil
}

// write saves the pruned bundle and notes what it is.
func (r *pruned) write(b *bundle.Bundle, o pruneOptions) error {
	smaller, err := carryOut(b, r.Plan)
	if err != nil {
		return err
	}
	smaller.Name = cmp.Or(o.name, b.Name+"-pruned")
	if r.After, err = sizeOf(smaller); err != nil {
		return err
	}
	for _, step := range r.Plan.Steps {
		if step.Accepted {
			r.After.Accuracy = step.Accuracy
		}
	}
	smaller.Train = maps.Clone(b.Train)
	if smaller.Train != nil {
		delete(smaller.Train, "validation_loss") // of the larger network
		smaller.Train["validation_accuracy"] = r.After.Accuracy
	}
	r.Out, r.Digest = o.out, smaller.Digest()
	return smaller.Save(o.out)
}

func sizeOf(b *bundle.Bundle) (networkSize, error) {
	n, err := compile.NewNetwork(b.Backbone, b.Head)
	if err != nil {
		return networkSize{}, err
	}
	depth := b.Backbone.Depth()
	s := networkSize{Blocks: depth, Reads: b.Head.Reads, MACs: n.MACs(depth, b.MaxLength, false)}
	for _, t := range b.Weights {
		s.Parameters += t.Size()
	}
	return s, nil
}

// lostBranches are the depths of the original network that are still computed but no longer read.
func (r pruned) lostBranches() []int {
	return slices.DeleteFunc(slices.Clone(r.Before.Reads), func(depth int) bool {
		return slices.Contains(r.Plan.Reads, depth) || depth > 0 && !slices.Contains(r.Plan.Keep, depth)
	})
}

func (a *app) showPruned(r pruned) error {
	if a.json {
		if err := a.emit("prune/1", r); err != nil {
			return err
		}
	} else if err := a.printPruned(r); err != nil {
		return err
	}
	if len(r.untouched) > 0 {
		a.say("blocks %v are below the threshold too, but are not residual: the network is not defined without them", r.untouched)
	}
	if r.Out == "" {
		a.say("nothing could be removed at threshold %.4g within %g points; no bundle was written", r.Plan.Threshold, 100*r.MaxDrop)
		return nil
	}
	if lost := r.lostBranches(); len(lost) > 0 {
		a.say("samples can no longer exit at depths %v of the original, whose branches went", lost)
	}
	if r.policies > 0 {
		a.say("the policies and their certificates were left behind: they hold for the unpruned network")
	}
	a.say("next: layarun calibrate %s", r.Out)
	return nil
}

func (a *app) printPruned(r pruned) error {
	if len(r.Plan.Steps) > 0 {
		fmt.Fprintf(a.out, "tried on %d validation samples, threshold %.4g, at most %g points lost in all\n", r.Samples, r.Plan.Threshold, 100*r.MaxDrop)
		var rows [][]string
		for _, s := range r.Plan.Steps {
			verdict := "stays"
			if s.Accepted {
				verdict = "removed"
			}
			rows = append(rows, []string{s.What, fmt.Sprintf("%.4f", s.Score), fmt.Sprintf("%.2f", 100*s.Accuracy), fmt.Sprintf("%+.2f", 100*s.Drop), verdict, s.Reason})
		}
		if err := a.table([]string{"removal", "score", "accuracy %", "drop, points", "verdict", "why"}, rows); err != nil {
			return err
		}
	}
	if r.Out == "" {
		return nil
	}
	fmt.Fprintf(a.out, "\n%s: %.1f %% of the attention went with what was removed\n", r.Out, 100*r.Lost)
	row := func(name string, f func(networkSize) string) []string { return []string{name, f(r.Before), f(r.After)} }
	return a.table([]string{"", "before", "after"}, [][]string{
		row("blocks", func(s networkSize) string { return fmt.Sprint(s.Blocks) }),
		row("depths read", func(s networkSize) string { return fmt.Sprint(len(s.Reads)) }),
		row("parameters", func(s networkSize) string { return fmt.Sprint(s.Parameters) }),
		row("MMACs", func(s networkSize) string { return fmt.Sprintf("%.4g", float64(s.MACs)/1e6) }),
		row("validation %", func(s networkSize) string { return fmt.Sprintf("%.2f", 100*s.Accuracy) }),
	})
}

package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// calibrateOptions are the flags of calibrate.
type calibrateOptions struct {
	maxDrop, delta          float64
	risk, gate, name, exits string
	batch                   int
}

func newCalibrateCmd(a *app) *cobra.Command {
	var o calibrateOptions
	cmd := &cobra.Command{
		Use:   "calibrate BUNDLE [DATA]",
		Short: "Choose when samples may leave early, and certify what it costs",
		Long: `Choose thresholds on the validation split, certify them on the calibration split, and save them with their certificate
as the bundle's default policy.

A path of policies from "never exit" to "exit at once" is laid on validation. Calibration samples then test them in this
order, and the last one before the first failure is the answer: with probability 1 - delta over the draw of the
calibration split, its risk is below --max-drop points. The risk is the drop in accuracy against the full network, or
with --risk consistency the share of answers that change, which needs no labels.

The certificate names the network, the path and the calibration split, and is void for anything else: training on,
pruning and changed data drop it. Calibrating again with another target is allowed, and said: each certificate holds
with its own probability, but whoever tries targets until one passes has a weaker promise than it states.

It holds for samples like those it was calibrated on. DATA, labelled samples in a table, an .npz or a folder of images
per class, takes the place of the calibration split: give samples of what the service is asked, where that differs from
what the network was trained on. Samples of the training and the validation split among them are left out.

With --exits auto the segments of the network are timed with and without their answers, and exits that cost more time
than they save on validation are switched off before anything is certified. What it prints are means over the policies
at a quarter, a half, three quarters and all of --max-drop on validation. This depends on a clock, so it is not the
default, and an exit whose utility is near zero may be kept in one run and not in the next. The list it prints, given to
--exits, makes the same choice again without a clock. --batch 1 judges by the time of single samples; a larger one by
that of full batches, as under load.

If nothing can be certified the bundle stays as it is and the exit code is 3.`,
		Example: `  layarun calibrate runs/digits/bundle --max-drop 2
  layarun calibrate runs/mine/bundle --risk consistency --max-drop 1 --name careful
  layarun calibrate runs/mine/bundle --exits auto --batch 8
  layarun calibrate runs/mine/bundle last-week.csv --name last-week`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := o.exit()
			if err != nil {
				return err
			}
			wanted, err := o.wanted(cmd.Flags().Changed("batch"))
			if err != nil {
				return err
			}
			return a.calibrate(cmd.Context(), args[0], strings.Join(args[1:], ""), o.name, options, wanted)
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.maxDrop, "max-drop", 0.5, "largest risk to certify, in points (percent of the samples)")
	f.StringVar(&o.risk, "risk", "drop", "what is bounded: drop (of accuracy) or consistency (answers that change)")
	f.Float64Var(&o.delta, "delta", 0.05, "largest probability that the certificate is wrong")
	f.StringVar(&o.gate, "gate", "auto", "confidence score: auto, "+strings.Join(exit.Gates, ", "))
	f.StringVar(&o.name, "name", "default", "name of the policy; one of this name is replaced")
	f.StringVar(&o.exits, "exits", "all", "where samples may leave: all exits, auto (those that earn their time), or depths as 2,4,6")
	f.IntVar(&o.batch, "batch", 1, "with --exits auto: batch size at which segments are timed")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

// exit translates the flags; every fault is one of the command line.
func (o calibrateOptions) exit() (exit.Options, error) {
	options := exit.DefaultOptions()
	options.Eps, options.Delta = o.maxDrop/100, o.delta
	if !(o.maxDrop > 0 && o.maxDrop < 100) {
		return options, usageError("--max-drop is %v, want points between 0 and 100", o.maxDrop)
	}
	if !(o.delta > 0 && o.delta < 1) {
		return options, usageError("--delta is %v, want a probability between 0 and 1", o.delta)
	}
	switch o.risk {
	case "drop":
		options.Risk = exit.AccuracyDrop
	case "consistency":
		options.Risk = exit.Consistency
	default:
		return options, usageError("--risk is %q, want drop or consistency", o.risk)
	}
	if o.gate != "auto" {
		options.Gates = []string{o.gate}
	}
	if err := options.Validate(); err != nil {
		return options, usageError("--gate is %q, want auto, %s", o.gate, strings.Join(exit.Gates, ", "))
	}
	if o.name == "" || o.name == exit.Full().Name {
		return options, usageError("--name is %q, want a name other than %q", o.name, exit.Full().Name)
	}
	return options, nil
}

// calibrated is what calibrate reports.
type calibrated struct {
	Bundle    string        `json:"bundle"`
	Digest    string        `json:"digest"`
	Backend   string        `json:"backend"`
	Certified bool          `json:"certified"`
	Choice    *exit.Choice  `json:"choice,omitempty"` // of exits, with --exits auto
	Policy    exit.Policy   `json:"policy"`
	Splits    []splitEffect `json:"splits"` // what the policy does on validation and calibration
	Report    exit.Report   `json:"report"`
}

// exitsEarn reports whether a choice of exits, if one was made, left any of the network's.
func (c *calibrated) exitsEarn() bool {
	return c.Choice == nil || len(c.Choice.Exits) > 0 || len(c.Choice.Verdicts) == 0
}

// splitEffect is what a policy does on a split.
type splitEffect struct {
	Split   string  `json:"split"`
	Samples int     `json:"samples"`
	Full    float64 `json:"full_accuracy"`
	Exits   float64 `json:"accuracy"`
	Changed float64 `json:"changed"` // share of answers that are not the full network's
	Depth   float64 `json:"mean_depth"`
	MACs    float64 `json:"macs_share"` // mean, of the network's with exits off
}

// calibrate certifies a policy for the bundle in dir, on data in place of its calibration split unless that is "".
func (a *app) calibrate(ctx context.Context, dir, data, name string, o exit.Options, w wantedExits) error {
	b, err := openBundle(dir)
	if err != nil {
		return err
	}
	splits, err := a.splitsOf(ctx, b)
	if err != nil {
		return err
	}
	if data != "" {
		if splits.Calibration, err = a.calibrationSet(ctx, b, splits, data, o); err != nil {
			return err
		}
	}
	if splits.Calibration.Len() == 0 || splits.Validation.Len() == 0 {
		return fmt.Errorf("data %q has %d validation and %d calibration samples, want some of each", b.Data.Name, splits.Validation.Len(), splits.Calibration.Len())
	}
	a.sayReadBefore(b, splits.Calibration.Digest(), o)
	c := calibrated{Bundle: dir, Digest: b.Digest(), Policy: exit.Full()}
	tables, err := a.scoreBoth(ctx, b, splits, o, w, &c)
	if err != nil {
		return err
	}
	if c.exitsEarn() {
		if err := c.calibrate(tables, name, o); err != nil {
			return err
		}
	}
	if c.Certified {
		b.Policies = slices.DeleteFunc(slices.Clone(b.Policies), func(p exit.Policy) bool { return p.Name == name })
		b.Policies = slices.Insert(b.Policies, 0, c.Policy)
		if err := b.Save(dir); err != nil {
			return err
		}
	}
	if err := a.showCalibrated(c); err != nil {
		return err
	}
	if !c.exitsEarn() {
		return noExitEarns(dir, c)
	}
	if !c.Certified {
		return notCertified(dir, c.Policy.Certificate)
	}
	a.say("saved as the default policy %q; next: layarun eval %s", name, dir)
	return nil
}

// notCertified says why nothing could be certified, and which target as many samples could have reached.
func notCertified(dir string, c *exit.Certificate) error {
	need := exit.ErrorFree(c.Eps, c.Delta)
	err := targetError("nothing certified, the bundle is as it was: %d calibration samples do not show with %g %% confidence that the %s is below %g points; that takes at least %d, all without an error",
		c.N, 100*(1-c.Delta), c.Risk, 100*c.Eps, need)
	if c.N >= need {
		return err
	}
	possible := math.Ceil(1000*-math.Expm1(math.Log(c.Delta)/float64(c.N))) / 10 // of so many samples without an error
	return withHint(err, fmt.Sprintf("layarun calibrate %s --max-drop %g", dir, 2*possible))
}

// sayReadBefore remarks that certificates of the bundle stem from the samples, with this digest, that are about to be read again.
func (a *app) sayReadBefore(b *bundle.Bundle, split string, o exit.Options) {
	for _, p := range b.Policies {
		c := p.Certificate
		if c == nil || c.Split != split || c.Risk == o.Risk && c.Eps == o.Eps && c.Delta == o.Delta {
			continue
		}
		a.say("policy %q was certified on this calibration split before (%s below %g points); each certificate holds by itself, not all of them together",
			p.Name, c.Risk, 100*c.Eps)
	}
}

// calibrate certifies on the tables of validation and calibration.
func (c *calibrated) calibrate(tables []*exit.Table, name string, o exit.Options) (err error) {
	if c.Policy, c.Report, err = exit.Calibrate(tables[0], tables[1], o); err != nil {
		return err
	}
	c.Policy.Name = name
	c.Certified = c.Policy.Certificate.Step > 0
	for i, split := range []string{"validation", "calibration"} {
		c.Splits = append(c.Splits, effect(split, tables[i], c.Policy))
	}
	return nil
}

// score makes the score table of a set, with a progress bar.
func (a *app) score(ctx context.Context, r *layarun.Runtime, set *dataset.Set) (*exit.Table, error) {
	bar := a.progress("scoring "+r.Name(), false)
	defer bar.Finish()
	return eval.Score(ctx, r, set, func(done, total int) { bar.Set(int64(done), int64(total)) })
}

func effect(split string, t *exit.Table, p exit.Policy) splitEffect {
	last := len(t.Exits) - 1
	full, s := t.Summarize(t.Forced(last)), t.Summarize(t.Apply(p))
	return splitEffect{
		Split: split, Samples: s.N, Full: full.Accuracy(), Exits: s.Accuracy(), Changed: float64(s.Changed) / float64(s.N),
		Depth: s.MeanDepth, MACs: s.MeanMACs / float64(t.Plain[last]),
	}
}

func (a *app) showCalibrated(c calibrated) error {
	if a.json {
		return a.emit("calibrate/1", c)
	}
	if c.Choice != nil {
		if err := a.showChoice(*c.Choice, c.Backend); err != nil {
			return err
		}
	}
	if !c.Certified {
		return nil // the error says why
	}
	var rows [][]string
	for i, depth := range c.Policy.Exits {
		threshold := "never"
		if t := c.Policy.Thresholds[i]; t != exit.Never {
			threshold = fmt.Sprintf("%.4f", float64(t))
		}
		rows = append(rows, []string{fmt.Sprint(depth), threshold})
	}
	if err := a.table([]string{"exit", c.Policy.Gate + " at least"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, s := range c.Splits {
		rows = append(rows, []string{
			s.Split, fmt.Sprint(s.Samples), fmt.Sprintf("%.2f", 100*s.Full), fmt.Sprintf("%.2f", 100*s.Exits),
			fmt.Sprintf("%.2f", 100*s.Changed), fmt.Sprintf("%.2f", s.Depth), fmt.Sprintf("%.1f", 100*s.MACs),
		})
	}
	header := []string{"split", "samples", "accuracy full", "with exits", "changed %", "mean depth", "MACs % of full"}
	if err := a.table(header, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "policy %s: %s\n", c.Policy.Name, eval.CertificateText(*c.Policy.Certificate))
	return err
}

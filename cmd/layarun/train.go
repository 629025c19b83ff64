package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/train"
)

// trainOptions are the flags of train that are no fields of the recipe.
type trainOptions struct {
	recipe, out string
	start       string
	blocks      int
	seeds       []uint
	force       bool
	dry         bool
	fields      fieldFlags
}

func newTrainCmd(a *app) *cobra.Command {
	var o trainOptions
	cmd := &cobra.Command{
		Use:   "train [data]",
		Short: "Train a backbone with its exits and write a bundle",
		Long: `Train a backbone and its head together and write a run folder with the resolved recipe, metrics.jsonl, checkpoints
and the bundle.

data is a known set (digits, fashion-mnist, clinc150, …), a .csv, .tsv, .parquet or .npz file, or a folder with a folder
of images per class; the default is the embedded digits. A recipe (YAML) sets everything, and every field of it is a
flag too: --train.epochs, --head.dim, --data.text_column, …; --backbone takes a backbone as YAML or JSON.

A run that was interrupted goes on where it stopped when the same command is given again, and one that is finished is
only shown.`,
		Example: `  layarun train
  layarun train --recipe recipe.yaml --out runs/mine --seed 1,2,3
  layarun train tickets.csv --data.text_column body --data.label_column team
  layarun train fashion-mnist --backbone '{kind: mlp, widths: [512, 256, 128]}' --train.epochs 5`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := o.read(args)
			if err != nil {
				return err
			}
			return a.train(cmd.Context(), r, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.recipe, "recipe", "", "recipe file (YAML)")
	f.StringVar(&o.start, "start", "", "bundle to train on from: its network and its weights")
	f.IntVar(&o.blocks, "blocks", 0, "keep only the first so many blocks of --start")
	f.StringVarP(&o.out, "out", "o", "", "run folder (default runs/<data>); with several seeds one folder each, <out>-<seed>")
	f.UintSliceVar(&o.seeds, "seed", nil, "seed, or several: one run each (default the recipe's)")
	f.BoolVar(&o.force, "force", false, "start again, even in a folder that holds a finished or another run")
	f.BoolVar(&o.dry, "dry-run", false, "print the resolved recipe and the network's cost, train nothing")
	o.fields.add(f, "train", train.Default())
	o.fields.add(f, "data", train.Data{})
	o.fields.addHead(f)
	f.StringVar(&o.fields.backbone, "backbone", "", "backbone, as YAML or JSON")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

// read puts the recipe together: defaults, then the file, then the flags.
func (o *trainOptions) read(args []string) (train.Recipe, error) {
	var text []byte
	if o.recipe != "" {
		var err error
		if text, err = os.ReadFile(o.recipe); err != nil {
			return train.Recipe{}, err
		}
		if _, err := train.ParseRecipe(text); err != nil {
			return train.Recipe{}, usageError("%s: %w", o.recipe, err)
		}
	}
	text, err := o.fields.merge(text)
	if err != nil {
		return train.Recipe{}, err
	}
	r, err := train.ParseRecipe(text)
	if err != nil {
		return r, usageError("%w", err)
	}
	if len(args) > 0 {
		r.Data.Name = args[0]
	}
	if o.start != "" {
		r.Start = o.start
	}
	if o.blocks != 0 {
		r.Blocks = o.blocks
	}
	if err := r.Train.Validate(); err != nil {
		return r, usageError("%w", err)
	}
	return r, nil
}

// trained is what train reports of a run.
type trained struct {
	Folder   string        `json:"folder"`
	Bundle   string        `json:"bundle"`
	Digest   string        `json:"digest"`
	Backend  string        `json:"backend"`
	Seed     uint64        `json:"seed"`
	Best     int           `json:"best_epoch"`
	Exits    []int         `json:"exits"`
	MACs     []int64       `json:"macs"`
	Epochs   []train.Epoch `json:"epochs"`
	Finished bool          `json:"was_finished_before"` // and only read back
}

func (a *app) train(ctx context.Context, r train.Recipe, o trainOptions) error {
	if seed, ok := repeated(o.seeds); ok {
		return usageError("--seed has %d twice, want different seeds", seed)
	}
	resolved, err := r.Resolve(ctx, a.dataFolder())
	if errors.Is(err, train.ErrRecipe) {
		return usageError("%w", err)
	}
	if err != nil {
		return err
	}
	if o.dry {
		return a.showPlan(resolved)
	}
	device, graphs, err := a.openForTraining()
	if err != nil {
		return err
	}
	defer device.Close()
	folder := o.out
	if folder == "" {
		folder = filepath.Join("runs", filepath.Base(resolved.Recipe.Data.Name))
	}
	if len(o.seeds) == 0 {
		o.seeds = []uint{uint(resolved.Recipe.Train.Seed)}
	}
	var all []trained
	for _, seed := range o.seeds {
		resolved.Recipe.Train.Seed = uint64(seed)
		name := folder
		if len(o.seeds) > 1 {
			name = fmt.Sprintf("%s-%d", folder, seed)
		}
		t, err := a.trainOne(ctx, resolved, graphs, name, o.force)
		if errors.Is(err, context.Canceled) {
			a.say("stopped; give the same command again%s to go on from the checkpoint in %s", withoutForce(o.force), name)
		}
		if errors.Is(err, train.ErrOtherRun) {
			return withHint(err, "another --out, or --force to start again in "+name)
		}
		if err != nil {
			return err
		}
		all = append(all, *t)
	}
	return a.showTrained(all)
}

// repeated is the first seed that occurs twice; each run has a folder of its own.
func repeated(seeds []uint) (uint, bool) {
	for i, seed := range seeds {
		if slices.Contains(seeds[:i], seed) {
			return seed, true
		}
	}
	return 0, false
}

func withoutForce(force bool) string {
	if force {
		return ", without --force,"
	}
	return ""
}

// trainOne makes one run in a folder of its own, or reads it back if it is finished.
func (a *app) trainOne(ctx context.Context, r *train.Resolved, graphs *compile.Device, folder string, force bool) (*trained, error) {
	job, err := r.Job(graphs.Backend)
	if err != nil {
		return nil, err
	}
	bar := a.progress("training", false)
	defer bar.Finish()
	job.Dir, job.Restart, job.Resumed, job.Watch = folder, force, a.resumed(folder), a.watch(bar)
	job.Caching = a.caching(bar)
	result, err := train.Run(ctx, job)
	if err != nil {
		return nil, err
	}
	bar.Finish()
	b, err := bundleOf(r, result, filepath.Join(folder, train.BundleDir))
	if err != nil {
		return nil, err
	}
	t := &trained{Folder: folder, Bundle: filepath.Join(folder, train.BundleDir), Digest: b.Digest(), Backend: graphs.Name,
		Seed: r.Recipe.Train.Seed, Best: result.Best, Exits: r.Network.Exits(), Epochs: result.Epochs, Finished: result.Finished}
	for _, c := range costs(r.Network, b.MaxLength) {
		t.MACs = append(t.MACs, c.MACs)
	}
	return t, nil
}

// bundleOf writes the bundle of a run to dir. One that an earlier call wrote stays: it may hold policies by now.
func bundleOf(r *train.Resolved, result *train.Result, dir string) (*bundle.Bundle, error) {
	if _, err := os.Stat(dir); err == nil && result.Finished {
		return bundle.Open(dir)
	}
	name := filepath.Base(filepath.Dir(dir))
	b, err := r.Bundle(name, "layarun "+readVersion().Version, result)
	if err != nil {
		return nil, err
	}
	return b, b.Save(dir)
}

// resumed says where a run goes on, and which damaged checkpoints it had to pass over.
func (a *app) resumed(folder string) func(train.Resumption) {
	return func(r train.Resumption) {
		for _, fault := range r.Skipped {
			a.say("skipped a damaged checkpoint: %v", fault)
		}
		a.say("%s: going on after step %d of %d (epoch %d of %d)", folder, r.Step, r.Steps, r.Epoch, r.Epochs)
	}
}

// caching draws the bar while what the head reads of a frozen backbone is computed.
func (a *app) caching(bar *bar) func(train.Caching) {
	said := false
	return func(c train.Caching) {
		bar.Describe("reading the backbone, " + c.Split + " split")
		bar.Set(int64(c.Done), int64(c.Of))
		if c.Left > 0 && !said {
			said = true
			bar.Clear()
			a.say("the backbone is frozen: it reads the %s split once, in about %s", c.Split, roughly(c.Left))
		}
	}
}

// settled is how many steps are made before their time is believed.
const settled = 8

// watch draws the bar, says once how long all of it will take and, after every epoch, how the network does.
func (a *app) watch(bar *bar) func(train.Progress) {
	steps, said := 0, false
	return func(p train.Progress) {
		bar.Describe(fmt.Sprintf("epoch %d/%d, loss %.3f", p.Epoch, p.Epochs, p.Loss))
		bar.Set(int64(p.Step), int64(p.Steps))
		if steps++; p.Left > 0 && steps >= settled && !said {
			said = true
			bar.Clear()
			a.say("%d steps to go, about %s", p.Steps-p.Step, roughly(p.Left))
		}
		if e := p.Done; e != nil {
			bar.Clear()
			a.say("epoch %2d/%d  loss %.3f  validation %.2f %%  (%.0f s)", e.Epoch, p.Epochs, e.TrainLoss, 100*e.Validation.Last(), e.Seconds)
		}
	}
}

// roughly is a duration that claims no more than is known.
func roughly(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(1, int(d.Seconds()+0.5)))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}

// exitCost is what leaving at an exit costs.
type exitCost struct {
	Depth int   `json:"depth"`
	MACs  int64 `json:"macs"`
}

func costs(n *compile.Network, length int) []exitCost {
	var all []exitCost
	for _, d := range n.Exits() {
		all = append(all, exitCost{d, n.MACs(d, length, true)})
	}
	return all
}

// showPlan prints what train would do.
func (a *app) showPlan(r *train.Resolved) error {
	cost := costs(r.Network, r.Recipe.Data.MaxLength)
	if a.json {
		return a.emit("train.dry-run/1", struct {
			Recipe train.Recipe `json:"recipe"`
			Cost   []exitCost   `json:"exits"`
		}{r.Recipe, cost})
	}
	recipe, err := json.MarshalIndent(r.Recipe, "", "  ") // JSON is YAML
	if err != nil {
		return err
	}
	var rows [][]string
	for _, c := range cost {
		rows = append(rows, []string{fmt.Sprint(c.Depth), fmt.Sprintf("%.3g", float64(c.MACs)/1e6)})
	}
	fmt.Fprintf(a.out, "%s\n", recipe)
	return a.table([]string{"exit", "MMACs"}, rows)
}

func (a *app) showTrained(all []trained) error {
	if a.json {
		return a.emit("train/1", struct {
			Runs []trained `json:"runs"`
		}{all})
	}
	for _, t := range all {
		score := t.Epochs[t.Best-1].Validation
		var rows [][]string
		for i, d := range t.Exits {
			rows = append(rows, []string{fmt.Sprint(d), fmt.Sprintf("%.2f", 100*score.Accuracy[i]), fmt.Sprintf("%.3g", float64(t.MACs[i])/1e6)})
		}
		fmt.Fprintf(a.out, "%s: best epoch %d of %d\n", t.Bundle, t.Best, len(t.Epochs))
		if err := a.table([]string{"exit", "validation %", "MMACs"}, rows); err != nil {
			return err
		}
	}
	a.say("next: layarun calibrate %s", all[0].Bundle)
	return nil
}

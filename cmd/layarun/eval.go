package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
)

// evalOptions are the flags of eval.
type evalOptions struct {
	split, table string
	html         string
	markdown     bool
	latency      bool
	timing       eval.LatencyOptions
}

func newEvalCmd(a *app) *cobra.Command {
	o := evalOptions{timing: eval.DefaultLatencyOptions()}
	cmd := &cobra.Command{
		Use:   "eval BUNDLE...",
		Short: "Measure accuracy, cost and wall-clock time of exits, policies and networks",
		Long: `Measure on the test split what each way to run a network gives and costs: at full depth with exits off, with all
samples forced to leave at one depth, by each policy of the bundle, and by oracles that no gate can beat. Networks of
further bundles (a baseline, a pruned or a shallower network) join the table at full depth and by their policies.

Every row is compared with the first, the first bundle at full depth, on the same samples: the difference in accuracy
with its interval, multiply-accumulates, and the time in the same run. Times are those of the network, without
tokenisation: a random subset of the split arrives in batches, each awaited before the next.`,
		Example: `  layarun eval runs/digits/bundle
  layarun eval runs/mine/bundle runs/lastlayer/bundle --json > report.json
  layarun eval runs/mine/bundle --latency=false --table scores.parquet`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(a, cmd); err != nil {
				return err
			}
			return a.eval(cmd.Context(), args, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.split, "split", "test", "split to measure on: test, validation or calibration")
	f.StringVar(&o.table, "table", "", "write the score table of the first bundle to this Parquet file")
	f.StringVar(&o.html, "html", "", "write a report for the browser to this file")
	f.BoolVar(&o.markdown, "markdown", false, "print Markdown")
	f.BoolVar(&o.latency, "latency", true, "measure wall-clock time")
	f.IntSliceVar(&o.timing.Batches, "batch", o.timing.Batches, "sizes of the arriving batches")
	f.IntVar(&o.timing.Samples, "samples", o.timing.Samples, "samples to time, drawn from the split with a fixed seed (default 64 to 256, as many as take half a second)")
	f.IntVar(&o.timing.Repetitions, "repetitions", o.timing.Repetitions, "repetitions of each timing")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

func (o evalOptions) validate(a *app, cmd *cobra.Command) error {
	if !slices.Contains([]string{"test", "validation", "calibration"}, o.split) {
		return usageError("--split is %q, want test, validation or calibration", o.split)
	}
	if o.markdown && a.json {
		return usageError("--markdown and --json exclude each other")
	}
	for _, name := range []string{"batch", "samples", "repetitions"} {
		if !o.latency && cmd.Flags().Changed(name) {
			return usageError("--%s does nothing with --latency=false", name)
		}
	}
	if cmd.Flags().Changed("samples") && o.timing.Samples < 1 {
		return usageError("--samples is %d, want at least 1", o.timing.Samples)
	}
	if o.timing.Repetitions < 1 {
		return usageError("--repetitions is %d, want at least 1", o.timing.Repetitions)
	}
	if len(o.timing.Batches) == 0 || slices.Min(o.timing.Batches) < 1 {
		return usageError("--batch is %v, want sizes of at least 1", o.timing.Batches)
	}
	if err := writable("--table", o.table); err != nil {
		return err
	}
	return writable("--html", o.html)
}

// writable reports a file that cannot be written where it is asked for, before the work that it would hold; "" is none.
func writable(flag, path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s %s is a folder, want a file", flag, path)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("%s %s: there is no folder %s", flag, path, filepath.Dir(path))
	}
	return nil
}

// network is an opened bundle.
type network struct {
	*bundle.Bundle
	runtime *layarun.Runtime
}

func (a *app) eval(ctx context.Context, dirs []string, o evalOptions) error {
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	defer device.Close()
	networks, set, err := a.openNetworks(ctx, device, dirs, o.split, o.latency)
	defer func() {
		for _, n := range networks {
			n.runtime.Close()
		}
	}()
	if err != nil {
		return err
	}
	var subjects []eval.Subject
	for _, n := range networks {
		table, err := a.score(ctx, n.runtime, set)
		if err != nil {
			return err
		}
		subjects = append(subjects, eval.Subject{
			Network: eval.Network{Name: n.Name, Digest: n.runtime.Digest(), Exits: n.runtime.Exits(), Train: n.Train},
			Table:   table, Policies: n.Policies,
		})
	}
	if o.table != "" {
		if err := eval.WriteTable(o.table, subjects[0].Table); err != nil {
			return err
		}
	}
	if o.split != "test" {
		a.say("policies were chosen on validation and certified on calibration; the test split is the one to report")
	}
	report, err := eval.NewReport(o.split, subjects, eval.DefaultResampling())
	if err != nil {
		return err
	}
	report.Data, report.Machine, report.Backend = networks[0].Data.Name, eval.ThisMachine(commit()), backendsOf(networks)
	if o.latency {
		if err := a.measure(ctx, report, networks, set, o.timing); err != nil {
			return err
		}
	}
	if o.html != "" {
		if err := writeHTML(o.html, report); err != nil {
			return err
		}
		a.say("report for the browser: %s", o.html)
	}
	return a.showReport(report, o.markdown)
}

// backendsOf names what the networks run on; most often it is one.
func backendsOf(networks []network) string {
	var names []string
	for _, n := range networks {
		if name := n.runtime.Backend(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// writeHTML writes the report for the browser, all of it or nothing.
func writeHTML(path string, r *eval.Report) error {
	var text bytes.Buffer
	if err := r.HTML(&text, fmt.Sprintf("%s on %s: how deep is deep enough", r.Networks[0].Name, r.Data)); err != nil {
		return err
	}
	if err := renameio.WriteFile(path, text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--html %s: %w", path, err)
	}
	return nil
}

// openNetworks opens the bundles and the split. Networks of one name are told apart by their folders. Those to be timed run
// with the batch sizes that pay, as a server would.
func (a *app) openNetworks(ctx context.Context, device *compile.Device, dirs []string, split string, timed bool) (all []network, set *dataset.Set, err error) {
	for _, dir := range dirs {
		b, err := openBundle(dir)
		if err != nil {
			return all, nil, err
		}
		if set == nil {
			splits, err := a.splitsOf(ctx, b)
			if err != nil {
				return all, nil, err
			}
			set = map[string]*dataset.Set{"test": splits.Test, "validation": splits.Validation, "calibration": splits.Calibration}[split]
		}
		if b.Data == nil || !slices.Contains([]string{b.Data.Test, b.Data.Validation, b.Data.Calibration}, set.Digest()) {
			return all, nil, fmt.Errorf("%s: bundle %q does not keep the %s split of %s apart from its training: one table needs one split",
				dir, b.Name, split, dirs[0])
		}
		if slices.ContainsFunc(all, func(n network) bool { return n.Name == b.Name }) {
			b.Name = dir
		}
		open := func() (*layarun.Runtime, error) { return layarun.New(b, device, layarun.Options{}) }
		if timed {
			open = func() (*layarun.Runtime, error) { return layarun.Tune(ctx, b, device, layarun.Options{}, nil) }
		}
		runtime, err := open()
		if err != nil {
			return all, nil, err
		}
		a.sayBackend(runtime)
		all = append(all, network{b, runtime})
	}
	return all, set, nil
}

// timingSeed draws the samples that are timed.
const timingSeed = 1

func (a *app) measure(ctx context.Context, report *eval.Report, networks []network, set *dataset.Set, o eval.LatencyOptions) error {
	subset := eval.Draw(set, cmp.Or(o.Samples, set.Len()), timingSeed)
	var inputs []*eval.Inputs
	for _, n := range networks {
		in, err := eval.NewInputs(n.runtime, subset)
		if err != nil {
			return err
		}
		inputs = append(inputs, in)
	}
	bar := a.progress("timing", false)
	defer bar.Finish()
	o.Progress = func(done, total int) { bar.Set(int64(done), int64(total)) }
	return report.Measure(ctx, inputs, o)
}

func (a *app) showReport(r *eval.Report, markdown bool) error {
	if a.json {
		return a.emit("eval/1", r)
	}
	if markdown {
		return r.Markdown(a.out)
	}
	for _, line := range r.About() {
		fmt.Fprintln(a.out, line)
	}
	for _, s := range r.Sheets() {
		fmt.Fprintf(a.out, "\n%s\n", s.Caption)
		if err := a.table(s.Header, s.Rows); err != nil {
			return err
		}
	}
	for _, note := range r.Notes() {
		fmt.Fprintln(a.out, note)
	}
	return nil
}

// commit is the commit this program was built from; "+" marks changes that are not committed.
func commit() string {
	v := readVersion()
	if v.Modified {
		return v.Commit + "+"
	}
	return v.Commit
}

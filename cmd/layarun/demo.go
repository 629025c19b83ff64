package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
)

func newDemoCmd(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole story on the embedded digits: train, profile, prune, calibrate, measure",
		Long: `Run the commands of a small project one after another, each as you would type it, on the embedded digits: train a network
with its exits and one without, look at its attention over depth, prune it, certify when samples may leave early, and
measure all of it in one table and a report that opens in a browser.

The XLA CPU plugin is fetched once if there is none (63 MB). Without network the demo runs on the pure-Go backend, with
fewer epochs.`,
		Example: "  layarun demo\n  layarun demo --out story --backend go",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), o) },
	}
	cmd.Flags().StringVarP(&o.out, "out", "o", "layarun-demo", "folder for the networks and the report; an earlier demo there is replaced")
	a.addBackendFlag(cmd)
	return cmd
}

type demoOptions struct{ out string }

// demo runs the story. With --json only the last command's report is printed.
func (a *app) demo(ctx context.Context, o demoOptions) error {
	began := time.Now()
	backend, trains, err := a.demoBackend(ctx)
	if err != nil {
		return err
	}
	full, plain, pruned := filepath.Join(o.out, "full"), filepath.Join(o.out, "lastlayer"), filepath.Join(o.out, "pruned")
	bundleOf := func(run string) string { return filepath.Join(run, "bundle") }
	report := filepath.Join(o.out, "report.html")
	if _, err := bundle.Open(pruned); err == nil { // an earlier demo's; prune does not replace bundles
		if err := os.RemoveAll(pruned); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	epochs := "12"
	if trains == "go" {
		epochs = "8" // an epoch takes longer there
	}
	steps := []struct {
		why  string
		args []string
	}{
		{"Train a network of 8 residual blocks with an exit at every depth.",
			[]string{"train", "digits", "--train.epochs", epochs, "--out", full, "--force"}},
		{"Train the same blocks with an ordinary last-layer head, to compare.",
			[]string{"train", "digits", "--head.kind", "lastlayer", "--train.epochs", epochs, "--out", plain, "--force"}},
		{"Where does the head look?", []string{"profile", bundleOf(full)}},
		{"Cut what it hardly looks at, as far as the validation accuracy allows.",
			[]string{"prune", bundleOf(full), "--threshold", "0.08", "--max-drop", "1", "--out", pruned}},
		{"Choose when samples may leave early, and certify that accuracy drops by less than 2 points.",
			[]string{"calibrate", bundleOf(full), "--max-drop", "2"}},
		{"The same for the pruned network, whose certificate must be its own.", []string{"calibrate", pruned, "--max-drop", "2"}},
		{"Measure all of them in one run, on test samples that nothing was chosen on. Times are of few samples, to be quick.",
			[]string{"eval", bundleOf(full), bundleOf(plain), pruned, "--samples", "64", "--repetitions", "3", "--html", report}},
	}
	for i, step := range steps {
		a.say("\n%d. %s\n$ layarun %s", i+1, step.why, strings.Join(step.args, " "))
		if err := a.runStep(ctx, append(step.args, "--backend", backend), i == len(steps)-1); err != nil {
			return fmt.Errorf("demo: layarun %s: %w", step.args[0], err)
		}
	}
	a.say("\ndone in %.0f s, trained on %s; open %s", time.Since(began).Seconds(), trains, report)
	a.say("next: layarun serve %s", bundleOf(full))
	return nil
}

// demoBackend makes sure of a backend: the one asked for, else XLA on the CPU, fetched if need be, else pure Go. It returns
// what the steps are to be told and what they train on.
func (a *app) demoBackend(ctx context.Context) (backend, trains string, err error) {
	if a.backend == "auto" && compile.HasXLA() {
		bar := a.progress("fetching the XLA CPU plugin", true)
		_, err := compile.EnsureCPU(ctx, bar.Set)
		bar.Finish()
		if ctx.Err() != nil {
			return "", "", ctx.Err()
		}
		if err != nil {
			a.say("no XLA CPU plugin (%v): the demo trains on the pure-Go backend, which is slower", err)
		}
	}
	device, graphs, err := a.openForTraining()
	if err != nil {
		return "", "", err
	}
	defer device.Close()
	return a.backend, graphs.Name, nil
}

// runStep runs one command line in this process. Unless it is the last one, --json keeps its output to itself.
func (a *app) runStep(ctx context.Context, args []string, last bool) error {
	inner := &app{out: a.out, err: a.err, quiet: a.quiet}
	if a.json && !last {
		inner.out = io.Discard
	}
	root := newRootCmd(inner)
	if a.json {
		args = append(args, "--json")
	}
	if a.quiet {
		args = append(args, "--quiet")
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/exit"
)

// predictOptions are the flags of predict.
type predictOptions struct {
	texts                   []string
	policy, threshold       string
	minExit, maxExit        int
	explain                 bool
	textColumn, labelColumn string
}

// predictBuckets are fewer than those of a server: compiling on first use costs a short run more than padding does.
var predictBuckets = [][]int{{1, 8, 32}}

func newPredictCmd(a *app) *cobra.Command {
	var o predictOptions
	cmd := &cobra.Command{
		Use:   "predict BUNDLE [FILE...]",
		Short: "Classify files, lines or a text",
		Long: `Classify the samples of files and print class, confidence and the depth at which each sample left.

A FILE is a table (.csv, .tsv, also .gz, or .parquet), an .npz file, an image (.png, .jpg), a folder of images, or - for
standard input. Images of any size are scaled and cropped as the bundle says. Lines of standard input are texts, or where the network reads numbers a row of numbers each, as CSV or
as a JSON array; each is answered as it comes, and blank lines are skipped. Without a FILE the first 10 test samples of
the data that the network was trained on are taken.

Labels are compared where a file has them: the column that --label-column names, or else the one used in training.

--explain adds the attention over the depths read and what each of them contributed to the logit of the class; their sum
and the bias is that logit.`,
		Example: `  layarun predict runs/digits/bundle
  layarun predict runs/mine/bundle tickets.csv --text-column body --json > answers.json
  layarun predict runs/mine/bundle --text "where is my card" --explain
  tail -f log | layarun predict runs/mine/bundle - --threshold 0.9`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := o.request(cmd.Flags().Changed)
			if err != nil {
				return err
			}
			return a.predict(cmd.Context(), args[0], args[1:], request, o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.texts, "text", nil, "classify this text; may be given several times")
	f.StringVar(&o.policy, "policy", "", `the bundle's policy to exit by, or "full" (default the bundle's first)`)
	f.StringVar(&o.threshold, "threshold", "", `leave where the confidence reaches this, 0 to 1 or "never", instead of the policy's thresholds`)
	f.IntVar(&o.minExit, "min-exit", 0, "least depth to leave at (default the first exit)")
	f.IntVar(&o.maxExit, "max-exit", 0, "greatest depth to leave at (default the last exit)")
	f.BoolVar(&o.explain, "explain", false, "print attention and contributions over depth")
	f.StringVar(&o.textColumn, "text-column", "", "column of texts in a table (default that of training, else text)")
	f.StringVar(&o.labelColumn, "label-column", "", "column of labels in a table (default that of training, else label)")
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

// request translates the flags that say when samples leave.
func (o predictOptions) request(given func(flag string) bool) (layarun.Request, error) {
	q := layarun.Request{Policy: o.policy, Explain: o.explain}
	if given("threshold") {
		t, err := strconv.ParseFloat(o.threshold, 64)
		if o.threshold == "never" {
			t, err = math.Inf(1), nil
		}
		if err != nil || !(t >= 0 && t <= 1 || o.threshold == "never") {
			return q, usageError(`--threshold is %q, want 0 to 1 or "never"`, o.threshold)
		}
		q.Threshold = &t
	}
	if given("min-exit") {
		q.MinExit = &o.minExit
	}
	if given("max-exit") {
		q.MaxExit = &o.maxExit
	}
	return q, nil
}

// predict answers chunk after chunk, so that memory is bounded by one file, or one chunk of standard input.
func (a *app) predict(ctx context.Context, dir string, files []string, q layarun.Request, o predictOptions) (err error) {
	b, r, err := a.openRuntime(dir, layarun.Options{Buckets: predictBuckets})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if _, err := r.Predict(ctx, q); err != nil { // no samples yet: what is refused is on the command line
		return usageError("%s", strings.TrimPrefix(err.Error(), layarun.ErrRequest.Error()+": "))
	}
	in := &inputs{app: a, bundle: b, dims: r.Dims(), options: o}
	out := newAnswers(a, r.Runtime, o.name(b), o.explain, files)
	ctx, stop := context.WithCancel(ctx) // ends the reader of standard input
	defer stop()
	for part, err := range in.all(ctx, files) {
		if err != nil {
			return err
		}
		q.Values, q.Texts = part.values, part.texts
		answers, err := r.Predict(ctx, q)
		if err != nil {
			return fmt.Errorf("%s: %w", cmp.Or(part.file, os.Args[0]), err)
		}
		if err := out.add(part, answers); err != nil {
			return err
		}
	}
	return out.finish()
}

// name says by which rule the samples leave.
func (o predictOptions) name(b *bundle.Bundle) string {
	name := cmp.Or(o.policy, exit.Full().Name)
	if o.policy == "" && len(b.Policies) > 0 {
		name = b.Policies[0].Name
	}
	if o.threshold != "" {
		name += " at threshold " + o.threshold
	}
	return name
}

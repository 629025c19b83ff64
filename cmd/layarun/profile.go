package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/prune"
	"github.com/layarun/layarun/train"
)

func newProfileCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile BUNDLE",
		Short: "Show how the head spreads its attention over depth",
		Long: `Run the validation split through the whole network, describe the attention alpha over the depths that the head reads,
for all samples and for each class, and save it as profile.json in the bundle.

The score of a depth is its norm-corrected attention E[alpha ‖z‖], made to sum to 1 over the depths; prune compares the
largest score that any class gives a depth with its threshold. Beside it stands the attention of an untrained network:
what training has not changed says nothing about the network. Where the bundle has a policy, the attention at the exit
taken under it is shown too. Certificates stay valid.

Attention is no proof that a block matters: it mostly tracks depth. prune measures every removal for that reason.`,
		Example: `  layarun profile runs/digits/bundle
  layarun profile runs/mine/bundle --json > profile.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.profile(cmd.Context(), args[0]) },
	}
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	return cmd
}

func (a *app) profile(ctx context.Context, dir string) error {
	b, splits, err := a.openForProfile(ctx, dir)
	if err != nil {
		return err
	}
	device, err := a.openDevice()
	if err != nil {
		return err
	}
	defer device.Close()
	if b.Profile, err = a.profileOf(ctx, b, device, splits.Validation); err != nil {
		return err
	}
	if err := b.Save(dir); err != nil {
		return err
	}
	if a.json {
		return a.emit("profile/1", struct {
			Bundle  string         `json:"bundle_folder"`
			Backend string         `json:"backend"`
			Policy  string         `json:"policy,omitempty"` // of the exit view
			Profile *prune.Profile `json:"profile"`
		}{dir, device.Ran(), firstPolicy(b), b.Profile})
	}
	if err := a.showProfile(b, splits.Validation); err != nil {
		return err
	}
	a.say("saved in %s; next: layarun prune %s", dir, dir)
	return nil
}

// openForProfile opens a bundle whose head attends, and its data.
func (a *app) openForProfile(ctx context.Context, dir string) (*bundle.Bundle, *dataset.Splits, error) {
	b, err := openBundle(dir)
	if err != nil {
		return nil, nil, err
	}
	if !b.Head.Attends() {
		return nil, nil, fmt.Errorf("the head of bundle %q is of kind %s, which has no attention over depth", b.Name, b.Head.Kind)
	}
	splits, err := a.splitsOf(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	if splits.Validation.Len() == 0 {
		return nil, nil, fmt.Errorf("data %q has no validation samples", b.Data.Name)
	}
	return b, splits, nil
}

func firstPolicy(b *bundle.Bundle) string {
	if len(b.Policies) == 0 {
		return ""
	}
	return b.Policies[0].Name
}

// profileOf makes the profile of a bundle on a set.
func (a *app) profileOf(ctx context.Context, b *bundle.Bundle, device *compile.Device, set *dataset.Set) (*prune.Profile, error) {
	full, err := a.observe(ctx, "profile", b, device, set, exit.Full().Name)
	if err != nil {
		return nil, err
	}
	p := &prune.Profile{Reads: slices.Clone(b.Head.Reads), Classes: b.Classes, Split: set.Digest(), Bundle: b.Digest()}
	groups := set.Labels
	if p.Predicted = slices.Contains(set.Labels, dataset.Unknown); p.Predicted {
		groups = nil
		for _, answer := range full {
			groups = append(groups, answer.Label)
		}
	}
	if p.Full, err = viewOf(b, groups, full); err != nil {
		return nil, err
	}
	if name := firstPolicy(b); name != "" {
		early, err := a.observe(ctx, "profile at exits", b, device, set, name)
		if err != nil {
			return nil, err
		}
		view, err := viewOf(b, groups, early)
		if err != nil {
			return nil, err
		}
		p.Exit = &view
	}
	p.Initial, err = a.initialAttention(ctx, b, device, set)
	return p, err
}

// initialSamples are enough for the mean attention of an untrained network, which hardly depends on the sample.
const initialSamples = 256

// initialAttention is the mean attention of the network before training; nil if its start is not known.
func (a *app) initialAttention(ctx context.Context, b *bundle.Bundle, device *compile.Device, set *dataset.Set) ([]float64, error) {
	initial, ok, err := train.Initial(b)
	if !ok || err != nil {
		return nil, err
	}
	few := make([]int, min(set.Len(), initialSamples))
	for i := range few {
		few[i] = i
	}
	answers, err := a.observe(ctx, "profile untrained", initial, device, set.Subset(few), exit.Full().Name)
	if err != nil {
		return nil, fmt.Errorf("before training: %w", err)
	}
	view, err := viewOf(b, make([]int, len(answers)), answers)
	return view.Global.Mean, err
}

// observeBatch is the number of samples handed over at a time; explanations of large sets would take much memory.
const observeBatch = 512

// observe answers every sample of a set with explanations, of which it keeps attention and norms.
func (a *app) observe(ctx context.Context, what string, b *bundle.Bundle, device *compile.Device, set *dataset.Set, policy string) ([]layarun.Answer, error) {
	var all []layarun.Answer
	err := a.predictAll(ctx, what, b, device, set, layarun.Request{Policy: policy, Explain: true}, func(answers []layarun.Answer) {
		for _, answer := range answers {
			all = append(all, layarun.Answer{Label: answer.Label, Alpha: answer.Alpha, ValueNorms: answer.ValueNorms})
		}
	})
	return all, err
}

// predictAll runs a set through a bundle in portions, which take gets in order. The samples come from set, everything
// else from q.
func (a *app) predictAll(ctx context.Context, what string, b *bundle.Bundle, device *compile.Device, set *dataset.Set, q layarun.Request,
	take func([]layarun.Answer)) (err error) {
	runtime, err := layarun.New(b, device, layarun.Options{Buckets: [][]int{{32}}}) // one size: fewer executables to compile
	if err != nil {
		return err
	}
	defer func() {
		if fault := runtime.Close(); err == nil {
			err = fault
		}
	}()
	inputs, err := eval.NewInputs(runtime, set)
	if err != nil {
		return err
	}
	bar := a.progress(what, false)
	defer bar.Finish()
	for from := 0; from < set.Len(); from += observeBatch {
		to := min(from+observeBatch, set.Len())
		samples := inputs.Request(from, to)
		q.Values, q.Tokens = samples.Values, samples.Tokens
		answers, err := runtime.Predict(ctx, q)
		if err != nil {
			return err
		}
		for i, answer := range answers {
			if answer.Err != nil {
				return fmt.Errorf("sample %d of %s: %w", from+i, set.Name, answer.Err)
			}
		}
		take(answers)
		bar.Set(int64(to), int64(set.Len()))
	}
	return nil
}

// viewOf summarises answers, each in the group of its sample.
func viewOf(b *bundle.Bundle, groups []int, answers []layarun.Answer) (prune.View, error) {
	seen := make([]prune.Observation, len(answers))
	for i, answer := range answers {
		seen[i] = prune.Observation{Class: groups[i], Alpha: answer.Alpha, Norms: answer.ValueNorms}
	}
	return prune.NewView(len(b.Head.Reads), len(b.Classes), seen)
}

// showProfile prints the table of depths and the map of classes.
func (a *app) showProfile(b *bundle.Bundle, set *dataset.Set) error {
	p := b.Profile
	fmt.Fprintf(a.out, "attention over depth of %q on its %d validation samples\n", b.Name, set.Len())
	header := []string{"depth", "alpha", "std", "untrained", "score", "largest score", "of class"}
	if p.Exit != nil {
		header = append(header, fmt.Sprintf("alpha at exit (%s)", firstPolicy(b)))
	}
	scores := p.Scores()
	var rows [][]string
	for i, depth := range p.Reads {
		untrained := "-"
		if p.Initial != nil {
			untrained = fmt.Sprintf("%.3f", p.Initial[i])
		}
		all := p.Full.Global
		row := []string{fmt.Sprint(depth), fmt.Sprintf("%.3f", all.Mean[i]), fmt.Sprintf("%.3f", all.Std[i]), untrained,
			fmt.Sprintf("%.3f", all.Score[i]), fmt.Sprintf("%.3f", scores[i]), highestClass(p, i)}
		if p.Exit != nil {
			row = append(row, fmt.Sprintf("%.3f", p.Exit.Global.Mean[i]))
		}
		rows = append(rows, row)
	}
	if err := a.table(header, rows); err != nil {
		return err
	}
	fmt.Fprint(a.out, "\n", heatMap(p))
	return nil
}

// highestClass is the class that gives read i its largest score.
func highestClass(p *prune.Profile, i int) string {
	name, top := "", -1.0
	for c, attention := range p.Full.ByClass {
		if attention.N > 0 && attention.Score[i] > top {
			name, top = p.Classes[c], attention.Score[i]
		}
	}
	return name
}

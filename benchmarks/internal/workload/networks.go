package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// The trained network, and the target of its policy.
const (
	convnet    = "fashion-resnet"
	convnetEps = 0.005
)

// openConvnet opens the first network of fashion-resnet with the policy that its result file certifies.
func openConvnet(ctx context.Context, o Options) (*Workload, error) {
	r, err := result.Load(result.Path(o.Folder, convnet))
	if err != nil {
		return nil, err
	}
	run := r.Runs[0]
	b, err := bundle.Open(filepath.Join(o.Folder, "bundles", fmt.Sprintf("%s-%d", convnet, run.Seed)))
	if err != nil {
		return nil, err
	}
	if digest := b.Digest(); digest != run.Bundle {
		return nil, fmt.Errorf("the bundle has digest %.12s, the result is of %.12s", digest, run.Bundle)
	}
	at := slices.IndexFunc(run.Figures.Certified, func(c result.Certified) bool {
		return c.Eps == convnetEps && c.Exits == result.AllExits
	})
	if at < 0 {
		return nil, fmt.Errorf("the result has no policy over all exits for the target %v", convnetEps)
	}
	splits, err := train.Load(ctx, b.Data.Source, b.Fit, o.DataDir)
	if err != nil {
		return nil, err
	}
	test := eval.Draw(splits.Test, o.Samples, 1)
	w := &Workload{
		About:  "residual convnet of nine blocks, Fashion-MNIST, test samples, exits certified to lose less than 0.5 points",
		Bundle: b, Policy: run.Figures.Certified[at].Policy, values: test.Values, size: test.Size(),
	}
	return w, w.measureBuckets(ctx, o.Device)
}

// openEncoder makes an encoder of MiniLM's shape. Trained encoders on texts with an exit before the first block leave
// about so early when the accuracy may drop by half a point: a sixth of the blocks is run.
func openEncoder(ctx context.Context, o Options) (*Workload, error) {
	const vocabulary, length = 30522, 64
	w := &Workload{About: "encoder of six blocks, width 384, 12 heads, 64 tokens, random weights, exits prescribed"}
	rng := rand.New(rand.NewPCG(2, 0))
	for range o.Samples {
		ids := make([]int32, length)
		for i := range ids {
			ids[i] = 1 + rng.Int32N(vocabulary-1) // 0 is padding
		}
		w.tokens = append(w.tokens, ids)
	}
	network := fmt.Sprintf(`{"kind": "encoder", "layers": 6, "dim": 384, "heads": 12, "hidden": 1536, "vocab": %d, "max_length": %d}`, vocabulary, length)
	return w, w.random(ctx, o.Device, network, 150, length, []float64{.62, .14, .07, .06, .03, .02, .06})
}

// openMLP makes the network of the LAYA paper's Fashion-MNIST experiment, whose blocks cost less than a launch.
func openMLP(ctx context.Context, o Options) (*Workload, error) {
	w := &Workload{About: "perceptron 784-512-256-128, random weights, exits prescribed", size: 784}
	rng := rand.New(rand.NewPCG(3, 0))
	w.values = make([]float32, o.Samples*w.size)
	for i := range w.values {
		w.values[i] = rng.Float32()
	}
	return w, w.random(ctx, o.Device, `{"kind": "mlp", "input": [784], "widths": [512, 256, 128]}`, 10, 0, []float64{.55, .20, .10, .15})
}

// random gives the workload a network of random weights with an exit at every depth, and a policy that lets the given
// share of its samples leave at each of them.
func (w *Workload) random(ctx context.Context, device *compile.Device, network string, classes, length int, shares []float64) error {
	b, err := backbone.Decode([]byte(network))
	if err != nil {
		return err
	}
	w.Bundle = &bundle.Bundle{Name: "random", Backbone: b, Head: laya.Default(depths(b), classes), MaxLength: length}
	for c := range classes {
		w.Bundle.Classes = append(w.Bundle.Classes, fmt.Sprint(c))
	}
	joined, err := compile.NewNetwork(b, w.Bundle.Head)
	if err != nil {
		return err
	}
	w.Bundle.Weights = layer.NewWeights(joined.Params(), 1)
	if err := w.measureBuckets(ctx, device); err != nil {
		return err
	}
	scores, err := w.scores(ctx, device)
	if err != nil {
		return err
	}
	w.Policy, err = prescribe(scores, shares)
	return err
}

func depths(b backbone.Backbone) []int {
	var all []int
	for k := range b.Depth() + 1 {
		all = append(all, k)
	}
	return all
}

// scores are the largest probabilities of every sample at every exit, [sample][exit].
func (w *Workload) scores(ctx context.Context, device *compile.Device) (scores [][]float64, err error) {
	e, err := w.Engine(device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	largest := slices.Max(w.Buckets)
	for from := 0; from < w.Len(); from += largest {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, err := w.Samples(e, from, min(largest, w.Len()-from))
		if err != nil {
			return nil, err
		}
		rows := make([][]float64, len(batch))
		for i := range e.Depths() {
			gates, err := e.Run(i, i, batch)
			if err != nil {
				return nil, err
			}
			for j, g := range gates {
				rows[j] = append(rows[j], float64(g[slices.Index(exit.Gates, exit.MaxProb)]))
			}
		}
		for _, s := range batch {
			e.Release(s)
		}
		scores = append(scores, rows...)
	}
	return scores, nil
}

// prescribe chooses thresholds with which the given share of the samples leaves at each exit. scores is [sample][exit];
// the last exit takes the rest.
func prescribe(scores [][]float64, shares []float64) (exit.Policy, error) {
	p := exit.Policy{Name: "prescribed", Gate: exit.MaxProb}
	for i, s := range scores {
		if len(s) != len(shares) {
			return p, fmt.Errorf("sample %d has scores of %d exits, want %d", i, len(s), len(shares))
		}
	}
	stay := scores
	for k := range len(shares) - 1 {
		leave := int(shares[k]*float64(len(scores)) + 0.5)
		threshold := exit.Never
		if leave = min(leave, len(stay)); leave > 0 {
			stay = slices.SortedFunc(slices.Values(stay), func(a, b []float64) int { return cmp.Compare(b[k], a[k]) })
			threshold = exit.Threshold(stay[leave-1][k])
			if leave < len(stay) { // half-way to the next, so that the last bits of a kernel seldom decide
				threshold = exit.Threshold((stay[leave-1][k] + stay[leave][k]) / 2)
			}
			stay = stay[leave:]
		}
		p.Exits, p.Thresholds = append(p.Exits, k), append(p.Thresholds, threshold)
	}
	return p, nil
}

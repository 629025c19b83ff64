// Package same checks that a sample's answer does not depend on how it arrived. Kernels of different buckets may differ in
// the last bits, so that difference is measured first, at every exit of every sample, and an answer may change only where
// a confidence lies no farther from its threshold, or two labels no farther from each other.
package same

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/benchmarks/internal/workload"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
)

const (
	// bound is the most that a confidence may differ between buckets: some hundred units in the last place of a
	// probability near 1, far below any threshold's meaning.
	bound = 1e-4
	// atOnce is how many samples are handed in together to fill batches of one bucket.
	atOnce = 256
	// otherBatch is the batch size on another backend.
	otherBatch = 8
	// callers and the most samples in one of their requests make the concurrent load.
	callers, mostSamples = 16, 40
)

var full = exit.Full().Name

// check is a comparison under way.
type check struct {
	work    *workload.Workload
	policy  exit.Policy
	gate    int
	exits   []int
	found   result.Same
	formula float64          // how far confidences of the gate's graph and of its formula in Go are apart
	scores  [][]exit.Scores  // alone, [sample][exit]
	labels  []int            // alone, with exits off
	alone   []layarun.Answer // alone, with the policy
	at      map[int]int      // depth: exit
	theta   map[int]float64  // depth: threshold
}

// Check answers all samples of w alone, in batches of each of the buckets, under the load of several callers and, where they
// run on native kernels and its plugin is there, on XLA, each with the policy and with exits off. An error is one of
// running; what was found is in the result.
func Check(ctx context.Context, w *workload.Workload, device *compile.Device, buckets []int) (found *result.Same, err error) {
	c := &check{work: w, policy: w.Policy, at: map[int]int{}, theta: map[int]float64{}}
	c.found = result.Same{Samples: w.Len(), Bound: bound}
	c.gate = slices.Index(exit.Gates, w.Policy.Gate)
	for i, depth := range w.Policy.Exits {
		c.theta[depth] = float64(w.Policy.Thresholds[i])
	}
	r, err := w.Runtime(device)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := c.one(ctx, r); err != nil {
		return nil, err
	}
	for _, bucket := range buckets {
		if err := c.bucket(ctx, device, bucket, fmt.Sprintf("batches of %d", bucket)); err != nil {
			return nil, fmt.Errorf("bucket %d: %w", bucket, err)
		}
	}
	if err := c.load(ctx, r); err != nil {
		return nil, err
	}
	if _, found := compile.FindPlugin("cpu"); found && r.Backend() == "native" {
		if err := c.onXLA(ctx); err != nil {
			return nil, fmt.Errorf("on XLA: %w", err)
		}
	}
	return &c.found, nil
}

// onXLA answers all samples on XLA, in batches.
func (c *check) onXLA(ctx context.Context) error {
	device, err := compile.OpenDevice("xla:cpu")
	if err != nil {
		return err
	}
	defer device.Close()
	return c.bucket(ctx, device, otherBatch, fmt.Sprintf("on %s, not native, in batches of %d", device.Name, otherBatch))
}

// one answers every sample alone.
func (c *check) one(ctx context.Context, r *layarun.Runtime) error {
	c.exits = r.Exits()
	for i, depth := range c.exits {
		c.at[depth] = i
	}
	for i := range c.work.Len() {
		answers, err := c.ask(ctx, r, i, i+1, true)
		if err != nil {
			return err
		}
		c.scores = append(c.scores, scores(answers[0]))
		c.labels = append(c.labels, answers[0].Label)
		if answers, err = c.ask(ctx, r, i, i+1, false); err != nil {
			return err
		}
		c.alone = append(c.alone, answers[0])
		// The gate's graph and its formula in Go may differ in the last bits, too.
		c.formula = max(c.formula, math.Abs(float64(answers[0].Confidence-c.scores[i][c.at[answers[0].ExitDepth]][c.gate])))
	}
	return nil
}

// ask answers the samples from..to-1, at all exits or with the policy.
func (c *check) ask(ctx context.Context, r *layarun.Runtime, from, to int, all bool) ([]layarun.Answer, error) {
	q := c.work.Request(from, to, c.policy.Name)
	if all {
		q.Policy, q.AllExits = full, true
	}
	return workload.Predict(ctx, r, q)
}

func scores(a layarun.Answer) []exit.Scores {
	var all []exit.Scores
	for _, logits := range a.Exits {
		all = append(all, exit.ScoresOf(logits))
	}
	return all
}

// differ is the largest difference of a confidence from that alone, which it also notes.
func (c *check) differ(off []layarun.Answer) (difference float64) {
	for i, a := range off {
		for k, s := range scores(a) {
			for gate := range s {
				difference = max(difference, math.Abs(float64(s[gate]-c.scores[i][k][gate])))
			}
		}
	}
	c.found.Difference = max(c.found.Difference, difference)
	return difference
}

// bucket answers all samples in batches of one bucket, at every segment, and compares the answers.
func (c *check) bucket(ctx context.Context, device *compile.Device, bucket int, way string) (err error) {
	r, err := layarun.New(c.work.Bundle, device, layarun.Options{Buckets: [][]int{{bucket}}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var off, on []layarun.Answer
	for from := 0; from < c.work.Len(); from += atOnce {
		to := min(from+atOnce, c.work.Len())
		answers, err := c.ask(ctx, r, from, to, true)
		if err != nil {
			return err
		}
		off = append(off, answers...)
		if answers, err = c.ask(ctx, r, from, to, false); err != nil {
			return err
		}
		on = append(on, answers...)
	}
	c.compare(way, c.differ(off), off, on)
	return nil
}

// load lets several callers ask for all samples in requests of random sizes, with the policy and with exits off at the
// same time.
func (c *check) load(ctx context.Context, r *layarun.Runtime) error {
	n := c.work.Len()
	off, on := make([]layarun.Answer, n), make([]layarun.Answer, n)
	var mu sync.Mutex
	rng, next := rand.New(rand.NewPCG(5, 0)), 0
	take := func() (from, to int) {
		mu.Lock()
		defer mu.Unlock()
		from = next
		next = min(n, next+1+rng.IntN(mostSamples))
		return from, next
	}
	faults := make([]error, callers)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for from, to := take(); from < to && faults[caller] == nil; from, to = take() {
				for _, everything := range []bool{caller%2 == 0, caller%2 != 0} {
					answers, err := c.ask(ctx, r, from, to, everything)
					faults[caller] = errors.Join(faults[caller], err)
					if everything {
						copy(off[from:to], answers)
					} else {
						copy(on[from:to], answers)
					}
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	c.compare(fmt.Sprintf("%d callers, 1 to %d samples each", callers, mostSamples), c.differ(off), off, on)
	return nil
}

// compare counts the answers that are not those alone.
func (c *check) compare(way string, difference float64, off, on []layarun.Answer) {
	w := result.SameWay{Way: way, Answers: len(off) + len(on), Difference: difference}
	bound := max(difference, c.formula)
	last := len(c.exits) - 1
	for i := range off {
		if off[i].Label != c.labels[i] {
			w.Labels++
			w.Beyond += count(!c.tied(i, last, bound))
		}
		got, want := on[i].ExitDepth, c.alone[i].ExitDepth
		switch {
		case got != want:
			w.Exits++
			w.Labels += count(on[i].Label != c.alone[i].Label)
			first := min(got, want)
			confidence := float64(c.scores[i][c.at[first]][c.gate])
			w.Beyond += count(math.Abs(confidence-c.theta[first]) > bound)
		case on[i].Label != c.alone[i].Label:
			w.Labels++
			w.Beyond += count(!c.tied(i, c.at[got], bound))
		}
	}
	c.found.Ways = append(c.found.Ways, w)
}

// tied reports whether the two largest probabilities of a sample lie so close that the last bits decide.
func (c *check) tied(i, exit int, bound float64) bool {
	return float64(c.scores[i][exit][margin]) <= 2*bound
}

// margin is where [exit.Scores] holds the difference of the two largest probabilities.
var margin = slices.Index(exit.Gates, exit.Margin)

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

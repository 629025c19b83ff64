package train_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/internal/testbackend"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// A network that cannot learn 64 samples by heart does not train at all.
func TestOverfits(t *testing.T) {
	job := newJob(t)
	job.Train = blobs(64, 3)
	job.Validation = job.Train
	job.Config.Epochs, job.Config.Decay = 60, 0
	result := mustRun(t, job)
	for exit, accuracy := range result.Epochs[result.Best-1].Validation.Accuracy[1:] { // depth 0 is linear in the features
		if accuracy < 0.95 {
			t.Errorf("exit at depth %d knows %.1f %% of 64 samples after %d epochs, want 95", exit+1, 100*accuracy, len(result.Epochs))
		}
	}
	if first, last := result.Epochs[0].TrainLoss, result.Epochs[len(result.Epochs)-1].TrainLoss; last > first/2 {
		t.Errorf("the loss went from %v to %v", first, last)
	}
}

func TestSeedDecidesEverything(t *testing.T) {
	job := newJob(t)
	job.Config.Epochs = 2
	first := mustRun(t, job)
	wantSameBits(t, mustRun(t, job), first)
	job.Config.Seed = 2
	if other := mustRun(t, job); bytes.Equal(bits(t, other.Weights), bits(t, first.Weights)) {
		t.Error("seed 2 gives the weights of seed 1")
	}
}

// The first step of AdamW without momentum moves a weight by rate * g / (|g| + eps). With eps = 1 that tells the gradient,
// and with it how the reported loss must change along any direction.
func TestStepFollowsTheGradientOfTheLoss(t *testing.T) {
	job := newJob(t)
	job.Train = blobs(16, 4)
	c := &job.Config
	c.Epochs, c.WarmUp, c.Rate, c.Schedule = 1, 0, 1, "constant"
	c.Beta1, c.Beta2, c.Epsilon, c.Decay, c.Clip = 0, 0, 1, 0, 0
	c.DistilWeight = 0 // its teacher is held fixed, which a difference of losses does not see
	params := job.Network.Params()
	start := layer.NewWeights(params, 5)
	rng := rand.New(rand.NewPCG(6, 0))
	shifted := func(direction layer.Weights, by float64) layer.Weights {
		w := layer.Weights{}
		for _, p := range params {
			flat := tensors.MustCopyFlatData[float32](start[p.Name])
			if d, ok := direction[p.Name]; ok {
				for i, v := range tensors.MustCopyFlatData[float32](d) {
					flat[i] += float32(by) * v
				}
			}
			w[p.Name] = tensors.FromFlatDataAndDimensions(flat, p.Dims...)
		}
		return w
	}
	noise := func() layer.Weights {
		d := layer.Weights{}
		for _, p := range params {
			if !p.Frozen {
				d[p.Name] = layer.Param{Dims: p.Dims, Init: layer.Normal(1)}.New(rng)
			}
		}
		return d
	}
	start = shifted(noise(), 0.1) // fresh weights hold zeros that hide gradients
	lossAt := func(w layer.Weights) *train.Result {
		job.Start = w
		return mustRun(t, job)
	}
	after := lossAt(start).Weights
	for range 3 {
		direction := noise()
		want := 0.0
		for name, d := range direction {
			before, now := tensors.MustCopyFlatData[float32](start[name]), tensors.MustCopyFlatData[float32](after[name])
			for i, v := range tensors.MustCopyFlatData[float32](d) {
				moved := float64(before[i]) - float64(now[i])
				want += float64(v) * moved / (1 - math.Abs(moved))
			}
		}
		const h = 1e-3
		got := (lossAt(shifted(direction, h)).Epochs[0].TrainLoss - lossAt(shifted(direction, -h)).Epochs[0].TrainLoss) / (2 * h)
		// The loss, about 2, is known to 2e-7, so the quotient to 2e-4; the third derivative adds h^2 of itself.
		if math.Abs(got-want) > 2e-3*math.Max(1, math.Abs(want)) {
			t.Errorf("the loss rises by %v along a direction, the gradient says %v", got, want)
		}
	}
}

func TestPatienceStopsAndKeepsTheBest(t *testing.T) {
	job := newJob(t)
	c := &job.Config
	c.Epochs, c.WarmUp, c.Schedule, c.Patience = 30, 0, "constant", 3
	for i, label := range job.Validation.Labels { // what is learnt is wrong here
		job.Validation.Labels[i] = (label + 1) % 3
	}
	result := mustRun(t, job)
	if got := len(result.Epochs); got != result.Best+3 {
		t.Fatalf("%d epochs, the best %d, want 3 after it", got, result.Best)
	}
	for i, e := range result.Epochs {
		if worse := e.Validation.Last() <= result.Epochs[result.Best-1].Validation.Last(); i >= result.Best && !worse {
			t.Errorf("epoch %d is better than the best, %d", i+1, result.Best)
		}
	}
	// With a constant rate, the run that ends at the best epoch has taken the same steps.
	c.Epochs, c.Patience = result.Best, 0
	if short := mustRun(t, job); !bytes.Equal(bits(t, short.Weights), bits(t, result.Weights)) {
		t.Error("the result's weights are not those of the best epoch")
	}
}

func TestValidationIsThatOfTheWeightsReturned(t *testing.T) {
	job := newJob(t)
	result := mustRun(t, job)
	best := result.Epochs[result.Best-1].Validation
	for exit, l := range logits(t, job.Network, result.Weights, job.Validation) {
		right, loss := 0, 0.0
		for i, label := range job.Validation.Labels {
			row, sum := l[3*i:3*i+3], 0.0
			if slices.Index(row, slices.Max(row)) == label {
				right++
			}
			for _, v := range row {
				sum += math.Exp(float64(v))
			}
			loss += (math.Log(sum) - float64(row[label])) / 50
		}
		if got := best.Accuracy[exit]; got != float64(right)/50 {
			t.Errorf("exit %d: accuracy %v, want %d of 50", exit, got, right)
		}
		if exit == len(best.Accuracy)-1 && math.Abs(best.Loss-loss) > 1e-6 { // float32 logits of other batch sizes
			t.Errorf("loss %v, want %v", best.Loss, loss)
		}
	}
}

func TestWatchToldEveryStep(t *testing.T) {
	job := newJob(t)
	var steps, epochs []int
	job.Watch = func(p train.Progress) {
		if p.Done != nil {
			epochs = append(epochs, p.Done.Step)
			return
		}
		steps = append(steps, p.Step)
		if want := (p.Step-1)/5 + 1; p.Epoch != want || p.Epochs != 4 || p.Steps != 20 || !(p.Loss > 0) {
			t.Errorf("step %d: %+v, want epoch %d of 4, 20 steps", p.Step, p, want)
		}
	}
	mustRun(t, job)
	if len(steps) != 20 || steps[0] != 1 || steps[19] != 20 || !slices.Equal(epochs, []int{5, 10, 15, 20}) {
		t.Errorf("steps %v, epochs after %v", steps, epochs)
	}
}

func TestDivergedLossEndsTheRun(t *testing.T) {
	job := newJob(t)
	job.Config.Standardise = false
	job.Train.Values = slices.Clone(job.Train.Values)
	job.Train.Values[0], job.Train.Values[1] = math.MaxFloat32, math.MaxFloat32 // finite, but their products are not
	if _, err := train.Run(t.Context(), job); !errors.Is(err, train.ErrDiverged) || !strings.Contains(err.Error(), "step") {
		t.Errorf("error %v, want ErrDiverged with the step", err)
	}
	job = newJob(t)
	job.Config.Standardise = false
	job.Validation.Values[0], job.Validation.Values[1] = math.MaxFloat32, math.MaxFloat32
	job.Dir = t.TempDir()
	if _, err := train.Run(t.Context(), job); !errors.Is(err, train.ErrDiverged) || !strings.Contains(err.Error(), "validation after step 5") {
		t.Errorf("error %v, want ErrDiverged after the first epoch", err)
	}
}

func TestRefusesWhatDoesNotFit(t *testing.T) {
	texts := &dataset.Set{Texts: []string{"one two", "three"}, Labels: []int{0, 1}, Classes: []string{"a", "b"}}
	file, err := token.Build(texts.Texts, 64)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := token.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	text := func(vocab, length int) func(j *train.Job) {
		return func(j *train.Job) {
			b, err := backbone.Decode([]byte(`{"kind":"encoder","vocab":200,"max_length":32,"layers":1,"dim":4,"heads":1,"hidden":4}`))
			if err != nil {
				t.Fatal(err)
			}
			b.(*backbone.Encoder).Vocab = vocab
			j.Network, j.Train, j.Validation, j.Tokens, j.MaxLength = newNetwork(t, b, 2), texts, texts, tokens, length
		}
	}
	for _, test := range []struct {
		change func(j *train.Job)
		want   string
	}{
		{func(j *train.Job) { j.Config.Epochs = 0 }, "epochs is 0, want at least 1"},
		{func(j *train.Job) { j.Config.Rate = math.NaN() }, "rate is NaN"},
		{func(j *train.Job) { j.Train.Labels[7] = dataset.Unknown }, "the training split has no label for sample 7"},
		{func(j *train.Job) { j.Validation.Labels[3] = dataset.Unknown }, "the validation split has no label for sample 3"},
		{func(j *train.Job) { j.Train = j.Train.Subset(nil) }, "the training split is empty"},
		{func(j *train.Job) { j.Train.Classes = []string{"a", "b", "c", "d"} }, "the training split has 4 classes, want the head's 3"},
		{func(j *train.Job) { j.Validation.Classes = []string{"a", "c", "b"} }, `the validation split has classes ["a" "c" "b"]`},
		{func(j *train.Job) { j.Train.Dims = []int{2, 3, 1} }, "the training split has samples of dims [2 3 1], want the network's input, [6]"},
		{func(j *train.Job) { j.Config.Shift = 1 }, "no images"},
		{func(j *train.Job) { j.Start = layer.Weights{} }, "is missing"},
		{text(3, 16), "vocab is 3, want at least the tokenizer's"},
		{text(200, 40), "max_length is 40, want at most 32"},
		{text(200, 0), "max_length is 0, want at least 1"},
		{func(j *train.Job) { text(200, 16)(j); j.Tokens = nil }, "need a tokenizer"},
	} {
		job := newJob(t)
		test.change(&job)
		if _, err := train.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want one with %q", err, test.want)
		}
	}
}

// faulty is a backbone whose block is broken.
type faulty struct{ *backbone.MLP }

func (f faulty) Block(k int) backbone.Block {
	b := f.MLP.Block(k)
	b.Apply = func(*layer.Pass, []*graph.Node) []*graph.Node { panic("no such block") }
	return b
}

// GoMLX would keep its locks and the second run wait forever, were the panic not made an error.
func TestPanickingBackboneIsAnError(t *testing.T) {
	job := newJob(t)
	job.Network = newNetwork(t, faulty{job.Network.Backbone.(*backbone.MLP)}, 3)
	for range 2 {
		if _, err := train.Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), "no such block") {
			t.Fatalf("error %v, want the panic's", err)
		}
	}
	mustRun(t, newJob(t))
}

func TestCancelledBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := train.Run(ctx, newJob(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// Text goes through a tokenizer, padding and dropout.
func TestTrainsOnText(t *testing.T) {
	words := []string{"red green blue", "one two three", "blue red", "three one two two", "green", "two"}
	set := &dataset.Set{Name: "words", Classes: []string{"colour", "number"}}
	for i := range 24 {
		set.Texts = append(set.Texts, words[i%6])
		set.Labels = append(set.Labels, i%2)
	}
	file, err := token.Build(set.Texts, 64)
	if err != nil {
		t.Fatal(err)
	}
	job := train.Job{Config: train.Default(), Backend: testbackend.Go(t), Train: set, Validation: set, MaxLength: 8}
	if job.Tokens, err = token.Load(file); err != nil {
		t.Fatal(err)
	}
	b, err := backbone.Decode([]byte(`{"kind":"encoder","vocab":64,"max_length":16,"layers":1,"dim":8,"heads":2,"hidden":8}`))
	if err != nil {
		t.Fatal(err)
	}
	job.Network = newNetwork(t, b, 2)
	job.Config.Epochs, job.Config.Batch, job.Config.Rate = 10, 8, 0.02
	result := mustRun(t, job)
	if got := result.Epochs[result.Best-1].Validation.Last(); got != 1 {
		t.Errorf("accuracy %v on six texts seen in training, want 1", got)
	}
	wantSameBits(t, mustRun(t, job), result)
}

package layarun

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/schedule"
)

// The errors that callers branch on.
var (
	// ErrRequest: the request does not apply to this model.
	ErrRequest = errors.New("layarun: invalid request")
	// ErrFull: the scheduler has no room now; only from requests with NoWait.
	ErrFull = schedule.ErrFull
	// ErrDeadline: the sample's deadline passed while it waited.
	ErrDeadline = schedule.ErrDeadline
	// ErrNotFinite: the sample has no answer, because the last logits are not finite.
	ErrNotFinite = schedule.ErrNotFinite
)

// Request asks for answers to samples, which are in one of Values, Images, Texts and Tokens. Without samples there are no
// answers, and what else the request says is checked all the same.
type Request struct {
	Values []float32 // [n, dims…], row-major
	Images [][]byte  // [n], each a PNG or JPEG file of any size
	Texts  []string  // [n]
	Tokens [][]int32 // [n][length], 1 to the bundle's longest input

	// Policy is the name of one of the bundle's policies, "full", or "" for the bundle's default.
	Policy string
	// Threshold, if not nil, replaces the thresholds of every exit; +Inf is "never".
	Threshold *float64
	// MinExit and MaxExit bound the depth at which samples leave; nil sets no bound.
	MinExit, MaxExit *int
	// Explain fills Alpha, ValueNorms and Contributions.
	Explain bool
	// AllExits fills Exits, at the cost of evaluating every exit on the way.
	AllExits bool
	// NoWait fails with ErrFull instead of waiting for room.
	NoWait bool
}

// Answer is what the network says of one sample.
type Answer struct {
	Label         int       // index into Classes; ties go to the lowest
	Confidence    float32   // the policy's score at the exit taken
	ExitDepth     int       // the depth of the exit taken
	Forced        bool      // it left there because of MaxExit, not because the policy was sure
	Logits        []float32 // [classes]
	Probabilities []float32 // [classes]
	// Alpha is the attention over the depths read so far, [reads up to the exit]; with Explain.
	Alpha []float32
	// ValueNorms are ‖z_i‖ of the same depths, the lengths of the vectors that alpha weighs; with Explain.
	ValueNorms []float32
	// Contributions [reads up to the exit][classes] and Bias [classes] sum to the logits; with Explain.
	Contributions [][]float32
	Bias          []float32
	// Exits are the logits of every exit up to the one taken; with AllExits.
	Exits [][]float32
	// Err says that this sample has no answer.
	Err error
}

// Predict answers every sample of the request, in order. Samples that fail carry their error; the returned error is one
// that concerns the whole request.
func (r *Runtime) Predict(ctx context.Context, q Request) ([]Answer, error) {
	rule, gate, err := r.rule(q)
	if err != nil {
		return nil, err
	}
	samples, err := r.samples(ctx, q)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	jobs := make([]schedule.Job[*compile.Sample], len(samples))
	for i, s := range samples {
		jobs[i] = schedule.Job[*compile.Sample]{State: s, Lane: s.Lane, Rule: rule, Deadline: deadline}
	}
	answers := make([]Answer, len(samples))
	deliver := func(i int, result schedule.Result[*compile.Sample]) {
		answers[i] = r.answer(q, gate, result)
	}
	do := r.scheduler.Do
	if q.NoWait {
		do = r.scheduler.TryDo
	}
	if err := do(ctx, jobs, deliver); err != nil {
		return nil, err
	}
	return answers, nil
}

// rule is when the request's samples leave, and the gate whose score is their confidence.
func (r *Runtime) rule(q Request) (*schedule.Rule, int, error) {
	policy, err := r.policy(q.Policy)
	if err != nil {
		return nil, 0, err
	}
	exits := r.Exits()
	if q.Threshold != nil {
		policy.Exits = exits[:len(exits)-1]
		policy.Thresholds = slices.Repeat([]exit.Threshold{exit.Threshold(*q.Threshold)}, len(policy.Exits))
	}
	low, high := 0, exits[len(exits)-1]
	if q.MinExit != nil {
		low = *q.MinExit
	}
	if q.MaxExit != nil {
		high = *q.MaxExit
	}
	rule, err := schedule.NewRule(policy, exits, low, high)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return rule, slices.Index(exit.Gates, policy.Gate), nil
}

// answer reads the answer off a sample that has left.
func (r *Runtime) answer(q Request, gate int, result schedule.Result[*compile.Sample]) Answer {
	if result.Err != nil {
		return Answer{Err: result.Err}
	}
	s := result.State
	logits := s.Logits()
	a := Answer{
		Label: exit.Argmax(logits), Confidence: result.Scores[gate], ExitDepth: result.Depth, Forced: result.Forced,
		Logits: logits, Probabilities: softmax(logits),
	}
	if q.AllExits {
		a.Exits = s.AllLogits()
	}
	if q.Explain || q.AllExits {
		a.Alpha = float32s(laya.Attention(r.bundle.Head, s.Scores()))
	}
	if q.Explain {
		if err := r.explain(&a, s); err != nil {
			return Answer{Err: fmt.Errorf("layarun: explain: %w", err)}
		}
	}
	return a
}

// explain splits the logits over the depths. Heads that do not add up over depth have no contributions.
func (r *Runtime) explain(a *Answer, s *compile.Sample) error {
	for _, z := range s.Values() {
		a.ValueNorms = append(a.ValueNorms, norm(z))
	}
	if !r.bundle.Head.Additive() {
		return nil
	}
	contributions, bias, err := laya.Contributions(r.bundle.Head, r.head, a.ExitDepth, s.Scores(), s.Values())
	if err != nil {
		return err
	}
	for _, c := range contributions {
		a.Contributions = append(a.Contributions, float32s(c))
	}
	a.Bias = float32s(bias)
	return nil
}

// softmax is that of logits, computed in float64 with the maximum subtracted.
func softmax(logits []float32) []float32 {
	top := float64(slices.Max(logits))
	sum := 0.0
	p := make([]float32, len(logits))
	for _, l := range logits {
		sum += math.Exp(float64(l) - top)
	}
	for i, l := range logits {
		p[i] = float32(math.Exp(float64(l)-top) / sum)
	}
	return p
}

// norm is the Euclidean length of z.
func norm(z []float32) float32 {
	sum := 0.0
	for _, v := range z {
		sum += float64(v) * float64(v)
	}
	return float32(math.Sqrt(sum))
}

// float32s rounds; nil stays nil.
func float32s(values []float64) []float32 {
	if values == nil {
		return nil
	}
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(v)
	}
	return out
}

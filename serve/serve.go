// Package serve answers inference requests over HTTP in the Open Inference Protocol v2 (REST, JSON), with control over
// early exits in each request's parameters.
//
//	GET  /v2                                         the server
//	GET  /v2/health/live   /healthz                  200 as long as the process answers
//	GET  /v2/health/ready  /readyz                   200 after warm-up and before draining, else 503
//	GET  /v2/models                                  the models' names
//	GET  /v2/models/{m}[/versions/{v}]               inputs, outputs, exits, policies
//	GET  /v2/models/{m}[/versions/{v}]/ready
//	POST /v2/models/{m}[/versions/{v}]/infer
//
// Request parameters, all optional: exit_policy (a policy's name, or "full"), exit_threshold (0 to 1, or "never"),
// min_exit and max_exit (depths), explain (bool) and timeout (microseconds). Every error is {"error": "…"}.
//
// The package knows the protocol and its limits. It queues nothing and decides nothing about exits: that is [Model]'s.
package serve

import (
	"context"
	"errors"
)

// Model is what the server answers with. Its methods are called from many goroutines at once; all but Predict are cheap
// and always return the same.
type Model interface {
	// Name is the {m} of the URLs, Version the {v}; an empty version means that the model is not versioned.
	Name() string
	Version() string
	// Digest identifies weights and plan; answers carry it as the parameter model_digest.
	Digest() string
	Input() Input
	Classes() []string
	// Depths are the exits, ascending; the last is the full depth.
	Depths() []int
	// Reads are the depths the head attends to, ascending; nil if it has no attention and cannot explain.
	Reads() []int
	// Policies are the names that exit_policy may give besides "full".
	Policies() []string
	// Predict answers every sample of the request, in order. It returns ErrFull, ErrDeadline or ErrInvalid (wrapped) where
	// they apply, and soon after ctx ends.
	Predict(ctx context.Context, request Request) ([]Answer, error)
}

// The kinds of input.
const (
	Vector = "vector" // FP32 [n, features]
	Image  = "image"  // FP32 [n, height, width, channels]
	Text   = "text"   // BYTES [n], or token ids INT32 or INT64 [n, length]
)

// Input says what one sample is.
type Input struct {
	Kind string
	// Dims is the shape of one vector or image, every number > 0; unused for text.
	Dims []int
}

// Request is one checked request: at least one sample, and parameters in the model's range.
type Request struct {
	// One of the three is set, by the kind of input.
	Values []float32 // [n, dims…] row-major, finite
	Texts  []string  // [n], valid UTF-8
	Tokens [][]int32 // [n][length], length >= 1, the same for all; the range of the ids is for the model to check

	Policy    string   // "" for the model's default, "full", or one of the model's policies
	Threshold *float64 // in [0, 1], or +Inf for "never"; nil for the policy's own
	MinExit   *int     // depth; nil for no bound
	MaxExit   *int     // depth; nil for no bound
	Explain   bool     // fill Alpha and Contributions of the answers
}

// Answer is what the model says of one sample.
type Answer struct {
	Label         int       // index into the classes
	Confidence    float32   // the gate's score at the exit taken
	ExitDepth     int       // depth of the exit taken
	Probabilities []float32 // [classes]
	// Alpha [reads] and Contributions [reads][classes] are set if the request said Explain; reads beyond the exit taken
	// may be left out.
	Alpha         []float32
	Contributions [][]float32
	// Err says that this sample has no answer, because its logits were not finite for instance. It fails the request, for
	// the protocol has no errors per sample.
	Err error
}

// The errors a model returns to choose the status of the answer; every other error is a 500.
var (
	ErrFull     = errors.New("the queue is full")          // 503 with Retry-After
	ErrDeadline = errors.New("the deadline passed")        // 504; so does context.DeadlineExceeded
	ErrInvalid  = errors.New("the request does not apply") // 400
)

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
// The input is one of those that the model's metadata lists: a network on images takes them as values, or as "image", BYTES
// [n], PNG or JPEG files of any size in base64.
//
// With explain an answer also has the attention over the depths read, alpha [n, reads], and what each of them added to the
// logits, contributions [n, reads, classes]; both are 0 beyond the exit taken. The contributions of a sample and its bias
// [n, classes], which belongs to no depth, sum to the logits.
//
// The package knows the protocol and its limits. It queues nothing and decides nothing about exits: that is the runtime's.
package serve

import (
	"context"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/exit"
)

// Model is a runtime and the place at which it answers.
type Model struct {
	Name    string // the {m} of the URLs
	Version string // the {v}; empty for a model that is not versioned
	Runtime
}

// Runtime is what the server needs of a [layarun.Runtime], whose methods these are. They are called from many goroutines
// at once; all but Predict are cheap and always return the same.
type Runtime interface {
	Digest() string
	Classes() []string
	// Dims is the shape of a sample, every number > 0; nil if samples are texts.
	Dims() []int
	// Exits are the depths at which samples can leave, ascending.
	Exits() []int
	// Reads are the depths the head attends to; nil if it has no attention and cannot explain.
	Reads() []int
	Policies() []exit.Policy
	// Predict answers every sample, in order, and returns soon after ctx ends. The sentinel errors of package layarun, of
	// the request or of one of its answers, choose the status: ErrRequest 400, ErrFull 503, ErrDeadline 504, others 500.
	Predict(ctx context.Context, request layarun.Request) ([]layarun.Answer, error)
}

package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Options are the server's limits and delays. Start from [DefaultOptions].
type Options struct {
	// Version is the server's own, for GET /v2.
	Version string
	// MaxBody bounds the bytes of a request's body, before and after decompression.
	MaxBody int64
	// MaxSamples bounds the samples of one request.
	MaxSamples int
	// Timeout is the longest that a request's body may take to arrive, and then its answer; the parameter timeout can only
	// shorten the latter.
	Timeout time.Duration
	// ReadHeaderTimeout bounds the arrival of a request's header.
	ReadHeaderTimeout time.Duration
	// DrainDelay is how long the server goes on serving after it has stopped being ready, so that load balancers notice.
	DrainDelay time.Duration
	// ExitTimeout is how long requests in flight may take after that.
	ExitTimeout time.Duration
	// Warm, if set, is run once by Serve, and the server is ready only when it has returned. It should return soon after
	// ctx ends.
	Warm func(ctx context.Context) error
	// Ready, if set, is called once when the server has become ready, with its address and a command that gets an answer.
	Ready func(address net.Addr, try string)
	// Logger gets a line at the start, at the end and per failure, and at debug level one per request. Nil discards them.
	Logger *slog.Logger
}

// DefaultOptions fit a service behind a load balancer: 64 MiB, 1,024 samples, 30 s per request, 5 s of draining.
func DefaultOptions() Options {
	return Options{
		MaxBody:           64 << 20,
		MaxSamples:        1024,
		Timeout:           30 * time.Second,
		ReadHeaderTimeout: 10 * time.Second,
		DrainDelay:        5 * time.Second,
		ExitTimeout:       15 * time.Second,
	}
}

// Validate reports every fault with field, value and what was expected.
func (o Options) Validate() error {
	var faults []error
	positive := func(name string, ok bool, value any) {
		if !ok {
			faults = append(faults, fmt.Errorf("serve: %s is %v, want more than 0", name, value))
		}
	}
	positive("MaxBody", o.MaxBody > 0, o.MaxBody)
	positive("MaxSamples", o.MaxSamples > 0, o.MaxSamples)
	positive("Timeout", o.Timeout > 0, o.Timeout)
	positive("ReadHeaderTimeout", o.ReadHeaderTimeout > 0, o.ReadHeaderTimeout)
	positive("ExitTimeout", o.ExitTimeout > 0, o.ExitTimeout)
	if o.DrainDelay < 0 {
		faults = append(faults, fmt.Errorf("serve: DrainDelay is %v, want 0 or more", o.DrainDelay))
	}
	return errors.Join(faults...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/serve"
)

func newServeCmd(a *app) *cobra.Command {
	o, address := serve.DefaultOptions(), ""
	cmd := &cobra.Command{
		Use:   "serve BUNDLE",
		Short: "Answer requests over HTTP in the Open Inference Protocol v2",
		Long: `Serve a bundle over HTTP, in the REST form of the Open Inference Protocol v2 that KServe, Triton and their clients speak.

A network on images takes them as values, or as files of any size: the input "image", BYTES, in base64.

The server first measures which batch sizes pay on this machine. It is then live, and ready when everything that a
request can ask for has been compiled. Requests may choose
when their samples leave: exit_policy, exit_threshold, min_exit, max_exit and explain in the request's parameters.

SIGTERM and Ctrl-C drain: the server stops being ready, goes on serving for --drain-delay, and ends when its requests
have their answers. A second signal ends it at once. There is neither TLS nor authentication: put a proxy in front.

With --json one object is printed when the server is ready, with its address.`,
		Example: `  layarun serve runs/digits/bundle
  layarun serve runs/mine/bundle --addr :9000 --drain-delay 0s`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.MaxBody < 1 {
				return usageError("--max-body is %d, want at least 1 byte", o.MaxBody)
			}
			if o.DrainDelay < 0 {
				return usageError("--drain-delay is %v, want 0s or more", o.DrainDelay)
			}
			return a.serve(cmd.Context(), args[0], address, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&address, "addr", "127.0.0.1:8080", "address to listen on; port 0 takes a free one")
	f.Int64Var(&o.MaxBody, "max-body", o.MaxBody, "largest body of a request in bytes, packed and unpacked")
	f.DurationVar(&o.DrainDelay, "drain-delay", o.DrainDelay, "how long to go on serving once no longer ready")
	a.addBackendFlag(cmd)
	return cmd
}

// served is what serve reports when it is ready.
type served struct {
	Address string `json:"address"`
	Model   string `json:"model"`
	Digest  string `json:"digest"`
	Backend string `json:"backend"`
	tuned
	Try string `json:"try"`
}

// tuned is how a runtime was made ready to serve.
type tuned struct {
	Buckets     []int          `json:"buckets"`      // batch sizes that are compiled
	Costs       []compile.Cost `json:"bucket_costs"` // what the whole network takes at the sizes that were tried
	Executables int            `json:"executables"`
	Seconds     float64        `json:"compile_seconds"`
	Memory      int64          `json:"memory_bytes,omitempty"` // resident, where the system tells
}

// openTuned makes a runtime of the batch sizes that pay on the device, with room for two of the largest requests.
func (a *app) openTuned(ctx context.Context, b *bundle.Bundle, device *compile.Device, maxSamples int) (r *layarun.Runtime, t tuned, err error) {
	if t.Buckets, t.Costs, err = a.measureBuckets(ctx, b, device); err != nil {
		return nil, t, err
	}
	r, err = layarun.New(b, device, layarun.Options{Buckets: t.Buckets, Capacity: 2 * maxSamples})
	return r, t, err
}

// measureBuckets finds the batch sizes that pay on this device.
func (a *app) measureBuckets(ctx context.Context, b *bundle.Bundle, device *compile.Device) ([]int, []compile.Cost, error) {
	bar := a.progress("measuring batch sizes", false)
	defer bar.Finish()
	buckets, costs, err := layarun.MeasureBuckets(ctx, b, device, func(done, total int) { bar.Set(int64(done), int64(total)) })
	if err != nil {
		return nil, nil, err
	}
	bar.Finish()
	one, last := costs[0], costs[slices.IndexFunc(costs, func(c compile.Cost) bool { return c.Batch == buckets[len(buckets)-1] })]
	a.say("batches of %s: at depth %d a sample takes %.2f ms alone and %.2f ms among %d", strings.Trim(fmt.Sprint(buckets), "[]"),
		b.Backbone.Depth(), one.Time.Seconds()*1e3, last.Time.Seconds()*1e3/float64(last.Batch), last.Batch)
	return buckets, costs, nil
}

func (a *app) serve(ctx context.Context, dir, address string, o serve.Options) (err error) {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	defer listener.Close() // Serve has closed it already, unless it was never called
	var t tuned
	_, r, err := a.openRuntimeWith(dir, func(b *bundle.Bundle, device *compile.Device) (r *layarun.Runtime, err error) {
		r, t, err = a.openTuned(ctx, b, device, o.MaxSamples)
		return r, err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	report := served{Model: r.Name(), Digest: r.Digest(), Backend: r.Backend(), tuned: t}
	o.Version, o.Logger = readVersion().Version, slog.New(slog.NewTextHandler(a.err, nil))
	o.Warm = func(ctx context.Context) error { return a.warm(ctx, r.Runtime, &report.tuned) }
	o.Ready = func(address net.Addr, try string) {
		report.Address, report.Try = address.String(), try
		a.showServed(report)
	}
	server, err := serve.New(o, serve.Model{Name: r.Name(), Runtime: r.Runtime})
	if err != nil {
		return err
	}
	return server.Serve(ctx, listener)
}

func listen(address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return nil, usageError("--addr is %q, want host:port: %w", address, err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, withHint(fmt.Errorf("--addr: %w", err), "--addr 127.0.0.1:0, which takes a free port")
	}
	return listener, nil
}

// warm compiles everything, so that no request waits for it.
func (a *app) warm(ctx context.Context, r *layarun.Runtime, t *tuned) error {
	bar, start := a.progress("compiling", false), time.Now()
	defer bar.Finish()
	if err := r.Compile(ctx, func(done, total int) { bar.Set(int64(done), int64(total)) }); err != nil {
		return err
	}
	bar.Finish()
	t.Executables, t.Seconds, t.Memory = r.Executables(), time.Since(start).Seconds(), residentMemory()
	memory := ""
	if t.Memory > 0 {
		memory = fmt.Sprintf("; %d MiB of memory in use", t.Memory>>20)
	}
	a.say("%s on %s: %d executables compiled in %.1f s%s", r.Name(), r.Backend(), t.Executables, t.Seconds, memory)
	return nil
}

// showServed says how to get an answer. Failing to write this is no reason to stop serving.
func (a *app) showServed(report served) {
	if a.json {
		_ = a.emit("serve/1", report)
		return
	}
	a.say("try: %s", report.Try)
}

// residentMemory is the memory of this process that is in use, in bytes; 0 where the system does not tell as Linux does.
func residentMemory() int64 {
	data, err := os.ReadFile("/proc/self/statm")
	if fields := strings.Fields(string(data)); err == nil && len(fields) > 1 {
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err == nil {
			return pages * int64(os.Getpagesize())
		}
	}
	return 0
}

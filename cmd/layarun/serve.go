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
	Lanes       []layarun.Lane `json:"lanes"`
	Executables int            `json:"executables"`
	Seconds     float64        `json:"compile_seconds"`        // of those that measuring batch sizes had not compiled
	Memory      int64          `json:"memory_bytes,omitempty"` // resident, where the system tells
}

// sizes are the batch sizes of the lanes in words.
func sizes(lanes ...layarun.Lane) string {
	var all []string
	for _, l := range lanes {
		text := strings.Trim(fmt.Sprint(l.Buckets), "[]")
		if n := len(l.Buckets); n > 2 && l.Buckets[n-1] == n {
			text = fmt.Sprintf("1 to %d", n)
		}
		if l.Length > 0 {
			text += fmt.Sprintf(" (texts up to %d tokens)", l.Length)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// tune makes a runtime of the batch sizes that pay on the device, with room for two of the largest requests.
func (a *app) tune(ctx context.Context, b *bundle.Bundle, device *compile.Device, maxSamples int) (*layarun.Runtime, error) {
	bar := a.progress("measuring batch sizes", false)
	defer bar.Finish()
	r, err := layarun.Tune(ctx, b, device, layarun.Options{Capacity: 2 * maxSamples},
		func(done, total int) { bar.Set(int64(done), int64(total)) })
	if err != nil {
		return nil, err
	}
	bar.Finish()
	for _, l := range r.Lanes() {
		perSample := func(bucket int) string {
			c := l.Costs[slices.IndexFunc(l.Costs, func(c compile.Cost) bool { return c.Batch == bucket })]
			return fmt.Sprintf("%.2f ms", c.Time.Seconds()*1e3/float64(bucket))
		}
		least, most := l.Buckets[0], l.Buckets[len(l.Buckets)-1]
		among := ""
		if most > least {
			among = fmt.Sprintf(", among %d %s", most, perSample(most))
		}
		a.say("batches of %s: to depth %d a sample takes %s%s", sizes(l), b.Backbone.Depth(), perSample(least), among)
	}
	return r, nil
}

func (a *app) serve(ctx context.Context, dir, address string, o serve.Options) (err error) {
	listener, err := listen(address)
	if err != nil {
		return err
	}
	defer listener.Close() // Serve has closed it already, unless it was never called
	_, r, err := a.openRuntimeWith(dir, func(b *bundle.Bundle, device *compile.Device) (*layarun.Runtime, error) {
		return a.tune(ctx, b, device, o.MaxSamples)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	report := served{Model: r.Name(), Digest: r.Digest(), Backend: r.Backend()}
	o.Version, o.Logger = readVersion().Version, slog.New(slog.NewTextHandler(a.err, nil))
	o.Warm = func(ctx context.Context) (err error) {
		report.tuned, err = a.warm(ctx, r.Runtime)
		return err
	}
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
func (a *app) warm(ctx context.Context, r *layarun.Runtime) (t tuned, err error) {
	bar, start, measured := a.progress("compiling", false), time.Now(), r.Executables()
	defer bar.Finish()
	if err := r.Compile(ctx, func(done, total int) { bar.Set(int64(done), int64(total)) }); err != nil {
		return t, err
	}
	bar.Finish()
	t = tuned{Lanes: r.Lanes(), Executables: r.Executables(), Seconds: time.Since(start).Seconds(), Memory: residentMemory()}
	memory := ""
	if t.Memory > 0 {
		memory = fmt.Sprintf("; %d MiB of memory in use", t.Memory>>20)
	}
	if t.Executables == 0 {
		a.say("%s on %s: nothing to compile%s", r.Name(), r.Backend(), memory)
		return t, nil
	}
	a.say("%s on %s: %d executables, %d of them compiled in %.1f s, the others in measuring%s",
		r.Name(), r.Backend(), t.Executables, t.Executables-measured, t.Seconds, memory)
	return t, nil
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

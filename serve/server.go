package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

// The phases of a server's life, in their order.
const (
	starting int32 = iota // warming up: live, not ready, infer is refused
	ready
	draining // not ready; requests are answered as long as they come in
)

// reasons say why a server that is not ready is not.
var reasons = map[int32]string{
	starting: "the model is warming up",
	draining: "the server is draining",
}

// Server answers for one or more models.
type Server struct {
	options Options
	models  []Model // by name, then version
	phase   atomic.Int32
	handler http.Handler
}

// New makes a server for the models; two may share a name if their versions differ.
func New(options Options, models ...Model) (*Server, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if len(models) == 0 {
		return nil, errors.New("serve: no model, want at least one")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: options, models: slices.SortedFunc(slices.Values(models), byVersion)}
	for i, m := range s.models {
		if i > 0 && byVersion(s.models[i-1], m) == 0 {
			return nil, fmt.Errorf("serve: model %q version %q is there twice", m.Name, m.Version)
		}
		if err := checkModel(m); err != nil {
			return nil, fmt.Errorf("serve: model %q %w", m.Name, err)
		}
	}
	if options.Warm == nil {
		s.phase.Store(ready)
	}
	s.handler = s.routes()
	return s, nil
}

// checkModel reports what would make the model's answers meaningless.
func checkModel(m Model) error {
	switch dims := m.Dims(); {
	case m.Name == "":
		return errors.New("has no name")
	case dims != nil && (len(dims) == 0 || slices.Min(dims) < 1):
		return fmt.Errorf("has samples of shape %v, want at least one axis and all of them > 0", dims)
	case len(m.Exits()) == 0 || len(m.Classes()) == 0:
		return fmt.Errorf("has %d exits and %d classes, want at least one of each", len(m.Exits()), len(m.Classes()))
	}
	return nil
}

// ServeHTTP answers one request. With it the server works under another one; if there is something to warm up, it is
// ready only once Serve has done so.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on the listener, which it closes, until ctx ends; it can be called once. It warms up first, live but not
// ready. When ctx ends it stops being ready, serves for DrainDelay more, then closes the listener and lets requests in
// flight end. It returns nil if none was cut off; whatever the models need may be closed then.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	inFlight, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.options.ReadHeaderTimeout,
		ReadTimeout:       s.options.ReadHeaderTimeout + s.options.Timeout,
		WriteTimeout:      3 * s.options.Timeout, // the body arrives, the answer is computed, the answer leaves
		IdleTimeout:       2 * time.Minute,
		BaseContext:       func(net.Listener) context.Context { return inFlight },
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelWarn),
	}
	serving, warmed := make(chan error, 1), make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	warming, stopWarming := context.WithCancel(ctx)
	go func() {
		defer close(warmed)
		if s.options.Warm != nil {
			warmed <- s.options.Warm(warming)
		}
	}()
	err := s.run(ctx, serving, warmed, listener.Addr())
	stopWarming()
	for range warmed { // the caller is about to close what it warms
	}
	if err != nil {
		_ = server.Close() // the first error says more
		return err
	}
	return s.drain(server, cut)
}

// run waits for the warm-up, then for the end of ctx; an error of either the warm-up or the listener ends it early.
func (s *Server) run(ctx context.Context, serving, warmed <-chan error, address net.Addr) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-serving:
			return fmt.Errorf("serve: %w", err)
		case err := <-warmed:
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("serve: warm-up: %w", err)
			}
			warmed = nil
			s.phase.Store(ready)
			s.options.Logger.Info("serve: ready", "address", address.String())
			if s.options.Ready != nil {
				s.options.Ready(address, curl(s.models[0], address))
			}
		}
	}
}

// cutGrace is how long requests have to answer 503 after they were cut off.
const cutGrace = time.Second

// drain ends a server: see [Server.Serve]. Load balancers learn of an end with a delay, hence the wait in between.
func (s *Server) drain(server *http.Server, cut context.CancelCauseFunc) error {
	if s.phase.Swap(draining) == ready {
		s.options.Logger.Info("serve: draining", "delay", s.options.DrainDelay)
		<-time.After(s.options.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.ExitTimeout)
	defer cancel()
	err := server.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	cut(errStopping)
	ctx, cancel = context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // connections that do not even take a 503
	}
	return fmt.Errorf("serve: requests were cut off, still running %v after the end of draining", s.options.ExitTimeout)
}

// dot is a PNG of one grey pixel.
const dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="

// curl is a command that gets an answer from the model.
func curl(m Model, address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	in := inputs(m)[0]
	data := `"some text"`
	if readsImages(m.Dims()) {
		in, data = imageInput, `"`+dot+`"`
	} else if in.Datatype != "BYTES" {
		data = "0"
		if n := size(m.Dims()); n > 1 {
			data = fmt.Sprintf("'$(yes 0 | head -n %d | paste -sd, -)'", n)
		}
	}
	shape, _ := json.Marshal(append([]int{1}, in.Shape[1:]...)) // integers always can be
	return fmt.Sprintf(`curl -s http://%s/v2/models/%s/infer -d '{"inputs":[{"name":"%s","datatype":"%s","shape":%s,"data":[%s]}]}'`,
		net.JoinHostPort(host, port), url.PathEscape(m.Name), in.Name, in.Datatype, shape, data)
}

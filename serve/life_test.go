package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/serve"
)

// These tests run under a virtual clock: every wait in them costs nothing and every duration is exact.

// running is a server on an in-memory listener.
type running struct {
	*listener
	http *http.Client
	end  context.CancelFunc
	done chan error
}

func run(t *testing.T, o serve.Options, f *fake) *running {
	t.Helper()
	s, err := serve.New(o, f.model())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{newListener(), nil, cancel, make(chan error, 1)}
	r.http = r.client()
	go func() { r.done <- s.Serve(ctx, r.listener) }()
	synctest.Wait()
	return r
}

// get answers with the status, and 0 where there is no connection.
func (r *running) get(t *testing.T, path string) int {
	t.Helper()
	response, err := r.http.Get("http://server" + path)
	if err != nil {
		return 0
	}
	return closed(t, response)
}

func (r *running) infer(ctx context.Context, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, "POST", "http://server/v2/models/pair/infer", body)
	if err != nil {
		return nil, err
	}
	return r.http.Do(request)
}

// closed reads the body to its end, so that the connection can be used again, and returns the status.
func closed(t *testing.T, response *http.Response) int {
	t.Helper()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

// stop ends the server and returns what Serve did.
func (r *running) stop() error {
	r.end()
	err := <-r.done
	r.http.CloseIdleConnections()
	return err
}

// slow is a model that takes a while, and stops when its context ends unless it is deaf.
func slow(takes time.Duration) *fake {
	m := vector()
	m.predict = func(ctx context.Context, r layarun.Request) ([]layarun.Answer, error) {
		select {
		case <-time.After(takes):
			return []layarun.Answer{answerFor(0, r)}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return m
}

func TestReadyOnlyAfterWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Warm = func(context.Context) error { time.Sleep(time.Minute); return nil } // virtual: compiling takes a while
		r := run(t, o, vector())
		if live, ready := r.get(t, "/healthz"), r.get(t, "/v2/health/ready"); live != 200 || ready != 503 {
			t.Errorf("warming up: live %d, ready %d, want 200, 503", live, ready)
		}
		if got := r.get(t, "/v2/models/pair/ready"); got != 503 {
			t.Errorf("warming up: model ready %d, want 503", got)
		}
		response, err := r.infer(t.Context(), strings.NewReader(good))
		if err != nil || response.Header.Get("Retry-After") != "1" || closed(t, response) != 503 {
			t.Errorf("infer while warming up: %v %v, want 503 with Retry-After", response, err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if ready := r.get(t, "/readyz"); ready != 200 {
			t.Errorf("warm: ready %d, want 200", ready)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailedWarmUpEndsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Warm = func(context.Context) error { return errors.New("no such plugin") }
		r := run(t, o, vector())
		if err := <-r.done; err == nil || err.Error() != "serve: warm-up: no such plugin" {
			t.Errorf("error %v", err)
		}
	})
}

// A server that is told to end while it warms up ends well and as soon as the warm-up has.
func TestEndWhileWarmingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, ended := options(), false
		o.DrainDelay = time.Hour
		o.Warm = func(ctx context.Context) error {
			<-ctx.Done()
			<-time.After(time.Second)
			ended = true
			return ctx.Err()
		}
		r, start := run(t, o, vector()), time.Now()
		if err := r.stop(); err != nil || !ended || time.Since(start) != time.Second {
			t.Errorf("error %v, warm-up ended %v, after %v", err, ended, time.Since(start))
		}
	})
}

func TestBrokenListenerEndsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, options(), vector())
		if err := r.listener.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-r.done; err == nil || !strings.HasPrefix(err.Error(), "serve: ") {
			t.Errorf("error %v, want that of the listener", err)
		}
	})
}

// Clients send without a pause until they see, with a delay, that the server is not ready. None may be turned away.
func TestDrainUnderLoadLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.DrainDelay, o.ExitTimeout = 5*time.Second, 10*time.Second
		r := run(t, o, slow(3*time.Second))
		balancer := make(chan struct{}) // closes when the load balancer takes the server out
		answered := make(chan int, 1000)
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() {
				for {
					select {
					case <-balancer:
						return
					default:
					}
					response, err := r.infer(t.Context(), strings.NewReader(good))
					if err != nil {
						t.Errorf("lost: %v", err)
						return
					}
					answered <- closed(t, response)
				}
			})
		}
		<-time.After(10 * time.Second)
		r.end()
		synctest.Wait()
		if ready, live := r.get(t, "/readyz"), r.get(t, "/v2/health/live"); ready != 503 || live != 200 {
			t.Errorf("draining: ready %d, live %d, want 503, 200", ready, live)
		}
		<-time.After(4 * time.Second) // within DrainDelay; the requests sent last end after it
		close(balancer)
		start := time.Now()
		if err := <-r.done; err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited < time.Second || waited > 4*time.Second {
			t.Errorf("the end came %v after the last request was sent, want the rest of the delay and of that request", waited)
		}
		clients.Wait()
		close(answered)
		n := 0
		for code := range answered {
			if n++; code != 200 {
				t.Errorf("an accepted request got %d", code)
			}
		}
		if n != 8*5 { // each client sends at 0, 3, 6, 9 and 12 s; the balancer acts at 14 s
			t.Errorf("%d answers, want 40", n)
		}
		if got := r.get(t, "/healthz"); got != 0 {
			t.Errorf("after the end: %d, want no connection", got)
		}
		r.http.CloseIdleConnections()
	})
}

func TestDrainingAsksToReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.DrainDelay = 5 * time.Second
		r := run(t, o, vector())
		r.end()
		synctest.Wait()
		response, err := r.infer(t.Context(), strings.NewReader(good))
		if err != nil || !response.Close || closed(t, response) != 200 {
			t.Errorf("%v %v, want 200 with Connection: close", response, err)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestExitTimeoutCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Timeout, o.DrainDelay, o.ExitTimeout = time.Hour, time.Second, 10*time.Second
		r := run(t, o, slow(time.Minute))
		code := make(chan int, 1)
		go func() {
			response, err := r.infer(t.Context(), strings.NewReader(good))
			if err != nil {
				t.Error(err)
				return
			}
			if !response.Close {
				t.Error("the answer lacks Connection: close")
			}
			code <- closed(t, response)
		}()
		synctest.Wait()
		start := time.Now()
		if err := r.stop(); err == nil || !strings.Contains(err.Error(), "cut off, still running 10s after") {
			t.Errorf("error %v, want one that says what was cut off", err)
		}
		if took := time.Since(start); took < 11*time.Second || took > 12*time.Second {
			t.Errorf("the end took %v, want the delay, the timeout and a moment to answer", took)
		}
		if got := <-code; got != 503 {
			t.Errorf("the request got %d, want 503", got)
		}
	})
}

func TestTimeoutAnswers504(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, options(), slow(time.Minute))
		start := time.Now()
		response, err := r.infer(t.Context(), strings.NewReader(parametersOf(`{"timeout":2000000}`)))
		if err != nil || closed(t, response) != 504 || time.Since(start) != 2*time.Second {
			t.Errorf("%v %v after %v, want 504 after 2 s", response, err, time.Since(start))
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestClientThatGoesAwayCancelsItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		m := vector()
		m.predict = func(ctx context.Context, _ layarun.Request) ([]layarun.Answer, error) {
			<-ctx.Done()
			ended <- ctx.Err()
			return nil, ctx.Err()
		}
		var log strings.Builder
		o := options()
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		command := ""
		o.Ready = func(_ net.Addr, try string) { command = try }
		r := run(t, o, m)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.infer(ctx, strings.NewReader(good)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the model's context ended with %v, want canceled", err)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"status=499", "path=/v2/models/pair/infer"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("log %s, want %s", &log, want)
			}
		}
		if want := "curl -s http://localhost:8000/v2/models/pair/infer -d"; !strings.HasPrefix(command, want) {
			t.Errorf("command %s, want %s …", command, want)
		}
	})
}

// dripping is a body that comes a byte a second.
type dripping struct{ left string }

func (d *dripping) Read(p []byte) (int, error) {
	if d.left == "" {
		return 0, io.EOF
	}
	<-time.After(time.Second)
	n := copy(p[:1], d.left)
	d.left = d.left[n:]
	return n, nil
}

// The time a body takes does not count as the model's, nor may its deadline cut off the model.
func TestSlowBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Timeout = time.Duration(len(good)+10) * time.Second
		r := run(t, o, slow(60*time.Second))
		if response, err := r.infer(t.Context(), &dripping{good}); err != nil || closed(t, response) != 200 {
			t.Errorf("a body within the time: %v %v, want 200", response, err)
		}
		response, err := r.infer(t.Context(), &dripping{strings.Repeat(" ", 40) + good})
		if err != nil || closed(t, response) != 408 {
			t.Errorf("a body beyond the time: %v %v, want 408", response, err)
		}
		<-time.After(time.Hour) // the rest of the body drips into the void
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A client that dies in the middle of its body costs nobody else anything.
func TestClientThatDiesInItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, options(), vector())
		for n := range len(good) {
			conn, err := r.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "POST /v2/models/pair/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(good), good[:n]); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
		}
		response, err := r.infer(t.Context(), strings.NewReader(good))
		if err != nil || closed(t, response) != 200 {
			t.Errorf("%v %v, want 200 to the next client", response, err)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A client that does not even take its 503 cannot keep the server from ending.
func TestDeafClientCannotHoldTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options()
		o.Timeout = time.Hour
		r := run(t, o, slow(time.Minute))
		conn, err := r.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST /v2/models/pair/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(good), good); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		if err := r.stop(); err == nil || time.Since(start) > o.ExitTimeout+2*time.Second {
			t.Errorf("error %v after %v, want one a moment after ExitTimeout", err, time.Since(start))
		}
	})
}

package serve

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/layarun/layarun"
)

// errStopping is the cause with which requests are cancelled that outlast the server's ExitTimeout.
var errStopping = errors.New("the server is shutting down")

// errDeadline is what a client is told, whoever noticed that its time was over.
var errDeadline = errors.New("the deadline passed")

// statusClientGone is what the log says when nobody is left to read the answer; nginx made the number known.
const statusClientGone = 499

// infer answers POST …/infer.
func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	m, ok := s.model(w, r)
	if !ok {
		return
	}
	if s.phase.Load() == starting {
		w.Header().Set("Retry-After", "1")
		s.refuse(w, http.StatusServiceUnavailable, errors.New(reasons[starting]))
		return
	}
	request, err := s.read(w, r, m)
	if err != nil {
		s.refuse(w, readStatus(err), err)
		return
	}
	limit := s.options.Timeout
	if request.timeout > 0 {
		limit = min(limit, request.timeout)
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	answers, err := m.Predict(ctx, request.Request)
	if err == nil && len(answers) != request.n {
		err = fmt.Errorf("model %s gave %d answers to %d samples", m.Name, len(answers), request.n)
	}
	var body []byte
	if err == nil {
		body, err = encode(m, request, answers)
	}
	if err != nil {
		s.fail(ctx, w, r, err)
		return
	}
	write(w, http.StatusOK, body)
}

// read decodes the body, unpacking it first if it is compressed. The limit holds before and after.
func (s *Server) read(w http.ResponseWriter, r *http.Request, m Model) (*inferRequest, error) {
	if r.Header.Get("Inference-Header-Content-Length") != "" {
		return nil, errors.New("binary tensor data is not supported, send the tensors as JSON")
	}
	body := http.MaxBytesReader(w, r.Body, s.options.MaxBody)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, &readError{err}
		}
		body = http.MaxBytesReader(w, unpacked, s.options.MaxBody)
	default:
		return nil, &encodingError{encoding}
	}
	return readRequest(body, m, s.options.MaxSamples)
}

// encodingError is a Content-Encoding that the server does not know.
type encodingError struct{ encoding string }

func (e *encodingError) Error() string {
	return fmt.Sprintf("Content-Encoding is %s, want gzip or none", short(e.encoding))
}

// readStatus is the status for an error of read.
func readStatus(err error) int {
	var tooLarge *http.MaxBytesError
	var encoding *encodingError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.As(err, &encoding):
		return http.StatusUnsupportedMediaType
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusBadRequest
}

// fail answers a request that was accepted and came to nothing.
func (s *Server) fail(ctx context.Context, w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case context.Cause(ctx) == errStopping:
		w.Header().Set("Connection", "close")
		s.refuse(w, http.StatusServiceUnavailable, errStopping)
	case r.Context().Err() != nil:
		s.refuse(w, statusClientGone, errors.New("the client went away"))
	case errors.Is(err, layarun.ErrRequest):
		s.refuse(w, http.StatusBadRequest, err)
	case errors.Is(err, layarun.ErrFull):
		w.Header().Set("Retry-After", "1")
		s.refuse(w, http.StatusServiceUnavailable, err)
	case errors.Is(err, layarun.ErrDeadline), errors.Is(err, context.DeadlineExceeded):
		s.refuse(w, http.StatusGatewayTimeout, errDeadline)
	default:
		s.options.Logger.Error("serve: request failed", "path", r.URL.Path, "error", err)
		s.refuse(w, http.StatusInternalServerError, err)
	}
}

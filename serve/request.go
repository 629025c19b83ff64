package serve

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/exit"
)

// inferRequest is the body of an infer call.
type inferRequest struct {
	layarun.Request
	n       int // samples
	id      *string
	timeout time.Duration // 0 for none
	outputs []string      // names in the order asked for; empty for all
}

// fields are the keys an object has had.
type fields map[string]bool

// add notes a key and refuses a known one that comes twice; what others mean is not ours to say.
func (f fields) add(key string, known ...string) error {
	if f[key] {
		return errors.New("given twice")
	}
	if slices.Contains(known, key) {
		f[key] = true
	}
	return nil
}

// need reports the first key that is missing.
func (f fields) need(keys ...string) error {
	for _, key := range keys {
		if !f[key] {
			return at(key, errors.New("missing"))
		}
	}
	return nil
}

// readRequest reads and checks the body of an infer call for the model. Unknown keys are ignored, as the protocol demands.
func readRequest(body io.Reader, m Model, maxSamples int) (*inferRequest, error) {
	s := newScanner(body)
	r := &inferRequest{Request: layarun.Request{NoWait: true}} // clients are told to come again, not kept waiting
	var input *tensor
	seen := fields{}
	err := s.object(func(key string) (err error) {
		if err := seen.add(key, "id", "parameters", "inputs", "outputs"); err != nil {
			return err
		}
		switch key {
		case "id":
			var id string
			id, err = s.str()
			r.id = &id
		case "parameters":
			err = r.readParameters(s)
		case "inputs":
			err = s.array(func(i int) (err error) {
				if i > 0 {
					return errors.New("a second input, want one only")
				}
				input, err = readTensor(s, newData(m.Dims(), maxSamples))
				return err
			})
		case "outputs":
			err = s.array(func(int) error { return r.readOutput(s) })
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	if input == nil {
		return nil, at("inputs", errors.New("missing, want one input"))
	}
	if err := input.samples(m.Dims(), maxSamples, &r.Request); err != nil {
		return nil, at("inputs[0]", err)
	}
	r.n = int(input.shape[0])
	return r, r.check(m)
}

// readOutput reads one element of "outputs". Asking for an explanation by name is asking for it.
func (r *inferRequest) readOutput(s *scanner) error {
	seen := fields{}
	err := s.object(func(key string) error {
		if err := seen.add(key, "name"); err != nil {
			return err
		}
		if key != "name" {
			return s.skip()
		}
		name, err := s.str()
		if err != nil {
			return err
		}
		o := findOutput(name)
		if o == nil {
			return fmt.Errorf("%s, want one of %s", short(name), strings.Join(outputNames(), ", "))
		}
		if slices.Contains(r.outputs, name) {
			return fmt.Errorf("%q is asked for twice", name)
		}
		r.Explain = r.Explain || o.explains
		r.outputs = append(r.outputs, name)
		return nil
	})
	if err != nil {
		return err
	}
	return seen.need("name")
}

// readParameters reads those parameters that are this server's; the protocol reserves others, which are ignored.
func (r *inferRequest) readParameters(s *scanner) error {
	seen := fields{}
	return s.object(func(key string) (err error) {
		if err := seen.add(key, "exit_policy", "exit_threshold", "min_exit", "max_exit", "explain", "timeout"); err != nil {
			return err
		}
		switch key {
		case "exit_policy":
			r.Policy, err = s.str()
		case "exit_threshold":
			r.Threshold, err = readThreshold(s)
		case "min_exit":
			r.MinExit, err = readDepth(s)
		case "max_exit":
			r.MaxExit, err = readDepth(s)
		case "explain":
			var explain bool
			explain, err = s.boolean()
			r.Explain = r.Explain || explain
		case "timeout":
			r.timeout, err = readTimeout(s)
		default:
			err = s.skip()
		}
		return err
	})
}

// readThreshold reads a number from 0 to 1, or "never", which is +Inf.
func readThreshold(s *scanner) (*float64, error) {
	c, err := s.next()
	if err != nil {
		return nil, s.ends(err, "a number")
	}
	if c == '"' {
		word, err := s.str()
		if err == nil && word != "never" {
			err = fmt.Errorf("%s, want a number from 0 to 1, or \"never\"", short(word))
		}
		never := math.Inf(1)
		return &never, err
	}
	text, err := s.number()
	if err != nil {
		return nil, err
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return nil, fmt.Errorf("%s, want a number from 0 to 1, or \"never\"", text)
	}
	return &v, nil
}

func readDepth(s *scanner) (*int, error) {
	n, err := s.integer()
	if err == nil && (n < 0 || n > math.MaxInt32) {
		err = fmt.Errorf("%d, want a depth", n)
	}
	depth := int(n)
	return &depth, err
}

// readTimeout reads microseconds; 0 means none, as in Triton.
func readTimeout(s *scanner) (time.Duration, error) {
	n, err := s.integer()
	if err == nil && n < 0 {
		err = fmt.Errorf("%d, want microseconds, 0 or more", n)
	}
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond, err
}

// check compares the parameters with what the model has.
func (r *inferRequest) check(m Model) error {
	fault := func(name, format string, args ...any) error {
		return at("parameters", at(name, fmt.Errorf(format, args...)))
	}
	names := policyNames(m)
	if r.Policy != "" && !slices.Contains(names, r.Policy) {
		return fault("exit_policy", "%s, want one of %s", short(r.Policy), strings.Join(names, ", "))
	}
	depths := m.Exits()
	low, high := depths[0], depths[len(depths)-1]
	first, last := low, high
	if r.MinExit != nil {
		if first = *r.MinExit; first > high {
			return fault("min_exit", "%d, want at most the last exit of %v", first, depths)
		}
	}
	if r.MaxExit != nil {
		if last = *r.MaxExit; last < low || last > high {
			return fault("max_exit", "%d, want a depth within the exits %v", last, depths)
		}
	}
	if !slices.ContainsFunc(depths, func(d int) bool { return first <= d && d <= last }) {
		return fault("max_exit", "%d with min_exit %d leaves none of the exits %v", last, first, depths)
	}
	if r.Explain && len(m.Reads()) == 0 {
		return fault("explain", "model %s has no attention over depth to explain with", m.Name)
	}
	return nil
}

// policyNames are the values of exit_policy.
func policyNames(m Model) []string {
	names := []string{exit.Full().Name}
	for _, p := range m.Policies() {
		names = append(names, p.Name)
	}
	return names
}

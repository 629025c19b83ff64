package serve

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const (
	maxJSONDepth = 100 // arrays and objects inside each other
	scanBuffer   = 16 << 10
)

// scanner reads one JSON text (RFC 8259) from a stream, value by value, as its caller expects them. It exists because
// decoding the numbers of a tensor through reflection costs several times more, and because it can stop at a limit.
//
// All memory it takes is the buffer and the string being read. Errors carry the path of the value they are about.
type scanner struct {
	in       io.Reader
	buf      []byte
	pos, end int   // the unread part of buf
	before   int64 // bytes of the stream before buf
	depth    int
	token    []byte // scratch of str and number
}

func newScanner(in io.Reader) *scanner { return &scanner{in: in, buf: make([]byte, scanBuffer)} }

// readError is a failure of the stream, not of the text in it.
type readError struct{ err error }

func (e *readError) Error() string {
	var tooLarge *http.MaxBytesError
	if errors.As(e.err, &tooLarge) {
		return fmt.Sprintf("the body has more than %d bytes, the limit before and after decompression", tooLarge.Limit)
	}
	return "the body cannot be read: " + e.err.Error()
}

func (e *readError) Unwrap() error { return e.err }

// fieldError is an error about the value at a path such as inputs[0].shape[1].
type fieldError struct {
	path string
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// at puts a segment, a key or "[index]", before the path of err.
func at(segment string, err error) error {
	switch e := err.(type) {
	case *readError:
		return err
	case *fieldError:
		dot := "."
		if e.path[0] == '[' {
			dot = ""
		}
		return &fieldError{segment + dot + e.path, e.err}
	}
	return &fieldError{segment, err}
}

// short is text for an error message: whoever sent it chose its length.
func short[T string | []byte](text T) string {
	const most = 40
	if len(text) > most {
		return strconv.Quote(string(text[:most])) + "…"
	}
	return strconv.Quote(string(text))
}

// fill replaces the buffer, which has been read, by the next bytes of the stream. It returns io.EOF at its end.
func (s *scanner) fill() error {
	s.before += int64(s.end)
	s.pos, s.end = 0, 0
	for range 100 {
		n, err := s.in.Read(s.buf)
		if n > 0 {
			s.end = n
			return nil
		}
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return &readError{err}
		}
	}
	return &readError{io.ErrNoProgress}
}

// next is the first byte of the next token, which stays unread. At the end of the text it returns io.EOF.
func (s *scanner) next() (byte, error) {
	for {
		for ; s.pos < s.end; s.pos++ {
			if c := s.buf[s.pos]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// value is next where a value of some kind must begin: it returns the wrong kind or the end of the text as an error.
func (s *scanner) value(want string, is func(byte) bool) error {
	c, err := s.next()
	if err != nil {
		return s.ends(err, want)
	}
	if !is(c) {
		return s.found(c, want)
	}
	return nil
}

func (s *scanner) ends(err error, want string) error {
	if err == io.EOF {
		return fmt.Errorf("the body ends, want %s", want)
	}
	return err
}

func (s *scanner) found(c byte, want string) error {
	what := fmt.Sprintf("%q at byte %d", c, s.before+int64(s.pos))
	switch {
	case c == '"':
		what = "a string"
	case isDigit(c):
		what = "a number"
	case c == '{':
		what = "an object"
	case c == '[':
		what = "an array"
	case c == 't' || c == 'f':
		what = "a bool"
	case c == 'n':
		what = "null"
	}
	return fmt.Errorf("found %s, want %s", what, want)
}

func is(want byte) func(byte) bool { return func(c byte) bool { return c == want } }

// isDigit reports whether c begins a number.
func isDigit(c byte) bool { return c == '-' || c >= '0' && c <= '9' }

// items reads what stands between open and close, separated by commas.
func (s *scanner) items(open, close byte, want string, item func(i int) error) error {
	if err := s.value(want, is(open)); err != nil {
		return err
	}
	s.pos++
	if s.depth++; s.depth > maxJSONDepth {
		return fmt.Errorf("the body nests more than %d arrays and objects", maxJSONDepth)
	}
	defer func() { s.depth-- }()
	for i := 0; ; i++ {
		c, err := s.next()
		switch {
		case err != nil:
			return s.ends(err, fmt.Sprintf("',' or %q", close))
		case c == close:
			s.pos++
			return nil
		case i > 0 && c != ',':
			return s.found(c, fmt.Sprintf("',' or %q", close))
		case i > 0:
			s.pos++
		}
		if err := item(i); err != nil {
			return err
		}
	}
}

// array reads an array; element i must read exactly one value.
func (s *scanner) array(element func(i int) error) error {
	return s.items('[', ']', "an array", func(i int) error {
		if err := element(i); err != nil {
			return at("["+strconv.Itoa(i)+"]", err)
		}
		return nil
	})
}

// object reads an object; member must read exactly one value. Keys come as they are written and may repeat.
func (s *scanner) object(member func(key string) error) error {
	return s.items('{', '}', "an object", func(int) error {
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.value("':' after a key", is(':')); err != nil {
			return err
		}
		s.pos++
		if err := member(key); err != nil {
			return at(pathKey(key), err)
		}
		return nil
	})
}

// pathKey is the key as a segment of a path: plain if it is a short word, quoted and cut otherwise.
func pathKey(key string) string {
	for _, c := range key {
		if c != '_' && (c < 'a' || c > 'z') {
			return short(key)
		}
	}
	if key == "" || len(key) > 40 {
		return short(key)
	}
	return key
}

// skip reads a value that nobody asked for.
func (s *scanner) skip() error {
	c, err := s.next()
	switch {
	case err != nil:
		return s.ends(err, "a value")
	case c == '{':
		return s.object(func(string) error { return s.skip() })
	case c == '[':
		return s.array(func(int) error { return s.skip() })
	case c == '"':
		_, err = s.str()
	case isDigit(c):
		_, err = s.number()
	case c >= 'a' && c <= 'z':
		_, err = s.word()
	default:
		err = s.found(c, "a value")
	}
	return err
}

// finish checks that nothing follows the value.
func (s *scanner) finish() error {
	c, err := s.next()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return err
	}
	return s.found(c, "nothing after the request")
}

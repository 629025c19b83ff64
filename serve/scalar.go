package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

const maxNumber = 512 // bytes of one number; the longest exact decimal of a float32 has 112 significant digits

// until adds to the token the bytes up to the first that stops it, which stays unread; it returns io.EOF if none does.
func (s *scanner) until(stop func(byte) bool) error {
	for {
		for i := s.pos; i < s.end; i++ {
			if stop(s.buf[i]) {
				s.token = append(s.token, s.buf[s.pos:i]...)
				s.pos = i
				return nil
			}
		}
		s.token = append(s.token, s.buf[s.pos:s.end]...)
		s.pos = s.end
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// str reads a string. Escapes of lone surrogates become U+FFFD, as in encoding/json.
func (s *scanner) str() (string, error) {
	if err := s.value("a string", is('"')); err != nil {
		return "", err
	}
	s.pos++
	s.token = append(s.token[:0], '"')
	escaped := false
	for {
		if err := s.until(func(c byte) bool { return c == '"' || c == '\\' || c < ' ' }); err != nil {
			return "", s.ends(err, "the end of a string")
		}
		c := s.buf[s.pos]
		if c < ' ' {
			return "", fmt.Errorf("byte %d is the control character %q inside a string, want it escaped", s.before+int64(s.pos), c)
		}
		s.token = append(s.token, c)
		s.pos++
		if c == '"' {
			break
		}
		escaped = true
		if s.pos == s.end {
			if err := s.fill(); err != nil {
				return "", s.ends(err, "the end of a string")
			}
		}
		s.token = append(s.token, s.buf[s.pos]) // whatever follows the backslash, a quote included, does not end the string
		s.pos++
	}
	if !utf8.Valid(s.token) {
		return "", fmt.Errorf("the string %s is not valid UTF-8", short(s.token[1:len(s.token)-1]))
	}
	if !escaped {
		return string(s.token[1 : len(s.token)-1]), nil
	}
	var text string
	if err := json.Unmarshal(s.token, &text); err != nil {
		return "", fmt.Errorf("the string %s has a wrong escape", short(s.token[1:len(s.token)-1]))
	}
	return text, nil
}

// number reads a number and returns its text, which is valid until the next read.
func (s *scanner) number() ([]byte, error) {
	if err := s.value("a number", isDigit); err != nil {
		return nil, err
	}
	text, err := s.digits()
	if err != nil {
		return nil, err
	}
	if len(text) > maxNumber {
		return nil, fmt.Errorf("the number %s has %d bytes, want at most %d", short(text), len(text), maxNumber)
	}
	if !validNumber(text) {
		return nil, fmt.Errorf("%s is not a JSON number", short(text))
	}
	return text, nil
}

// inNumber holds the bytes of which numbers are made.
var inNumber = [256]bool{'-': true, '+': true, '.': true, 'e': true, 'E': true,
	'0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true}

// digits returns the run of bytes of a number, in the buffer itself if it does not reach its end.
func (s *scanner) digits() ([]byte, error) {
	for i := s.pos; i < s.end; i++ {
		if !inNumber[s.buf[i]] {
			text := s.buf[s.pos:i]
			s.pos = i
			return text, nil
		}
	}
	s.token = s.token[:0]
	if err := s.until(func(c byte) bool { return !inNumber[c] }); err != nil && err != io.EOF {
		return nil, err
	}
	return s.token, nil
}

// validNumber checks the grammar -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?, for strconv takes more than JSON.
func validNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 1 && b[0] == '0' && b[1] >= '0' && b[1] <= '9' || !digits() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		if b = b[1:]; !digits() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// integer reads a number that is written as an integer and fits 64 bits.
func (s *scanner) integer() (int64, error) {
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is not an integer of 64 bits", text)
	}
	return n, nil
}

// boolean reads true or false.
func (s *scanner) boolean() (bool, error) {
	if err := s.value("true or false", func(c byte) bool { return c == 't' || c == 'f' }); err != nil {
		return false, err
	}
	word, err := s.word()
	return word == "true", err
}

// word reads true, false or null.
func (s *scanner) word() (string, error) {
	s.token = s.token[:0]
	err := s.until(func(c byte) bool { return c < 'a' || c > 'z' })
	if err != nil && err != io.EOF {
		return "", err
	}
	switch word := string(s.token); word {
	case "true", "false", "null":
		return word, nil
	}
	return "", fmt.Errorf("found %s, want a JSON value", short(s.token))
}

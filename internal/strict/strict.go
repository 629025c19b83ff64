// Package strict reads JSON without the leniency of encoding/json.
package strict

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Decode reads one JSON value into v and refuses what encoding/json lets pass: unknown fields, repeated keys at any
// level, and anything after the value.
func Decode(data []byte, v any) error {
	if err := checkKeys(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return plain(NoEOF(err))
	}
	return nil
}

// plain says what is wrong in the words of the JSON instead of those of Go's types.
func plain(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: found %s, want %s", cmp.Or(wrong.Field, "the value"), wrong.Value, wanted(wrong.Type.Kind()))
	}
	if text, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s", text)
	}
	return err
}

// wanted describes the JSON values that fit a kind of Go's types.
func wanted(kind reflect.Kind) string {
	switch kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a whole number in range"
}

// checkKeys reports a key that an object repeats, or text after the first value. It keeps a stack of the open objects'
// keys (nil for an array), because a Decoder tells tokens but not which strings are keys.
func checkKeys(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []*object
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 {
			return nil
		}
		if err != nil {
			return NoEOF(err)
		}
		if len(open) > 0 {
			if err := open[len(open)-1].see(token); err != nil {
				return err
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, &object{keys: map[string]bool{}, atKey: true})
		case json.Delim('['):
			open = append(open, &object{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) == 0 && dec.More() {
			return fmt.Errorf("text after the end of the JSON value, at byte %d", dec.InputOffset())
		}
	}
}

// object is an open object, or an open array where keys is nil.
type object struct {
	keys  map[string]bool
	atKey bool
}

// see takes the next token directly inside the object: keys and values alternate.
func (o *object) see(token json.Token) error {
	if o.keys == nil || token == json.Delim('}') {
		return nil
	}
	if o.atKey {
		key := token.(string) // the Decoder refuses any other key
		if o.keys[key] {
			return fmt.Errorf("key %q is repeated", key)
		}
		o.keys[key] = true
	}
	o.atKey = !o.atKey
	return nil
}

// NoEOF makes an end of file in the middle of something an unexpected one.
func NoEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

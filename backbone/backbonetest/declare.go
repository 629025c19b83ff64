package backbonetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/layer"
)

func checkJSON(s *suite) error {
	text, err := backbone.Encode(s.b)
	if err != nil {
		return fmt.Errorf("backbone.Encode: %w", err)
	}
	back, err := backbone.Decode(text)
	if err != nil {
		return fmt.Errorf("backbone.Decode of %s: %w", text, err)
	}
	again, err := backbone.Encode(back)
	if err != nil {
		return fmt.Errorf("backbone.Encode after Decode: %w", err)
	}
	if !bytes.Equal(text, again) {
		return fmt.Errorf("%s comes back as %s", text, again)
	}
	want, err := s.run()
	if err != nil {
		return err
	}
	got, err := forward(back, s.weights, s.in)
	if err != nil {
		return fmt.Errorf("the decoded backbone does not run: %w", err)
	}
	if err := sameTaps("the decoded backbone", got, want); err != nil {
		return err
	}
	unknown := append(bytes.TrimSuffix(text, []byte("}")), []byte(`,"no_such_field":1}`)...)
	if _, err := backbone.Decode(unknown); err == nil {
		return fmt.Errorf("backbone.Decode takes %s", unknown)
	}
	return nil
}

func sameTaps(what string, got, want *result) error {
	return same(what+": taps", got.taps, want.taps, tolerance)
}

func checkParams(s *suite) error {
	declared := map[string]layer.Param{}
	for _, op := range allOps(s.b) {
		own, full := map[string]bool{}, map[string]bool{}
		for _, p := range op.Params {
			name := op.FullName(p)
			if p.Name == "" || own[p.Name] || full[name] {
				return fmt.Errorf("%s declares parameter %q twice, or without a name", op.Name, p.Name)
			}
			own[p.Name], full[name] = true, true
			if slices.ContainsFunc(p.Dims, func(d int) bool { return d < 1 }) {
				return fmt.Errorf("%s has dimensions %v", name, p.Dims)
			}
			before, shared := declared[name]
			if shared && (!slices.Equal(before.Dims, p.Dims) || before.Frozen != p.Frozen) {
				return fmt.Errorf("%s is declared as %v and as %v", name, before.Dims, p.Dims)
			}
			declared[name] = p
		}
	}
	if n := len(layer.ParamsOf(allOps(s.b)...)); n != len(declared) {
		return fmt.Errorf("%d weights have %d names", n, len(declared))
	}
	return checkPlaces(s.b)
}

// checkPlaces sees that stem and taps keep to their own names; blocks may share.
func checkPlaces(b backbone.Backbone) error {
	within := func(op layer.Op, prefix string) error {
		for _, p := range op.Params {
			if name := op.FullName(p); !strings.HasPrefix(name, prefix+".") {
				return fmt.Errorf("weight %q does not start with %q", name, prefix+".")
			}
		}
		return nil
	}
	if err := within(b.Stem(), "stem"); err != nil {
		return err
	}
	for k := range b.Depth() + 1 {
		if err := within(b.Tap(k), backbone.TapName(k)); err != nil {
			return err
		}
	}
	return nil
}

func checkShapes(s *suite) error {
	r, err := s.run()
	if err != nil {
		return err
	}
	for k, state := range r.states {
		specs := s.b.State(k)
		if len(state) != len(specs) {
			return fmt.Errorf("state %d has %d parts, State declares %d", k, len(state), len(specs))
		}
		for i, part := range state {
			if want := specs[i].Shape(batch, s.opts.Length); !part.Shape().Equal(want) {
				return fmt.Errorf("state %d, part %d, has shape %s, State declares %s", k, i, part.Shape(), want)
			}
		}
		if want := layer.Float32(s.b.TapDim(k)).Shape(batch, 0); !r.taps[k].Shape().Equal(want) {
			return fmt.Errorf("tap %d has shape %s, TapDim declares %s", k, r.taps[k].Shape(), want)
		}
	}
	return nil
}

func checkParts(s *suite) error {
	r, err := s.run()
	if err != nil {
		return err
	}
	for k := 1; k < len(r.states); k++ {
		if err := same(fmt.Sprintf("state %d after its first part", k), r.states[k][1:], r.states[0][1:], 0); err != nil {
			return err
		}
	}
	return nil
}

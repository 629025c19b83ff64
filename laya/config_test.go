package laya_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/laya"
)

func TestValidConfigs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if err := drawConfig(t).Validate(); err != nil {
			t.Fatal(err)
		}
	})
	if err := laya.Default([]int{0, 1}, 2).Validate(); err != nil {
		t.Error(err)
	}
}

// Each case breaks one field of a valid config; the message must name the field and its value.
func TestValidateRefuses(t *testing.T) {
	prefix := laya.Default([]int{0, 2}, 3)
	joint := laya.Config{Kind: laya.Joint, Reads: []int{1, 2}, Classes: 3, Dim: 4, Tau: 1, Hidden: 4, Psi: "mlp"}
	last := laya.Config{Kind: laya.LastLayer, Reads: []int{2}, Classes: 3}
	for _, test := range []struct {
		c      laya.Config
		change func(*laya.Config)
		want   string
	}{
		{prefix, func(c *laya.Config) { c.Kind = "mean" }, `kind is "mean"`},
		{prefix, func(c *laya.Config) { c.Reads = nil }, "reads is empty"},
		{prefix, func(c *laya.Config) { c.Reads = []int{2, 2} }, "reads is [2 2]"},
		{prefix, func(c *laya.Config) { c.Reads = []int{-1, 2} }, "reads is [-1 2]"},
		{joint, func(c *laya.Config) { c.Reads = []int{0, 2} }, "kind joint does not read depth 0"},
		{last, func(c *laya.Config) { c.Reads = []int{1, 2} }, "want one depth for kind lastlayer"},
		{prefix, func(c *laya.Config) { c.Classes = 1 }, "classes is 1"},
		{prefix, func(c *laya.Config) { c.Dim = 0 }, "dim is 0"},
		{last, func(c *laya.Config) { c.Dim = 8 }, "dim is 8, but kind lastlayer does not use it"},
		{prefix, func(c *laya.Config) { c.Hidden = -1 }, "hidden is -1"},
		{prefix, func(c *laya.Config) { c.Tau = 0 }, "tau is 0"},
		{prefix, func(c *laya.Config) { c.Tau = math.Inf(1) }, "tau is +Inf"},
		{prefix, func(c *laya.Config) { c.Tau = math.NaN() }, "tau is NaN"},
		{last, func(c *laya.Config) { c.Tau = 1 }, "tau is 1, but kind lastlayer does not use it"},
		{prefix, func(c *laya.Config) { c.Psi = "" }, `psi is ""`},
		{last, func(c *laya.Config) { c.Psi = "mlp" }, `psi is "mlp", but kind lastlayer does not use it`},
		{prefix, func(c *laya.Config) { c.TapNorm = "batch" }, `tap_norm is "batch"`},
		{joint, func(c *laya.Config) { c.GELU = true }, "are for kind prefix, not joint"},
		{prefix, func(c *laya.Config) { c.Dropout = 1 }, "dropout is 1"},
		{prefix, func(c *laya.Config) { c.Dropout = math.NaN() }, "dropout is NaN"},
	} {
		c := test.c
		test.change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "laya: ") {
			t.Errorf("error is %v, want %q", err, test.want)
		}
		if _, err := laya.New(c, slices.Repeat([]int{4}, len(c.Reads))); err == nil {
			t.Errorf("New accepts a config whose %s", test.want)
		}
	}
	c := prefix
	c.Classes, c.Dim = 0, 0
	if err := c.Validate(); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("error is %q, want two faults", err)
	}
}

func TestNewRefusesTapWidths(t *testing.T) {
	c := laya.Default([]int{0, 2}, 3)
	for _, test := range []struct {
		dims []int
		want string
	}{
		{[]int{4}, "laya: 1 tap widths for reads [0 2], want one for each"},
		{[]int{4, 0}, "laya: the tap at depth 2 is 0 wide, want at least 1"},
	} {
		if _, err := laya.New(c, test.dims); err == nil || err.Error() != test.want {
			t.Errorf("error is %v, want %s", err, test.want)
		}
	}
}

func TestConfigIsACopy(t *testing.T) {
	h, err := laya.New(laya.Default([]int{0, 2}, 3), []int{4, 4})
	if err != nil {
		t.Fatal(err)
	}
	h.Config().Reads[0] = 1
	if got := h.Config().Reads; !slices.Equal(got, []int{0, 2}) {
		t.Errorf("a caller changed the head's reads to %v", got)
	}
}

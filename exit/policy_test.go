package exit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/layarun/layarun/exit"
)

func TestPolicyLeaves(t *testing.T) {
	p := exit.Policy{Gate: exit.Margin, Exits: []int{0, 2, 3}, Thresholds: []exit.Threshold{exit.Never, 0.75, 0}}
	sure := exit.Scores{1, 1, 1}
	for _, c := range []struct {
		name   string
		depth  int
		scores exit.Scores
		want   bool
	}{
		{"never is never, not even for 1", 0, sure, false},
		{"no threshold at this depth", 1, sure, false},
		{"at the threshold", 2, exit.Scores{1, 0.75, 1}, true},
		{"below it; other gates do not count", 2, exit.Scores{1, 0.74, 1}, false},
		{"zero lets all go", 3, exit.Scores{0.1, 0, 0}, true},
		{"except what is not finite", 3, exit.Scores{-1, -1, -1}, false},
		{"beyond the network", 9, sure, false},
		{"negative depth", -1, sure, false},
	} {
		if got := p.Leaves(c.depth, c.scores); got != c.want {
			t.Errorf("%s: leaves is %v, want %v", c.name, got, c.want)
		}
	}
	if (exit.Policy{Gate: "moon", Exits: []int{0}, Thresholds: []exit.Threshold{0}}).Leaves(0, sure) {
		t.Error("a gate that does not exist let a sample leave")
	}
	if exit.Full().Leaves(0, sure) {
		t.Error("the full policy let a sample leave")
	}
}

func TestPolicyLoweredThresholdKeepsLeavers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		unit := rapid.Float64Range(0, 1)
		high := unit.Draw(r, "high")
		low := unit.Draw(r, "low") * high
		s := exit.Scores{rapid.Float32Range(-1, 1).Draw(r, "score")}
		at := func(t float64) bool {
			return exit.Policy{Gate: exit.MaxProb, Exits: []int{1}, Thresholds: []exit.Threshold{exit.Threshold(t)}}.Leaves(1, s)
		}
		if at(high) && !at(low) {
			r.Fatalf("score %v leaves at %v and not at %v", s[0], high, low)
		}
	})
}

func TestPolicyValidate(t *testing.T) {
	good := exit.Policy{Gate: exit.MaxProb, Exits: []int{0, 2}, Thresholds: []exit.Threshold{1, exit.Never}}
	if err := good.Validate([]int{0, 1, 2, 4}); err != nil {
		t.Errorf("good policy: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*exit.Policy)
		want   string
	}{
		{"gate", func(p *exit.Policy) { p.Gate = "luck" }, `gate is "luck"`},
		{"length", func(p *exit.Policy) { p.Thresholds = p.Thresholds[:1] }, "2 exits and 1 thresholds"},
		{"last depth", func(p *exit.Policy) { p.Exits[1] = 4 }, "exits is [0 4]"},
		{"order", func(p *exit.Policy) { p.Exits = []int{2, 0} }, "exits is [2 0]"},
		{"twice", func(p *exit.Policy) { p.Exits = []int{2, 2} }, "exits is [2 2]"},
		{"above one", func(p *exit.Policy) { p.Thresholds[0] = 1.5 }, "threshold 0: 1.5"},
		{"-Inf", func(p *exit.Policy) { p.Thresholds[1] = -exit.Never }, "threshold 1: -Inf"},
	} {
		p := good
		p.Exits, p.Thresholds = slices.Clone(p.Exits), slices.Clone(p.Thresholds)
		c.change(&p)
		if err := p.Validate([]int{0, 1, 2, 4}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", c.name, err, c.want)
		}
	}
	if err := good.Validate(nil); err == nil {
		t.Error("a network without exits: no error")
	}
}

func TestPolicyJSON(t *testing.T) {
	p := exit.Policy{
		Name: "half a point", Gate: exit.Entropy, Exits: []int{0, 3}, Thresholds: []exit.Threshold{exit.Never, 0.9},
		Certificate: &exit.Certificate{Risk: exit.AccuracyDrop, Eps: 0.005, Delta: 0.05, N: 5000, Step: 42, Bound: 0.0049},
	}
	path := filepath.Join(t.TempDir(), "policy.json")
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"never"`) {
		t.Errorf("+Inf is not written as \"never\":\n%s", data)
	}
	back, err := exit.LoadPolicy(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, p) {
		t.Errorf("read back %+v, want %+v", back, p)
	}
	if _, err := json.Marshal(exit.Policy{Thresholds: []exit.Threshold{2}}); err == nil {
		t.Error("threshold 2 was written, want an error")
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{"gate":"margin","patience":3}`, "patience"},
		{`{"thresholds":["always"]}`, `"always"`},
		{`{"thresholds":[null]}`, "null"},
		{`{"thresholds":[1.1]}`, "1.1"},
		{`{"thresholds":[-0.1]}`, "-0.1"},
		{`{"thresholds":[1e999]}`, "1e999"},
		{`{} {}`, "follow"},
		{`{}x`, "follow"},
		{`[`, "policy"},
		{``, "policy"},
	} {
		if _, err := exit.ParsePolicy([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", c.text, err, c.want)
		}
	}
	if _, err := exit.LoadPolicy(filepath.Join(t.TempDir(), "absent.json")); err == nil || !strings.Contains(err.Error(), "absent.json") {
		t.Errorf("absent file: error is %v, want it to name the file", err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(`{"name":"a","gate":"margin","exits":[0,1],"thresholds":["never",0.5]}`))
	f.Add([]byte(`{"thresholds":[1e-400]}`))
	f.Add([]byte(`{"exits":[9223372036854775807],"thresholds":[0]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := exit.ParsePolicy(data)
		if err != nil {
			return
		}
		p.Leaves(1, exit.Scores{1, 1, 1})
		_ = p.Validate([]int{0, 1, 2})
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		back, err := exit.ParsePolicy(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again, _ := json.Marshal(back); string(again) != string(text) {
			t.Fatalf("wrote %s, read and wrote %s", text, again)
		}
	})
}

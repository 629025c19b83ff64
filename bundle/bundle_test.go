package bundle_test

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/picture"
	"github.com/layarun/layarun/prune"
)

var update = flag.Bool("update", false, "write testdata/tiny anew")

const tinyDir = "testdata/tiny"

// tiny is a bundle that holds one of everything an untrained MLP can have. Its numbers mean nothing.
func tiny(t testing.TB) *bundle.Bundle {
	t.Helper()
	b := &bundle.Bundle{
		Name:      "tiny",
		CreatedBy: "layarun test",
		Backbone:  &backbone.MLP{Inputs: []int{4}, Widths: []int{3, 2}, Norm: "layer", Epsilon: 1e-3},
		Head:      laya.Config{Kind: laya.Prefix, Reads: []int{0, 1, 2}, Classes: 3, Dim: 4, Tau: 1, Hidden: 4, Psi: "identity", ExitScale: true, Correction: true},
		Classes:   []string{"setosa", "versicolor", "virginica"},
		Data:      &bundle.Data{Source: bundle.Source{Name: "iris", Seed: 1}, Train: "aa", Validation: "bb", Calibration: "cc", Test: "dd"},
		Train:     map[string]float64{"validation_accuracy": 0.5, "epochs": 3},
		Profile: &prune.Profile{
			Reads: []int{0, 1, 2}, Classes: []string{"setosa"}, Bundle: "ee", Split: "bb", Initial: []float64{0.25, 0.25, 0.5},
			Full: prune.View{
				Global:  prune.Attention{N: 2, Mean: []float64{0.5, 0.25, 0.25}, Std: []float64{0, 0, 0}, Score: []float64{0.25, 0.25, 0.5}},
				ByClass: []prune.Attention{{}},
			},
		},
		Plan: &prune.Plan{
			Keep: []int{1, 3}, Reads: []int{0, 1, 3}, Threshold: 0.05, Bundle: "ee",
			Steps: []prune.Step{{What: "block 2", Score: 0.01, Accuracy: 0.5, Drop: 0.001, Accepted: true, Reason: "drop < 0.01"}},
		},
	}
	b.Weights = fresh(t, b)
	b.Policies = []exit.Policy{
		{Name: "default", Gate: exit.MaxProb, Exits: []int{0, 1}, Thresholds: []exit.Threshold{0.875, exit.Never},
			Certificate: &exit.Certificate{Risk: "consistency", Eps: 0.02, Delta: 0.05, N: 149, Step: 7, Bound: 0.0199, Bundle: b.Digest(), Path: "ff", Split: "cc"}},
		{Name: "quick", Gate: exit.Margin, Exits: []int{0}, Thresholds: []exit.Threshold{0.5}},
	}
	return b
}

func save(t testing.TB, b *bundle.Bundle) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "b")
	if err := b.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// flat makes two bundles comparable: weights become slices.
func flat(b *bundle.Bundle) (bundle.Bundle, map[string]any) {
	values := map[string]any{}
	for name, w := range b.Weights {
		values[name] = w.Value()
	}
	c := *b
	c.Weights = nil
	return c, values
}

func checkSame(t *testing.T, got, want *bundle.Bundle) {
	t.Helper()
	gotBundle, gotWeights := flat(got)
	wantBundle, wantWeights := flat(want)
	if !reflect.DeepEqual(gotBundle, wantBundle) {
		t.Errorf("got bundle %+v, want %+v", gotBundle, wantBundle)
	}
	if !reflect.DeepEqual(gotWeights, wantWeights) {
		t.Errorf("got weights %v, want %v", gotWeights, wantWeights)
	}
}

// contents maps the names below dir to what the files hold.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, dir)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSaveOpen(t *testing.T) {
	b := tiny(t)
	dir := save(t, b)
	got, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, b)
	if again := save(t, got); !maps.Equal(contents(t, dir), contents(t, again)) {
		t.Error("saving what was opened gave other bytes")
	}
}

func TestOptionalFilesMayBeAbsent(t *testing.T) {
	b := tiny(t)
	b.Profile, b.Plan, b.Policies, b.Data, b.Train = nil, nil, nil, nil, nil
	dir := save(t, b)
	if got, want := len(contents(t, dir)), 2; got != want {
		t.Errorf("the folder holds %d files, want %d", got, want)
	}
	got, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, b)
}

// The committed bundle is read as it was written, so that a change of the format does not go unseen.
func TestTiny(t *testing.T) {
	b := tiny(t)
	if *update {
		if err := b.Save(tinyDir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := bundle.Open(tinyDir)
	if err != nil {
		t.Fatalf("%v (go test ./bundle -run TestTiny -update writes it anew)", err)
	}
	checkSame(t, got, b)
	if dir := save(t, b); !maps.Equal(contents(t, dir), contents(t, tinyDir)) {
		t.Errorf("%s is not what Save writes today; go test ./bundle -run TestTiny -update writes it anew", tinyDir)
	}
}

func TestEveryFlippedByteIsRefused(t *testing.T) {
	dir := save(t, tiny(t))
	for name, text := range contents(t, dir) {
		if name == "/manifest.json" { // holds no digest of itself
			continue
		}
		for i := 0; i < len(text); i += 1 + len(text)/16 {
			data := []byte(text)
			data[i] ^= 1
			write(t, dir+name, data)
			refused(t, dir, filepath.Base(name))
		}
		write(t, dir+name, []byte(text))
	}
	if _, err := bundle.Open(dir); err != nil {
		t.Fatalf("after all is restored: %v", err)
	}
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	dir := save(t, tiny(t))
	for name, text := range contents(t, dir) {
		for i := 0; i < len(text)-1; i += 1 + len(text)/16 { // -1: the manifest's last byte is a line end
			write(t, dir+name, []byte(text[:i]))
			refused(t, dir, filepath.Base(name))
		}
		write(t, dir+name, []byte(text+"{"))
		refused(t, dir, filepath.Base(name))
		if err := os.Remove(dir + name); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, filepath.Base(name))
		write(t, dir+name, []byte(text))
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// refused opens dir and wants an error that names the folder and every one of words.
func refused(t *testing.T, dir string, words ...string) {
	t.Helper()
	_, err := bundle.Open(dir)
	if err == nil {
		t.Fatalf("opened, want an error with %q", words)
	}
	for _, word := range append(words, dir) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error is %q, want it to contain %q", err, word)
		}
	}
}

func TestFolderRefused(t *testing.T) {
	cases := map[string]struct {
		spoil func(dir string) error
		words []string
	}{
		"unlisted file": {func(dir string) error { return os.WriteFile(dir+"/tokenizer.json", []byte("{}"), 0o666) }, []string{"tokenizer.json", "not listed"}},
		"link inside": {func(dir string) error {
			return errors.Join(os.Rename(dir+"/plan.json", dir+"/real"), os.Symlink("real", dir+"/plan.json"))
		}, []string{"plan.json", "not a regular file"}},
		"link outside": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/weights.safetensors"), os.Symlink("/etc/hostname", dir+"/weights.safetensors"))
		}, []string{"weights.safetensors", "not a regular file"}},
		"folder for a file": {func(dir string) error {
			return errors.Join(os.Remove(dir+"/plan.json"), os.Mkdir(dir+"/plan.json", 0o777))
		}, []string{"plan.json", "not a regular file"}},
		"no folder": {os.RemoveAll, []string{"no such file"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := save(t, tiny(t))
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, c.words...)
		})
	}
}

func TestManifestRefused(t *testing.T) {
	cases := map[string]struct{ from, to, want string }{
		"later version":    {`"format": 1`, `"format": 2`, "format is 2, want 1"},
		"no version":       {`"format": 1,`, ``, "format is missing, want 1"},
		"unknown field":    {`"name":`, `"nickname": "x", "name":`, `unknown field "nickname"`},
		"unknown in head":  {`"tau":`, `"taw": 1, "tau":`, `unknown field "taw"`},
		"unknown in net":   {`"widths":`, `"width": 1, "widths":`, `unknown field "width"`},
		"repeated key":     {`"name":`, `"name": "x", "name":`, `"name" is repeated`},
		"unknown backbone": {`"kind": "mlp"`, `"kind": "rnn"`, `kind is "rnn"`},
		"path outside":     {`"plan.json"`, `"../plan.json"`, `"../plan.json" is not one of`},
		"file twice":       {`"plan.json"`, `"policies.json"`, `"policies.json" is repeated`},
		"no weights":       {`"weights.safetensors"`, `"tokenizer.json"`, "does not list weights.safetensors"},
		"kind of input":    {`"kind": "vector"`, `"kind": "image"`, "input is"},
		"no classes":       {`"virginica"`, `"setosa"`, `name 2 is "setosa"`},
		"shallower net":    {"3,\n      2\n", "3\n", "last of reads is 2, want the backbone's depth 1"},
		"empty name":       {`"name": "tiny"`, `"name": ""`, "name is empty"},
		"trailing text":    {"}\n", "}\n{}", "manifest.json"},
		"precision":        {`"name":`, `"precision": "half", "name":`, `precision is "half", want float16 or bfloat16`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := save(t, tiny(t))
			text := contents(t, dir)["/manifest.json"]
			if c.from == "}\n" { // the last one, not the first
				text += c.to[2:]
			}
			changed := strings.Replace(text, c.from, c.to, 1)
			if !strings.Contains(text, c.from) {
				t.Fatalf("the manifest does not contain %q: %s", c.from, text)
			}
			write(t, dir+"/manifest.json", []byte(changed))
			refused(t, dir, "manifest.json", c.want)
		})
	}
}

func TestWeightsMustFitTheManifest(t *testing.T) {
	dir := save(t, tiny(t))
	text := contents(t, dir)["/manifest.json"]
	write(t, dir+"/manifest.json", []byte(strings.Replace(text, `"dim": 4`, `"dim": 5`, 1)))
	refused(t, dir, "weights.safetensors", "head.0.adapter.kernel", "want float32 [4 5]")
}

func TestSaveRefuses(t *testing.T) {
	cases := map[string]struct {
		spoil func(b *bundle.Bundle)
		want  string
	}{
		"no backbone":      {func(b *bundle.Bundle) { b.Backbone = nil }, "no backbone"},
		"missing weight":   {func(b *bundle.Bundle) { delete(b.Weights, "block.1.dense.bias") }, `"block.1.dense.bias" is missing`},
		"surplus weight":   {func(b *bundle.Bundle) { b.Weights["x"] = tensors.FromValue(float32(0)) }, `"x" is not part`},
		"max length":       {func(b *bundle.Bundle) { b.MaxLength = 8 }, "max_length is 8"},
		"tokenizer":        {func(b *bundle.Bundle) { b.Tokenizer = []byte("{}") }, "does not read tokens"},
		"fit":              {func(b *bundle.Bundle) { b.Fit.Filter = "bicubic" }, "input: fit: picture: dims are [4], want [height"},
		"unnamed policy":   {func(b *bundle.Bundle) { b.Policies[1].Name = "" }, "name of policy 1"},
		"twin policies":    {func(b *bundle.Bundle) { b.Policies[1].Name = "default" }, `policy 1 is "default"`},
		"full that leaves": {func(b *bundle.Bundle) { b.Policies[1].Name = "full" }, "reserved"},
		"unknown exit":     {func(b *bundle.Bundle) { b.Policies[1].Exits[0] = 2 }, `policy "quick"`},
		"profile":          {func(b *bundle.Bundle) { b.Profile.Full.Global.Mean = nil }, "profile.json: prune: profile: full.global.mean has 0 numbers"},
		"plan":             {func(b *bundle.Bundle) { b.Plan.Threshold = -1 / zero }, "plan.json: json: unsupported value"},
		"train":            {func(b *bundle.Bundle) { b.Train["loss"] = zero / zero }, "train: loss is NaN"},
		"stale certificate": {func(b *bundle.Bundle) {
			b.Weights["block.1.dense.bias"] = tensors.FromValue([]float32{0, 0, 1})
		}, `policy "default": its certificate holds for bundle`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := tiny(t)
			dir := save(t, b)
			before := contents(t, filepath.Dir(dir))
			c.spoil(b)
			err := b.Save(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error is %v, want it to contain %q and the folder", err, c.want)
			}
			if !maps.Equal(before, contents(t, filepath.Dir(dir))) {
				t.Error("the refused save left traces")
			}
		})
	}
}

var zero float64 // so that the compiler does not see the division by it

func TestWithoutCertificates(t *testing.T) {
	b := tiny(t)
	b.Weights["block.1.dense.bias"] = tensors.FromValue([]float32{0, 0, 1})
	if err := b.Save(t.TempDir() + "/b"); !errors.Is(err, bundle.ErrCertificate) {
		t.Fatalf("error is %v, want ErrCertificate", err)
	}
	changed := b.WithoutCertificates()
	if changed.Policies[0].Certificate != nil || b.Policies[0].Certificate == nil {
		t.Error("want no certificate in the copy, and the original untouched")
	}
	save(t, changed)
}

// What an answer depends on is in the digest; what it does not depend on is not.
func TestDigest(t *testing.T) {
	want := tiny(t).Digest()
	cases := map[string]struct {
		change func(b *bundle.Bundle)
		same   bool
	}{
		"weight":   {func(b *bundle.Bundle) { b.Weights["block.1.dense.bias"] = tensors.FromValue([]float32{0, 0, 1e-30}) }, false},
		"backbone": {func(b *bundle.Bundle) { b.Backbone.(*backbone.MLP).Epsilon = 2e-3 }, false},
		"head":     {func(b *bundle.Bundle) { b.Head.Tau = 2 }, false},
		"plan":     {func(b *bundle.Bundle) { b.Plan.Threshold = 0.25 }, false},
		"no plan":  {func(b *bundle.Bundle) { b.Plan = nil }, false},
		"length":   {func(b *bundle.Bundle) { b.MaxLength = 9 }, false},
		"token":    {func(b *bundle.Bundle) { b.Tokenizer = []byte("{}") }, false},
		"fit":      {func(b *bundle.Bundle) { b.Fit = picture.Fit{Filter: "bicubic"} }, false},
		"swap": {func(b *bundle.Bundle) {
			w := b.Weights
			w["block.1.norm.bias"], w["block.1.norm.gain"] = w["block.1.norm.gain"], w["block.1.norm.bias"]
		}, false},
		"name":     {func(b *bundle.Bundle) { b.Name = "x" }, true},
		"policies": {func(b *bundle.Bundle) { b.Policies = nil }, true},
		"profile":  {func(b *bundle.Bundle) { b.Profile = nil }, true},
	}
	for name, c := range cases {
		b := tiny(t)
		c.change(b)
		if got := b.Digest(); (got == want) != c.same {
			t.Errorf("%s: digest is %s, was %s, want same %t", name, got, want, c.same)
		}
	}
}

// A backbone without a head is saved and read, and nothing that only a head can have goes with it.
func TestBundleWithoutHead(t *testing.T) {
	b := tiny(t)
	b.Head, b.Classes, b.Profile, b.Plan, b.Policies = laya.Config{}, nil, nil, nil, nil
	b.Weights = fresh(t, b)
	got, err := bundle.Open(save(t, b))
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, b)
	if got.HasHead() || !tiny(t).HasHead() || got.Digest() != b.Digest() || got.Digest() == tiny(t).Digest() {
		t.Errorf("has a head: %t; digest %s, saved %s", got.HasHead(), got.Digest(), b.Digest())
	}
	for _, spoil := range []func(b *bundle.Bundle){
		func(b *bundle.Bundle) { b.Classes = []string{"a", "b"} },
		func(b *bundle.Bundle) { b.Policies = []exit.Policy{exit.Full()} },
		func(b *bundle.Bundle) { b.Plan = &prune.Plan{} },
		func(b *bundle.Bundle) { b.Profile = tiny(t).Profile },
	} {
		c := *b
		spoil(&c)
		if err := c.Save(t.TempDir() + "/b"); err == nil || !strings.Contains(err.Error(), "head is missing") {
			t.Errorf("error is %v, want one about the missing head", err)
		}
	}
}

// Rounded weights take half the space, come back as they were rounded, and carry no certificate of the others.
func TestRoundedBundle(t *testing.T) {
	whole := tiny(t)
	for precision, dtype := range map[string]string{bundle.Float16: `"F16"`, bundle.BFloat16: `"BF16"`} {
		b, err := whole.Round(precision)
		if err != nil {
			t.Fatal(err)
		}
		dir := save(t, b)
		got, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, got, b)
		if got.Digest() != b.Digest() || b.Digest() == whole.Digest() || b.Profile != nil || b.Policies[0].Certificate != nil {
			t.Errorf("%s: the digest is %s, was %s, of the whole %s; profile %v, certificate %v", precision, got.Digest(), b.Digest(), whole.Digest(), b.Profile, b.Policies[0].Certificate)
		}
		if text := contents(t, dir)["/weights.safetensors"]; !strings.Contains(text, dtype) || strings.Contains(text, `"F32"`) {
			t.Errorf("%s: the weights are not stored as %s", precision, dtype)
		}
		b.Weights["head.classifier.bias"] = tensors.FromValue([]float32{0.1, 0, 0})
		if err := b.Save(dir); err == nil || !strings.Contains(err.Error(), `weights.safetensors: tensor "head.classifier.bias": value 0.1 is not one of`) {
			t.Errorf("%s: saved a weight that it cannot hold: %v", precision, err)
		}
		write(t, dir+"/manifest.json", []byte(strings.Replace(contents(t, dir)["/manifest.json"], `"precision": "`+precision+`",`, "", 1)))
		refused(t, dir, "weights.safetensors", "want F32 as the manifest says")
	}
	if _, err := whole.Round("float8"); err == nil || !strings.Contains(err.Error(), `precision is "float8"`) {
		t.Errorf("rounded to float8: %v", err)
	}
}

func TestTextBundle(t *testing.T) {
	b := &bundle.Bundle{
		Name: "text", Classes: []string{"no", "yes"}, MaxLength: 8, Tokenizer: []byte("{ }\n"),
		Backbone: &backbone.Encoder{Vocab: 5, MaxLength: 8, Layers: 1, Dim: 2, Heads: 1, Hidden: 2, Norm: "pre",
			Positions: "learned", Activation: "gelu", Epsilon: 1e-12, Pool: "mean"},
		Head: laya.Config{Kind: laya.LastLayer, Reads: []int{1}, Classes: 2},
	}
	b.Weights = fresh(t, b)
	got, err := bundle.Open(save(t, b))
	if err != nil {
		t.Fatal(err)
	}
	checkSame(t, got, b)
	if got.Digest() != b.Digest() {
		t.Error("the digest changed on its way through the disk")
	}
	for _, length := range []int{0, 9} { // the position table has 8 rows
		b.MaxLength = length
		if err := b.Save(t.TempDir() + "/b"); err == nil || !strings.Contains(err.Error(), "max_length") {
			t.Errorf("max_length %d: error is %v, want one about max_length", length, err)
		}
	}
}

// A residual network is saved in the form that runs, not in that which trains.
func TestImageBundle(t *testing.T) {
	b := &bundle.Bundle{
		Name: "image", Classes: []string{"no", "yes"},
		Backbone: &backbone.ResNet{Inputs: []int{4, 4, 1}, Stages: []backbone.Stage{{Channels: 2, Blocks: 1}}, Norm: "batch",
			Shortcut: "A", StemStride: 1, Epsilon: 1e-5},
		Head: laya.Config{Kind: laya.Linear, Reads: []int{0, 1}, Classes: 2},
	}
	b.Weights = fresh(t, b)
	if err := b.Save(t.TempDir() + "/b"); err == nil || !strings.Contains(err.Error(), "training form") {
		t.Errorf("error is %v, want one about the training form", err)
	}
	var err error
	if b.Backbone, b.Weights, err = b.Backbone.(backbone.Folder).Fold(b.Weights); err != nil {
		t.Fatal(err)
	}
	for _, b.Fit = range []picture.Fit{{}, {Size: []int{5, 6}, Filter: "bicubic"}, {ShortestEdge: 9}} {
		dir := save(t, b)
		got, err := bundle.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, got, b)
		if text := contents(t, dir)["/manifest.json"]; strings.Contains(text, `"fit"`) == b.Fit.IsZero() {
			t.Errorf("fit %+v is written as %s", b.Fit, text)
		}
	}
	b.Fit = picture.Fit{Size: []int{4, 4}}
	dir := save(t, b)
	for from, to := range map[string]string{`"size":`: `"scale": 1, "size":`, `"size": [`: `"size": [9, `, `"fit": {`: `"fit": {"filter": "box", `} {
		text := contents(t, dir)["/manifest.json"]
		write(t, dir+"/manifest.json", []byte(strings.Replace(text, from, to, 1)))
		refused(t, dir, "manifest.json")
		write(t, dir+"/manifest.json", []byte(text))
	}
}

func fresh(t testing.TB, b *bundle.Bundle) layer.Weights {
	t.Helper()
	params, err := b.Params()
	if err != nil {
		t.Fatal(err)
	}
	return layer.NewWeights(params, 1)
}

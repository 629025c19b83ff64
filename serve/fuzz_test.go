package serve_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/serve"
	"pgregory.net/rapid"
)

// watched is a model that checks what every request promises.
func watched(t *testing.T, m *fake) *fake {
	m.predict = func(ctx context.Context, r layarun.Request) ([]layarun.Answer, error) {
		n := max(len(r.Values)/2, len(r.Images), len(r.Texts), len(r.Tokens))
		if n < 1 || n > 3 {
			t.Errorf("%d samples, want 1 to 3", n)
		}
		for _, v := range r.Values {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Errorf("value %v reached the model", v)
			}
		}
		for _, text := range r.Texts {
			if !utf8.ValidString(text) {
				t.Errorf("text %q reached the model", text)
			}
		}
		answers := make([]layarun.Answer, n)
		for i := range answers {
			answers[i] = answerFor(0, r)
		}
		return answers, nil
	}
	return m
}

// Whatever the body, there is an answer: 200 to JSON only, or an error in JSON that is not the server's own.
func FuzzInfer(f *testing.F) {
	requests, err := filepath.Glob("testdata/golden/*.request")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range requests {
		request, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, body, _ := strings.Cut(string(request), "\n")
		f.Add([]byte(body))
	}
	for _, body := range []string{
		tensorOf("data", `[[1,2],[3,4e-7]]`), tensorOf("shape", `[16,1152921504606846978]`), tensorOf("data", strings.Repeat("[", 300)),
		parametersOf(`{"exit_policy":"full","exit_threshold":"never","min_exit":1,"max_exit":4,"timeout":7,"explain":true}`),
		imagesOf(`[2]`, `["iVBORw0K",""]`), textsOf("INT32", `[1,2]`, `[1,-2]`), "{\"id\":\"\\ud800\xff",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newServer(t, options(), watched(t, vector()), watched(t, text()), watched(t, image()))
		for _, path := range []string{"/v2/models/pair/infer", "/v2/models/text/infer", "/v2/models/image/infer"} {
			w := status(s, "POST", path, string(body))
			switch w.Code {
			case 200:
				if !json.Valid(body) || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s: 200 to %q: %s", path, body, w.Body)
				}
			case 400, 413:
				message(t, w)
			default:
				t.Errorf("%s: %d %s to %q", path, w.Code, w.Body, body)
			}
		}
	})
}

// Every JSON text that encoding/json takes as an object is skipped where its fields mean nothing, and nothing else is:
// both readers agree on what JSON is.
func FuzzScannerAgreesWithEncodingJSON(f *testing.F) {
	for _, text := range []string{`{}`, `[1,-0.5e+7,"\u00e9\n",null,true,{"a":[]}]`, `01`, `"\x"`, `nul`, `[1,]`, "\"\t\"", ` 1 `, `-`, `1 2`, `"\ud800"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := options()
		o.MaxBody = 1 << 20
		s := newServer(t, o, vector())
		body := `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}],"unknown":` + text + `}`
		// Three things are ours: the limits on depth and on numbers, UTF-8 only, and known keys that come twice.
		if !utf8.ValidString(text) || strings.Count(text, "[")+strings.Count(text, "{") > 90 || len(text) > 500 || strings.Contains(text, `"`) && strings.Contains(text, ":") {
			return
		}
		if w := status(s, "POST", "/v2/models/pair/infer", body); (w.Code == 200) != json.Valid([]byte(body)) {
			t.Errorf("%q: %d %s, but valid JSON is %v", text, w.Code, w.Body, json.Valid([]byte(body)))
		}
	})
}

// What a client writes with encoding/json arrives bit for bit, flat and nested, however the network cuts it up.
func TestValuesArriveExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(rapid.Float32(), 2, 2), 1, 3).Draw(t, "rows")
		var got []float32
		m := vector()
		m.predict = func(_ context.Context, r layarun.Request) ([]layarun.Answer, error) {
			got = r.Values
			return nil, layarun.ErrFull
		}
		s, err := serve.New(options(), m.model())
		if err != nil {
			t.Fatal(err)
		}
		var flat []float32
		for _, row := range rows {
			flat = append(flat, row...)
		}
		for _, data := range []any{rows, flat} {
			body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
				"name": "input", "datatype": "FP32", "shape": []int{len(rows), 2}, "data": data}}})
			if err != nil {
				t.Fatal(err)
			}
			cut := rapid.IntRange(1, 7).Draw(t, "cut")
			if w := statusOf(s, "/v2/models/pair/infer", &slowly{body, cut}); w.Code != 503 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if len(got) != len(flat) {
				t.Fatalf("%d values, want %d", len(got), len(flat))
			}
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(flat[i]) {
					t.Fatalf("value %d is %v, want %v", i, got[i], flat[i])
				}
			}
		}
	})
}

// The same for texts, escapes and all.
func TestTextsArriveExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "texts")
		var got []string
		m := text()
		m.predict = func(_ context.Context, r layarun.Request) ([]layarun.Answer, error) {
			got = r.Texts
			return nil, layarun.ErrFull
		}
		s, err := serve.New(options(), m.model())
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
			"name": "text", "datatype": "BYTES", "shape": []int{len(texts)}, "data": texts}}})
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > 4096 {
			t.Skip("beyond the limit of the body")
		}
		if w := statusOf(s, "/v2/models/text/infer", &slowly{body, rapid.IntRange(1, 7).Draw(t, "cut")}); w.Code != 503 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if len(got) != len(texts) || strings.Join(got, "\x00") != strings.Join(texts, "\x00") {
			t.Fatalf("texts %q, want %q", got, texts)
		}
	})
}

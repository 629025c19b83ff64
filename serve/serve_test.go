package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/serve"
)

var update = flag.Bool("update", false, "rewrite the answers under testdata")

// fake is a model whose answers can be told by hand: see answerFor.
type fake struct {
	name, version string
	dims, reads   []int
	predict       func(ctx context.Context, r layarun.Request) ([]layarun.Answer, error)
}

func (f *fake) model() serve.Model      { return serve.Model{Name: f.name, Version: f.version, Runtime: f} }
func (f *fake) Digest() string          { return "sha256:0123" }
func (f *fake) Dims() []int             { return f.dims }
func (f *fake) Classes() []string       { return []string{"down", "up"} }
func (f *fake) Exits() []int            { return []int{1, 2, 4} }
func (f *fake) Reads() []int            { return f.reads }
func (f *fake) Policies() []exit.Policy { return []exit.Policy{{Name: "quick"}} }

func (f *fake) Predict(ctx context.Context, r layarun.Request) ([]layarun.Answer, error) {
	if f.predict != nil {
		return f.predict(ctx, r)
	}
	var answers []layarun.Answer
	for row := range slices.Chunk(r.Values, 2) {
		answers = append(answers, answerFor(row[0]+row[1], r))
	}
	for _, file := range r.Images {
		answers = append(answers, answerFor(float32(len(file)), r))
	}
	for _, text := range r.Texts {
		answers = append(answers, answerFor(float32(len(text)), r))
	}
	for _, ids := range r.Tokens {
		answers = append(answers, answerFor(float32(len(ids)), r))
	}
	return answers, nil
}

// answerFor says "up" with 3/4 from 1 on and leaves at depth 2, or at max_exit.
func answerFor(sum float32, r layarun.Request) layarun.Answer {
	a := layarun.Answer{Label: 0, ExitDepth: 2, Confidence: 0.75, Probabilities: []float32{0.75, 0.25}}
	if sum >= 1 {
		a.Label, a.Probabilities = 1, []float32{0.25, 0.75}
	}
	if r.MaxExit != nil {
		a.ExitDepth = *r.MaxExit
	}
	if r.Explain {
		a.Alpha, a.Contributions = []float32{0.5, 0.5}, [][]float32{{1, 2}, {3, 4}}
		a.Bias = []float32{0.5, -0.5}
	}
	return a
}

func vector() *fake {
	return &fake{name: "pair", version: "2", dims: []int{2}, reads: []int{1, 2, 4}}
}

func image() *fake {
	return &fake{name: "image", dims: []int{1, 2, 1}, reads: []int{1, 2, 4}}
}

func text() *fake { return &fake{name: "text"} }

// options are small enough to reach the limits in a test.
func options() serve.Options {
	o := serve.DefaultOptions()
	o.MaxBody, o.MaxSamples, o.Version, o.DrainDelay = 4096, 3, "0.1", 0
	return o
}

// newServer is a server that is ready.
func newServer(t testing.TB, o serve.Options, fakes ...*fake) *serve.Server {
	t.Helper()
	s, err := serve.New(o, models(fakes...)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func models(fakes ...*fake) []serve.Model {
	var models []serve.Model
	for _, f := range fakes {
		models = append(models, f.model())
	}
	return models
}

// status sends one request without a network.
func status(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

// statusOf posts a body that is read piece by piece.
func statusOf(h http.Handler, path string, body io.Reader) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", path, body))
	return w
}

// message is the error of an answer; it fails the test if the answer is not {"error": "serve: …"}.
func message(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct{ Error *string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == nil || *body.Error == "" {
		t.Fatalf("status %d, body %q, want {\"error\": …}", w.Code, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Fatalf("Content-Type %q", got)
	}
	return *body.Error
}

func TestEndpointsAndMethods(t *testing.T) {
	s := newServer(t, options(), vector(), text())
	const infer = `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
	paths := map[string]string{ // the method each takes; "" for none
		"/v2": "GET", "/v2/": "GET", "/v2/health/live": "GET", "/healthz": "GET", "/v2/health/ready": "GET", "/readyz": "GET",
		"/v2/models": "GET", "/v2/models/": "GET", "/v2/models/pair": "GET", "/v2/models/pair/versions/2": "GET", "/v2/models/pair/ready": "GET",
		"/v2/models/pair/versions/2/ready": "GET", "/v2/models/pair/infer": "POST", "/v2/models/pair/versions/2/infer": "POST",
		"/": "", "/v3": "", "/v2/models/pair/stats": "", "/v2/models/none": "", "/v2/models/none/ready": "", "/v2/models/none/infer": "",
		"/v2/models/pair/versions/3": "", "/v2/models/pair/versions/3/infer": "", "/v2/models/pair/versions/": "",
	}
	for path, takes := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			w := status(s, method, path, infer)
			switch {
			case method == takes || method == "HEAD" && takes == "GET":
				if w.Code != 200 || !json.Valid(w.Body.Bytes()) {
					t.Errorf("%s %s: %d %s, want 200 and JSON", method, path, w.Code, w.Body)
				}
			case takes == "":
				if message(t, w); w.Code != 404 && w.Code != 405 {
					t.Errorf("%s %s: %d, want 404, or 405 under a model's path", method, path, w.Code)
				}
			default:
				if message(t, w); w.Code != 405 || w.Header().Get("Allow") != takes {
					t.Errorf("%s %s: %d, Allow %q, want 405 and %s", method, path, w.Code, w.Header().Get("Allow"), takes)
				}
			}
		}
		if takes == "" {
			if got := status(s, "GET", path, "").Code; got != 404 && !strings.HasSuffix(path, "/infer") {
				t.Errorf("GET %s: %d, want 404", path, got)
			}
		}
	}
	for path, want := range map[string]string{
		"/v2/models/none/infer":            `serve: no model "none"; GET /v2/models lists the models`,
		"/v2/models/pair/versions/3/infer": `serve: model pair has no version "3"; GET /v2/models/pair lists its versions`,
	} {
		if w := status(s, "POST", path, infer); w.Code != 404 || message(t, w) != want {
			t.Errorf("POST %s: %d %s, want 404 %s", path, w.Code, w.Body, want)
		}
	}
}

// The pairs under testdata are what clients send and get: <name>.request.json, whose first line is method and path, and
// <name>.response.json. Answers are those of answerFor, put into the protocol's form by hand and checked against its text.
func TestGolden(t *testing.T) {
	s := newServer(t, options(), vector(), image(), text())
	requests, err := filepath.Glob("testdata/golden/*.request")
	if err != nil || len(requests) == 0 {
		t.Fatalf("no requests: %v", err)
	}
	for _, file := range requests {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".request"), func(t *testing.T) {
			request, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			line, body, _ := strings.Cut(string(request), "\n")
			method, path, _ := strings.Cut(line, " ")
			w := status(s, method, path, body)
			var got bytes.Buffer
			if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			golden := strings.TrimSuffix(file, "request") + "response"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if w.Code != 200 || got.String() != string(want) {
				t.Errorf("%d\n%s\nwant 200\n%s", w.Code, &got, want)
			}
		})
	}
}

func TestHighestVersionAnswersWhereNoneIsNamed(t *testing.T) {
	nine, ten := vector(), vector()
	nine.version, ten.version = "9", "10"
	s := newServer(t, options(), ten, nine)
	var body struct {
		Versions []string
		Version  string `json:"model_version"`
	}
	const infer = `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
	for path, want := range map[string]string{"/v2/models/pair/infer": "10", "/v2/models/pair/versions/9/infer": "9"} {
		if err := json.Unmarshal(status(s, "POST", path, infer).Body.Bytes(), &body); err != nil || body.Version != want {
			t.Errorf("%s: version %q (%v), want %q", path, body.Version, err, want)
		}
	}
	if err := json.Unmarshal(status(s, "GET", "/v2/models/pair", "").Body.Bytes(), &body); err != nil || !slices.Equal(body.Versions, []string{"9", "10"}) {
		t.Errorf("versions %v (%v), want 9 and 10", body.Versions, err)
	}
	if got := status(s, "GET", "/v2/models", "").Body.String(); got != "{\"models\":[\"pair\"]}\n" {
		t.Errorf("models %s, want the name once", got)
	}
}

type exitless struct{ *fake }

func (exitless) Exits() []int { return nil }

func TestNewRefuses(t *testing.T) {
	nameless, flat, hollow := vector(), vector(), vector()
	nameless.name, flat.dims, hollow.dims = "", []int{}, []int{3, 0}
	broken := serve.Options{DrainDelay: -time.Second}
	for want, make := range map[string]func() (*serve.Server, error){
		"no model":               func() (*serve.Server, error) { return serve.New(options()) },
		"has no name":            func() (*serve.Server, error) { return serve.New(options(), nameless.model()) },
		`version "2" is there`:   func() (*serve.Server, error) { return serve.New(options(), models(vector(), vector())...) },
		"samples of shape []":    func() (*serve.Server, error) { return serve.New(options(), flat.model()) },
		"samples of shape [3 0]": func() (*serve.Server, error) { return serve.New(options(), hollow.model()) },
		"has 0 exits": func() (*serve.Server, error) {
			return serve.New(options(), serve.Model{Name: "a", Runtime: exitless{vector()}})
		},
		"DrainDelay is -1s": func() (*serve.Server, error) { return serve.New(broken, vector().model()) },
		"MaxBody is 0":      func() (*serve.Server, error) { return serve.New(broken, vector().model()) },
		"MaxSamples is 0":   func() (*serve.Server, error) { return serve.New(broken, vector().model()) },
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// What reaches the model is what was sent.
func TestRequestReachesTheModel(t *testing.T) {
	var got layarun.Request
	m := vector()
	m.predict = func(_ context.Context, r layarun.Request) ([]layarun.Answer, error) {
		got = r
		return []layarun.Answer{answerFor(0, r)}, nil
	}
	s := newServer(t, options(), m)
	w := status(s, "POST", "/v2/models/pair/infer", `{"parameters":{"exit_policy":"quick","exit_threshold":0.5,"min_exit":2,"max_exit":4,
		"explain":true,"timeout":1000000,"priority":3},"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[[-1.5e-1,2]]}]}`)
	if w.Code != 200 {
		t.Fatal(w.Body)
	}
	if got.Policy != "quick" || *got.Threshold != 0.5 || *got.MinExit != 2 || *got.MaxExit != 4 || !got.Explain || !got.NoWait || !slices.Equal(got.Values, []float32{-0.15, 2}) {
		t.Errorf("the model got %+v", got)
	}
	w = status(s, "POST", "/v2/models/pair/infer", `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`)
	if w.Code != 200 || got.Policy != "" || got.Threshold != nil || got.MinExit != nil || got.MaxExit != nil || got.Explain {
		t.Errorf("without parameters the model got %+v", got)
	}
}

func names(t *testing.T, body io.Reader) []string {
	t.Helper()
	var answer struct{ Outputs []struct{ Name string } }
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range answer.Outputs {
		names = append(names, o.Name)
	}
	return names
}

func TestOutputsSelect(t *testing.T) {
	s := newServer(t, options(), vector())
	all := []string{"probabilities", "label", "exit_depth", "confidence"}
	for ask, want := range map[string][]string{
		`"outputs":[]`: all,
		`"id":"x"`:     all,
		`"siblings":[` + strings.Repeat("[],", 200) + `0]`:                                     all, // 200 arrays, but only two deep
		`"outputs":[{"name":"confidence"},{"name":"label","parameters":{"classification":2}}]`: {"confidence", "label"},
		`"outputs":[{"name":"alpha"}]`:                                                         {"alpha"},
		`"parameters":{"explain":true}`:                                                        append(slices.Clone(all), "alpha", "contributions", "bias"),
		`"parameters":{"explain":false}`:                                                       all,
	} {
		w := status(s, "POST", "/v2/models/pair/infer", `{`+ask+`,"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`)
		if got := names(t, w.Body); !slices.Equal(got, want) {
			t.Errorf("%s: outputs %v, want %v", ask, got, want)
		}
	}
}

// slowly is a body that comes in pieces of a few bytes.
type slowly struct {
	left  []byte
	piece int
}

func (s *slowly) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.piece)], s.left)
	s.left = s.left[n:]
	return n, nil
}

// BenchmarkInfer32Images decodes the JSON of 32 CIFAR images: 98,304 numbers.
func BenchmarkInfer32Images(b *testing.B) {
	m := &fake{name: "cifar", dims: []int{32, 32, 3}}
	m.predict = func(_ context.Context, r layarun.Request) ([]layarun.Answer, error) { return nil, layarun.ErrFull }
	o := options()
	o.MaxBody, o.MaxSamples = 64<<20, 32
	s := newServer(b, o, m)
	values := make([]float32, 32*32*32*3)
	for i := range values {
		values[i] = float32(i%256) / 255
	}
	data, err := json.Marshal(values)
	if err != nil {
		b.Fatal(err)
	}
	body := `{"inputs":[{"name":"input","datatype":"FP32","shape":[32,32,32,3],"data":` + string(data) + `}]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if w := status(s, "POST", "/v2/models/cifar/infer", body); w.Code != 503 {
			b.Fatal(w.Body)
		}
	}
}

// The files of pictures reach the model as they were sent.
func TestImagesArriveExactly(t *testing.T) {
	files := [][]byte{{0, 255, 1}, {}, []byte("\x89PNG")}
	var got [][]byte
	m := image()
	m.predict = func(_ context.Context, r layarun.Request) ([]layarun.Answer, error) {
		got = r.Images
		return nil, layarun.ErrFull
	}
	body, err := json.Marshal(map[string]any{"inputs": []any{map[string]any{
		"name": "image", "datatype": "BYTES", "shape": []int{len(files)}, "data": files}}})
	if err != nil {
		t.Fatal(err)
	}
	if w := status(newServer(t, options(), m), "POST", "/v2/models/image/infer", string(body)); w.Code != 503 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if !slices.EqualFunc(got, files, bytes.Equal) {
		t.Errorf("files are %q, want %q", got, files)
	}
}

package serve_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/layarun/layarun"
)

// tensorOf is a request whose tensor differs from a right one in one field; the last of two equal keys would be a fault.
func tensorOf(field, value string) string {
	fields := map[string]string{"name": `"input"`, "datatype": `"FP32"`, "shape": `[2,2]`, "data": `[1,2,3,4]`}
	fields[field] = value
	return fmt.Sprintf(`{"inputs":[{"name":%s,"datatype":%s,"shape":%s,"data":%s}]}`,
		fields["name"], fields["datatype"], fields["shape"], fields["data"])
}

func parametersOf(parameters string) string {
	return `{"parameters":` + parameters + `,"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
}

func textsOf(datatype, shape, data string) string {
	name := "ids"
	if datatype == "BYTES" {
		name = "text"
	}
	return fmt.Sprintf(`{"inputs":[{"name":%q,"datatype":%q,"shape":%s,"data":%s}]}`, name, datatype, shape, data)
}

func imagesOf(shape, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":%s,"data":%s}]}`, shape, data)
}

// Every fault of a body is a 400 that names the field, the value and what was expected.
func TestFaultsOfVectors(t *testing.T) {
	s := newServer(t, options(), vector())
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct{ body, want string }{
		{``, `the body ends, want an object`},
		{`5`, `found a number, want an object`},
		{`{}`, `inputs: missing, want one input`},
		{`{"inputs":[]}`, `inputs: missing, want one input`},
		{`{"inputs":{}}`, `inputs: found an object, want an array`},
		{`{"inputs":[{}]}`, `inputs[0].name: missing`},
		{`{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2]}]}`, `inputs[0].data: missing`},
		{`{"inputs":[{"name":"input","name":"input"}]}`, `inputs[0].name: given twice`},
		{`{"id":"a","id":"b"}`, `id: given twice`},
		{`{"id":7}`, `id: found a number, want a string`},
		{`{"a":1`, `the body ends, want ',' or '}'`},
		{`{"a":1,}`, `found '}' at byte 7, want a string`},
		{`{"a" 1}`, `found a number, want ':' after a key`},
		{`{"a":tru}`, `a: found "tru", want a JSON value`},
		{`{"a":}`, `a: found '}' at byte 5, want a value`},
		{`{"a":01}`, `a: "01" is not a JSON number`},
		{`{"a":1.}`, `a: "1." is not a JSON number`},
		{`{"a":-}`, `a: "-" is not a JSON number`},
		{`{"a":1e}`, `a: "1e" is not a JSON number`},
		{`{"a":"\x"}`, `a: the string "\\x" has a wrong escape`},
		{"{\"a\":\"\n\"}", `a: byte 6 is the control character '\n' inside a string, want it escaped`},
		{"{\"a\":\"\xff\"}", `a: the string "\xff" is not valid UTF-8`},
		{`{"a":"b`, `a: the body ends, want the end of a string`},
		{`{"a":"b\`, `a: the body ends, want the end of a string`},
		{`{"a":` + strings.Repeat("1", 513) + `}`, `has 513 bytes, want at most 512`},
		{`{"a":` + deep + `}`, `the body nests more than 100 arrays and objects`},
		{`{"A` + strings.Repeat("a", 60) + `":}`, `"A` + strings.Repeat("a", 39) + `"…: found '}'`},
		{tensorOf("data", deep), `the body nests more than 100 arrays and objects`},
		{tensorOf("name", `"x"`), `inputs[0].name: "x", want "input"`},
		{tensorOf("name", `null`), `inputs[0].name: found null, want a string`},
		{tensorOf("datatype", `"FP64"`), `inputs[0].datatype: "FP64", want "FP32"`},
		{tensorOf("shape", `[2]`), `inputs[0].shape: [2], want [-1 2] with any number of samples for the first -1`},
		{tensorOf("shape", `[2,3]`), `inputs[0].shape: [2 3], want [-1 2]`},
		{tensorOf("shape", `[2,-2]`), `inputs[0].shape[1]: -2 is negative`},
		{tensorOf("shape", `[2,2.0]`), `inputs[0].shape[1]: 2.0 is not an integer of 64 bits`},
		{tensorOf("shape", `[16,1152921504606846978]`), `inputs[0].shape: [16 1152921504606846978], want [-1 2]`}, // 2^60+2: Triton's case
		{tensorOf("shape", `[9223372036854775808,2]`), `inputs[0].shape[0]: 9223372036854775808 is not an integer of 64 bits`},
		{tensorOf("shape", `[4611686018427387905,2]`), `inputs[0].shape[0]: 4611686018427387905 samples, want 1 to 3`}, // × 2 overflows to 2
		{tensorOf("shape", `[0,2]`), `inputs[0].shape[0]: 0 samples, want 1 to 3`},
		{tensorOf("shape", `[1,1,1,1,1,1,1,1,1]`), `inputs[0].shape[8]: the shape has more than 8 axes`},
		{tensorOf("data", `[1,2,3]`), `inputs[0].data: 3 values, want 4 for shape [2 2]`},
		{tensorOf("data", `[]`), `inputs[0].data: 0 values, want 4 for shape [2 2]`},
		{tensorOf("data", `7`), `inputs[0].data: found a number, want an array`},
		{tensorOf("data", `[1,2,3,4,5,6,7]`), `inputs[0].data[6]: the data has more than 6 values, the limit of one request`},
		{tensorOf("data", `[1,2,3,1e999]`), `inputs[0].data[3]: "1e999" is beyond the range of FP32`},
		{tensorOf("data", `[1,2,3,-1e39]`), `inputs[0].data[3]: "-1e39" is beyond the range of FP32`}, // largest float32: 3.4e38
		{tensorOf("data", `[1,2,3,NaN]`), `inputs[0].data[3]: found 'N' at byte`},
		{tensorOf("data", `[1,2,3,Infinity]`), `inputs[0].data[3]: found 'I' at byte`},
		{tensorOf("data", `[1,2,3,null]`), `inputs[0].data[3]: found null, want a number`},
		{tensorOf("data", `[1,2,3,"4"]`), `inputs[0].data[3]: found a string, want a number`},
		{tensorOf("data", `[1,2 3]`), `inputs[0].data: found a number, want ',' or ']'`},
		{tensorOf("data", `[[1,2],[3]]`), `inputs[0].data[1]: the array has 1 elements, want 2 as in the one before it`},
		{tensorOf("data", `[[1,2],3]`), `inputs[0].data[1]: the data nests unevenly, want every value 2 arrays deep`},
		{tensorOf("data", `[1,[2,3]]`), `inputs[0].data[1]: the data nests unevenly, want every value 1 arrays deep`},
		{tensorOf("data", `[[],[1,2,3,4]]`), `inputs[0].data[1]: the array has 4 elements, want 0 as in the one before it`},
		{tensorOf("data", `[[[]],[1]]`), `inputs[0].data[1][0]: the data nests unevenly`},
		{tensorOf("data", `[[1,2,3,4]]`), `inputs[0].data: nested as [1 4], want it flat or as shape [2 2]`},
		{tensorOf("data", `[1,2,3,4]},{"name":"input"`), `inputs[1]: a second input, want one only`},
		{tensorOf("data", `[1,2,3,4]`) + "x", `found 'x' at byte`},
		{tensorOf("data", `[1,2,3,4]`) + "{}", `found an object, want nothing after the request`},
		{parametersOf(`[]`), `parameters: found an array, want an object`},
		{parametersOf(`{"exit_policy":"slow"}`), `parameters.exit_policy: "slow", want one of full, quick`},
		{parametersOf(`{"exit_policy":null}`), `parameters.exit_policy: found null, want a string`},
		{parametersOf(`{"exit_threshold":1.5}`), `parameters.exit_threshold: 1.5, want a number from 0 to 1, or "never"`},
		{parametersOf(`{"exit_threshold":-0.1}`), `parameters.exit_threshold: -0.1, want`},
		{parametersOf(`{"exit_threshold":1e999}`), `parameters.exit_threshold: 1e999, want`},
		{parametersOf(`{"exit_threshold":"now"}`), `parameters.exit_threshold: "now", want`},
		{parametersOf(`{"exit_threshold":true}`), `parameters.exit_threshold: found a bool, want a number`},
		{parametersOf(`{"max_exit":0}`), `parameters.max_exit: 0, want a depth within the exits [1 2 4]`},
		{parametersOf(`{"max_exit":5}`), `parameters.max_exit: 5, want a depth within the exits [1 2 4]`},
		{parametersOf(`{"min_exit":5}`), `parameters.min_exit: 5, want at most the last exit of [1 2 4]`},
		{parametersOf(`{"min_exit":-1}`), `parameters.min_exit: -1, want a depth`},
		{parametersOf(`{"min_exit":2.5}`), `parameters.min_exit: 2.5 is not an integer`},
		{parametersOf(`{"min_exit":4,"max_exit":2}`), `parameters.max_exit: 2 with min_exit 4 leaves none of the exits [1 2 4]`},
		{parametersOf(`{"min_exit":3,"max_exit":3}`), `parameters.max_exit: 3 with min_exit 3 leaves none`},
		{parametersOf(`{"explain":1}`), `parameters.explain: found a number, want true or false`},
		{parametersOf(`{"timeout":-1}`), `parameters.timeout: -1, want microseconds, 0 or more`},
		{parametersOf(`{"timeout":"1"}`), `parameters.timeout: found a string, want a number`},
		{`{"outputs":[{"name":"logits"}]}`, `outputs[0].name: "logits", want one of probabilities, label, exit_depth, confidence, alpha, contributions, bias`},
		{`{"outputs":[{"name":"label"},{"name":"label"}]}`, `outputs[1].name: "label" is asked for twice`},
		{`{"outputs":[{}]}`, `outputs[0].name: missing`},
		{`{"outputs":["label"]}`, `outputs[0]: found a string, want an object`},
	} {
		w := status(s, "POST", "/v2/models/pair/infer", c.body)
		if got := message(t, w); w.Code != 400 || !strings.Contains(got, c.want) || !strings.HasPrefix(got, "serve: ") {
			t.Errorf("%s\n got %d %s\nwant 400 %s", c.body, w.Code, got, c.want)
		}
	}
}

func TestFaultsOfTexts(t *testing.T) {
	s := newServer(t, options(), text())
	for _, c := range []struct{ body, want string }{
		{textsOf("BYTES", `[1,1]`, `["a"]`), `inputs[0].shape: [1 1], want [-1]`},
		{textsOf("BYTES", `[2]`, `["a"]`), `inputs[0].data: 1 texts, want 2 for shape [2]`},
		{textsOf("BYTES", `[4]`, `["a","b","c","d"]`), `inputs[0].data[3]: the data has more than 3 values`},
		{textsOf("BYTES", `[1]`, `[["a"]]`), `inputs[0].data: nested as [1 1], want it flat or as shape [1]`},
		{textsOf("BYTES", `[1]`, `[7]`), `inputs[0].data: 0 texts, want 1`},
		{textsOf("BYTES", `[2]`, `["a",7]`), `inputs[0].data[1]: the data mixes texts and token ids`},
		{textsOf("INT64", `[2]`, `[7,"a"]`), `inputs[0].data[1]: found a string, want a number`},
		{textsOf("FP32", `[1]`, `["a"]`), `inputs[0].datatype: "FP32", want BYTES for texts, or INT32 or INT64 for token ids`},
		{textsOf("INT32", `[3]`, `[1,2,3]`), `inputs[0].shape: [3], want [-1 -1]`},
		{textsOf("INT32", `[2,2]`, `[1,2,3]`), `inputs[0].data: 3 token ids, want as many as shape [2 2] says`},
		{textsOf("INT32", `[2,0]`, `[]`), `inputs[0].data: 0 token ids, want as many as shape [2 0] says, at least 1 per sample`},
		{textsOf("INT32", `[2,4611686018427387904]`, `[]`), `inputs[0].data: 0 token ids`}, // the product overflows to 0
		{textsOf("INT64", `[1,1]`, `[2147483648]`), `inputs[0].data[0]: 2147483648 is not a token id of 32 bits`},
		{textsOf("INT64", `[1,1]`, `[1.5]`), `inputs[0].data[0]: 1.5 is not an integer of 64 bits`},
		{`{"outputs":[{"name":"alpha"}],` + textsOf("BYTES", `[1]`, `["a"]`)[1:], `parameters.explain: model text has no attention over depth`},
	} {
		w := status(s, "POST", "/v2/models/text/infer", c.body)
		if got := message(t, w); w.Code != 400 || !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %d %s\nwant 400 %s", c.body, w.Code, got, c.want)
		}
	}
}

func TestFaultsOfImages(t *testing.T) {
	s := newServer(t, options(), image(), vector())
	for _, c := range []struct{ body, want string }{
		{imagesOf(`[1]`, `["a b"]`), `inputs[0].data[0]: "a b" is not the base64 of a file`},
		{imagesOf(`[1]`, `["YQ"]`), `inputs[0].data[0]: "YQ" is not the base64 of a file`}, // without padding
		{imagesOf(`[1,1]`, `["YQ=="]`), `inputs[0].shape: [1 1], want [-1]`},
		{imagesOf(`[2]`, `["YQ=="]`), `inputs[0].data: 1 images, want 2 for shape [2]`},
		{imagesOf(`[3]`, `["","","",""]`), `inputs[0].data[3]: the data has more than 3 images, the limit of one request`},
		{imagesOf(`[1]`, `[["YQ=="]]`), `inputs[0].data: nested as [1 1], want it flat or as shape [1]`},
		{imagesOf(`[2]`, `["YQ==",7]`), `inputs[0].data[1]: found a number, want a string`},
		{imagesOf(`[2]`, `[7,"YQ=="]`), `inputs[0].data[1]: the data mixes images and numbers`},
		{imagesOf(`[1]`, `[1,2]`), `inputs[0].data: 0 images, want 1 for shape [1]`},
		{strings.Replace(imagesOf(`[1,1,2,1]`, `["YQ=="]`), "BYTES", "FP32", 1), `inputs[0].name: "image", want "input"`},
		{strings.Replace(imagesOf(`[1]`, `["YQ=="]`), "image", "picture", 1), `inputs[0].name: "picture", want "image"`},
		{strings.Replace(imagesOf(`[1]`, `["YQ=="]`), "BYTES", "UINT8", 1), `inputs[0].datatype: "UINT8", want FP32 for values, or BYTES for images`},
	} {
		w := status(s, "POST", "/v2/models/image/infer", c.body)
		if got := message(t, w); w.Code != 400 || !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %d %s\nwant 400 %s", c.body, w.Code, got, c.want)
		}
	}
	w := status(s, "POST", "/v2/models/pair/infer", imagesOf(`[1]`, `["YQ=="]`)) // a network on vectors
	if got := message(t, w); w.Code != 400 || !strings.Contains(got, "inputs[0].data[0]: found a string, want a number") {
		t.Errorf("vector: %d %s", w.Code, got)
	}
}

const good = `{"inputs":[{"name":"input","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`

// What goes wrong in the model chooses the status.
func TestFaultsOfTheModel(t *testing.T) {
	one := func(a layarun.Answer) []layarun.Answer { return []layarun.Answer{a} }
	for name, c := range map[string]struct {
		answers     []layarun.Answer
		err         error
		code        int
		retry, want string
	}{
		"full":        {nil, fmt.Errorf("64 samples wait: %w", layarun.ErrFull), 503, "1", "serve: 64 samples wait: " + layarun.ErrFull.Error()},
		"deadline":    {nil, fmt.Errorf("later: %w", layarun.ErrDeadline), 504, "", "serve: the deadline passed"},
		"context":     {nil, context.DeadlineExceeded, 504, "", "serve: the deadline passed"},
		"invalid":     {nil, fmt.Errorf("token id 9: %w", layarun.ErrRequest), 400, "", "serve: token id 9: layarun: invalid request"},
		"other":       {nil, errors.New("out of memory"), 500, "", "serve: out of memory"},
		"sample":      {one(layarun.Answer{Err: errors.New("logits are NaN")}), nil, 500, "", "serve: sample 0 of 1: logits are NaN"},
		"samplefull":  {one(layarun.Answer{Err: layarun.ErrFull}), nil, 503, "1", "serve: sample 0 of 1: " + layarun.ErrFull.Error()},
		"unexplained": {one(layarun.Answer{Probabilities: []float32{0, 1}, Alpha: []float32{1}}), nil, 500, "", "serve: sample 0 of 1: 0 contributions to 1 reads"},
		"too few":     {nil, nil, 500, "", "serve: model pair gave 0 answers to 1 samples"},
		"infinite":    {one(layarun.Answer{Confidence: float32(math.Inf(1))}), nil, 500, "", "serve: json: unsupported value: +Inf"},
	} {
		t.Run(name, func(t *testing.T) {
			m := vector()
			m.predict = func(context.Context, layarun.Request) ([]layarun.Answer, error) { return c.answers, c.err }
			w := status(newServer(t, options(), m), "POST", "/v2/models/pair/infer", parametersOf(`{"explain":true}`))
			if got := message(t, w); w.Code != c.code || got != c.want || w.Header().Get("Retry-After") != c.retry {
				t.Errorf("%d %q, Retry-After %q, want %d %q, %q", w.Code, got, w.Header().Get("Retry-After"), c.code, c.want, c.retry)
			}
		})
	}
}

// The parameter timeout shortens the server's own and cannot lengthen it; 0 says nothing.
func TestTimeoutReachesTheModel(t *testing.T) {
	var left time.Duration
	m := vector()
	m.predict = func(ctx context.Context, r layarun.Request) ([]layarun.Answer, error) {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return []layarun.Answer{answerFor(0, r)}, nil
	}
	o := options()
	o.Timeout = time.Hour
	s := newServer(t, o, m)
	for parameters, most := range map[string]time.Duration{
		`{}`: time.Hour, `{"timeout":0}`: time.Hour, `{"timeout":60000000}`: time.Minute,
		`{"timeout":9223372036854775807}`: time.Hour,
	} {
		if w := status(s, "POST", "/v2/models/pair/infer", parametersOf(parameters)); w.Code != 200 || left > most || left < most-30*time.Second {
			t.Errorf("%s: %d, %v left, want about %v", parameters, w.Code, left, most)
		}
	}
}

func gzipped(t testing.TB, body io.Reader) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.Copy(z, body); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func TestBodyLimitsAndEncodings(t *testing.T) {
	s := newServer(t, options(), vector()) // 4,096 bytes
	spaces := func(n int) string { return strings.Repeat(" ", n-len(good)) + good }
	bomb := gzipped(t, io.LimitReader(blanks{}, 3<<20)) // about 3 kB packed, 3 MB unpacked
	if len(bomb) > 4096 {
		t.Fatalf("the bomb has %d bytes, want it under the limit while packed", len(bomb))
	}
	for _, c := range []struct {
		name, encoding string
		body           []byte
		code           int
		want           string
	}{
		{"as large as allowed", "", []byte(spaces(4096)), 200, ""},
		{"one byte more", "", []byte(spaces(4097)), 413, "serve: the body has more than 4096 bytes"},
		{"identity", "identity", []byte(good), 200, ""},
		{"gzip", "gzip", gzipped(t, strings.NewReader(good)), 200, ""},
		{"gzip, as large as allowed", "gzip", gzipped(t, strings.NewReader(spaces(4096))), 200, ""},
		{"gzip, one byte more", "gzip", gzipped(t, strings.NewReader(spaces(4097))), 413, "more than 4096 bytes"},
		{"gzip bomb", "gzip", bomb, 413, "more than 4096 bytes"},
		{"gzip, cut", "gzip", gzipped(t, strings.NewReader(good))[:40], 400, "unexpected EOF"},
		{"gzip, not", "gzip", []byte(good), 400, "gzip: invalid header"},
		{"brotli", "br", []byte(good), 415, `Content-Encoding is "br", want gzip or none`},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/v2/models/pair/infer", bytes.NewReader(c.body))
		r.Header.Set("Content-Encoding", c.encoding)
		s.ServeHTTP(w, r)
		if w.Code != c.code || c.code != 200 && !strings.Contains(message(t, w), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, w.Code, w.Body, c.code, c.want)
		}
	}
	r := httptest.NewRequest("POST", "/v2/models/pair/infer", strings.NewReader(good))
	r.Header.Set("Inference-Header-Content-Length", "99999999999")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 400 || !strings.Contains(message(t, w), "binary tensor data is not supported") {
		t.Errorf("binary: %d %s", w.Code, w.Body)
	}
}

// blanks is an endless run of spaces, which JSON allows before a value.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// rich is a right request with something of everything in it.
const rich = ` {"id":"a\u00e9\n","parameters":{"exit_policy":"quick","exit_threshold":0.5,"min_exit":1,"max_exit":4,"explain":true,"timeout":9,"x":null},
	"outputs":[{"y":{"z":[true,-1e+2]},"name":"label"}],"inputs":[{"name":"input","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,4.5]]}],"w":false}`

// A body that ends anywhere before its end is a fault of the client's, as is one that cannot be read on.
func TestBodyCutAnywhere(t *testing.T) {
	s := newServer(t, options(), vector())
	if w := status(s, "POST", "/v2/models/pair/infer", rich); w.Code != 200 {
		t.Fatal(w.Body)
	}
	for n := range len(rich) {
		w := status(s, "POST", "/v2/models/pair/infer", rich[:n])
		if message(t, w); w.Code != 400 {
			t.Errorf("cut to %q: %d, want 400", rich[:n], w.Code)
		}
		broken := io.MultiReader(strings.NewReader(rich[:n]), iotest.ErrReader(errors.New("connection reset")))
		w = statusOf(s, "/v2/models/pair/infer", broken)
		if got := message(t, w); w.Code != 400 || got != "serve: the body cannot be read: connection reset" {
			t.Errorf("broken after %q: %d %s, want 400 that says so", rich[:n], w.Code, got)
		}
	}
	w := statusOf(s, "/v2/models/pair/infer", stuck{})
	if got := message(t, w); w.Code != 400 || !strings.Contains(got, io.ErrNoProgress.Error()) {
		t.Errorf("no progress: %d %s", w.Code, got)
	}
}

// stuck is a body that never comes.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

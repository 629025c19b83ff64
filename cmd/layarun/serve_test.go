package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/serve"
)

const tinyBundle = "../../bundle/testdata/tiny"

// The verb announces itself once everything is compiled, answers with exit control, and ends well when it is told to.
func TestServe(t *testing.T) {
	out, announce := io.Pipe()
	var talk bytes.Buffer
	a := &app{out: announce, err: &talk, json: true, backend: "go"}
	o := serve.DefaultOptions()
	o.DrainDelay = 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := a.serve(ctx, tinyBundle, "127.0.0.1:0", o)
		announce.CloseWithError(err)
		ended <- err
	}()
	var report served
	if err := json.NewDecoder(out).Decode(&report); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if report.Model != "tiny" || report.Backend != "go" || report.Executables == 0 || !strings.Contains(report.Try, report.Address) {
		t.Errorf("reported %+v", report)
	}
	if len(report.Lanes) != 1 || len(report.Lanes[0].Buckets) == 0 || len(report.Lanes[0].Costs) == 0 {
		t.Errorf("reported the lanes %+v, want one with batch sizes and what they cost", report.Lanes)
	}
	if ready, err := http.Get("http://" + report.Address + "/v2/health/ready"); err != nil || ready.StatusCode != 200 {
		t.Errorf("ready: %v %v", ready, err)
	}
	response, err := http.Post("http://"+report.Address+"/v2/models/tiny/infer", "application/json", strings.NewReader(`{
		"parameters": {"exit_policy": "full", "max_exit": 1}, "outputs": [{"name": "exit_depth"}],
		"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || response.Body.Close() != nil || !strings.Contains(string(body), `{"name":"exit_depth","datatype":"INT32","shape":[1],"data":[1]}`) {
		t.Errorf("answer %s, %v", body, err)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
	if !strings.Contains(talk.String(), "of them compiled in") || !strings.Contains(talk.String(), "serve: draining") {
		t.Errorf("said %q", &talk)
	}
}

func TestSizes(t *testing.T) {
	for _, c := range []struct {
		lanes []layarun.Lane
		want  string
	}{
		{[]layarun.Lane{{Buckets: []int{1, 2, 4}}}, "1 2 4"},
		{[]layarun.Lane{{Length: 16, Buckets: []int{1, 8}}, {Length: 64, Buckets: []int{1}}}, "1 8 (texts up to 16 tokens); 1 (texts up to 64 tokens)"},
	} {
		if got := sizes(c.lanes...); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestServeNamesAPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var talk bytes.Buffer
	code := run([]string{"serve", tinyBundle, "--backend", "go", "--addr", taken.Addr().String()}, io.Discard, &talk)
	if code != codeFailed || !strings.Contains(talk.String(), taken.Addr().String()) || !strings.Contains(talk.String(), "try: ") {
		t.Errorf("exit code %d, said %q", code, &talk)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/internal/safetensors"
	"github.com/layarun/layarun/serve"
)

// importedViT is a bundle of the checkpoint in pretrained/testdata, the pictures that transformers was given, and the
// logits that it made of them.
func importedViT(t *testing.T) (bundle string, pictures []string, logits [][]float32) {
	t.Helper()
	bundle = filepath.Join(t.TempDir(), "vit")
	var talk bytes.Buffer
	if code := run([]string{"import", "../../pretrained/testdata/vit", "--out", bundle}, io.Discard, &talk); code != 0 {
		t.Fatalf("import: exit code %d: %s", code, &talk)
	}
	data, err := os.ReadFile("../../pretrained/testdata/vit/expected.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	want, err := safetensors.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"large.png", "tall.png", "grey.png"} { // PICTURES of its make.py
		pictures = append(pictures, filepath.Join("../../picture/testdata", name))
	}
	return bundle, pictures, want["logits"].Value().([][]float32)
}

// checkProbabilities compares with the softmax of logits. The tolerance is that of package pretrained.
func checkProbabilities(t *testing.T, got []float64, logits []float32) {
	t.Helper()
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l))
	}
	if len(got) != len(logits) {
		t.Fatalf("%d probabilities, want %d", len(got), len(logits))
	}
	for i, l := range logits {
		if want := math.Exp(float64(l)) / sum; !(math.Abs(got[i]-want) <= 1e-4) {
			t.Errorf("probability %d is %v, want %v", i, got[i], want)
		}
	}
}

// From the checkpoint and the files of pictures on, predict answers as transformers does.
func TestImportAndPredictImages(t *testing.T) {
	bundle, pictures, logits := importedViT(t)
	var out, talk bytes.Buffer
	if code := run(append([]string{"predict", bundle, "--json", "--backend", "go"}, pictures...), &out, &talk); code != 0 {
		t.Fatalf("predict: exit code %d: %s", code, &talk)
	}
	var got struct {
		Answers []struct{ Probabilities []float64 }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Answers) != len(pictures) {
		t.Fatalf("%d answers, want %d (%v)", len(got.Answers), len(pictures), err)
	}
	for i, a := range got.Answers {
		checkProbabilities(t, a.Probabilities, logits[i])
	}
	bad := filepath.Join(t.TempDir(), "bad.png")
	if err := os.WriteFile(bad, []byte("GIF89a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"predict", bundle, bad, "--backend", "go"}, io.Discard, &talk); code != codeFailed || !strings.Contains(talk.String(), "bad.png: picture: neither PNG nor JPEG") {
		t.Errorf("exit code %d, said %q", code, &talk)
	}
}

// So does the server, and it says which image is malformed.
func TestServeImages(t *testing.T) {
	bundle, pictures, logits := importedViT(t)
	out, announce := io.Pipe()
	a := &app{out: announce, err: io.Discard, json: true, backend: "go"}
	o := serve.DefaultOptions()
	o.DrainDelay = 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := a.serve(ctx, bundle, "127.0.0.1:0", o)
		announce.CloseWithError(err)
		ended <- err
	}()
	var report served
	if err := json.NewDecoder(out).Decode(&report); err != nil {
		t.Fatal(err)
	}
	var files [][]byte
	for _, name := range pictures {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	ask := func(files [][]byte) (code int, body []byte) {
		request, err := json.Marshal(map[string]any{"outputs": []any{map[string]any{"name": "probabilities"}}, "inputs": []any{
			map[string]any{"name": "image", "datatype": "BYTES", "shape": []int{len(files)}, "data": files}}})
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.Post("http://"+report.Address+"/v2/models/vit/infer", "application/json", bytes.NewReader(request))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err = io.ReadAll(response.Body); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, body
	}
	code, body := ask(files)
	var got struct{ Outputs []struct{ Data []float64 } }
	if err := json.Unmarshal(body, &got); err != nil || code != 200 || len(got.Outputs) != 1 || len(got.Outputs[0].Data) != 3*len(files) {
		t.Fatalf("%d %s (%v)", code, body, err)
	}
	for i := range files {
		checkProbabilities(t, got.Outputs[0].Data[3*i:3*i+3], logits[i])
	}
	if code, body := ask([][]byte{files[0], files[1][:50]}); code != 400 || !strings.Contains(string(body), "image 1: picture: ") {
		t.Errorf("a cut image: %d %s, want 400 that names it", code, body)
	}
	_, suggested, _ := strings.Cut(report.Try, " -d '")
	response, err := http.Post("http://"+report.Address+"/v2/models/vit/infer", "application/json", strings.NewReader(strings.TrimSuffix(suggested, "'")))
	if err != nil || response.StatusCode != 200 || response.Body.Close() != nil || !strings.Contains(suggested, `"image"`) {
		t.Errorf("the suggested %s: %v %v, want an answer to an image", report.Try, response, err)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the end: %v", err)
	}
}

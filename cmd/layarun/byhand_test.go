package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// testdata/byhand was made by its make.py with numpy 2.4 and safetensors 0.8: a bundle written from docs/format.md alone,
// and what numpy (float64) says its network answers. Tolerance: float32 against float64 in sums of a few dozen terms.
func TestBundleWrittenByHand(t *testing.T) {
	const tolerance = 1e-5
	var want []struct{ X, Probabilities, Alpha []float64 }
	text, err := os.ReadFile("testdata/byhand/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(t.TempDir(), "input.csv")
	rows := [][]string{{"a", "b", "c", "d"}}
	for _, w := range want {
		var row []string
		for _, v := range w.X {
			row = append(row, strconv.FormatFloat(v, 'g', -1, 64))
		}
		rows = append(rows, row)
	}
	var file bytes.Buffer
	if err := csv.NewWriter(&file).WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(input, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}

	var out, talk bytes.Buffer
	if code := run([]string{"predict", "testdata/byhand/bundle", input, "--json", "--explain", "--backend", "go"}, &out, &talk); code != 0 {
		t.Fatalf("predict: exit code %d: %s", code, talk.String())
	}
	var got struct {
		Answers []struct{ Probabilities, Alpha []float64 }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if len(got.Answers) != len(want) {
		t.Fatalf("%d answers, want %d", len(got.Answers), len(want))
	}
	for i, w := range want {
		for name, pair := range map[string][2][]float64{
			"probabilities": {got.Answers[i].Probabilities, w.Probabilities}, "alpha": {got.Answers[i].Alpha, w.Alpha},
		} {
			if len(pair[0]) != len(pair[1]) {
				t.Fatalf("sample %d: %d %s, want %d", i, len(pair[0]), name, len(pair[1]))
			}
			for k := range pair[1] {
				if d := math.Abs(pair[0][k] - pair[1][k]); !(d <= tolerance) {
					t.Errorf("sample %d, %s[%d]: %v, numpy says %v (differ by %g)", i, name, k, pair[0][k], pair[1][k], d)
				}
			}
		}
	}
}

package eval_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// noise is a valid table of random logits, the worst case for compression.
func noise(samples, exits, classes int) *exit.Table {
	rng := rand.New(rand.NewPCG(1, 2))
	t := &exit.Table{Bundle: "b-digest", Split: "s-digest"}
	for k := range exits {
		t.Exits, t.Reads, t.MACs = append(t.Exits, k), append(t.Reads, k), append(t.MACs, int64(1000*(k+1)))
		t.Plain = append(t.Plain, int64(1000*(k+1)-k))
	}
	for c := range classes {
		t.Classes = append(t.Classes, fmt.Sprintf("class %d, \"ü\"", c))
	}
	for range samples {
		logits := make([][]float32, exits)
		scores := make([]exit.Scores, exits)
		alpha := make([]float32, exits)
		for k := range logits {
			alpha[k] = rng.Float32()
			for range classes {
				logits[k] = append(logits[k], float32(4*rng.NormFloat64()))
			}
			scores[k] = exit.ScoresOf(logits[k])
		}
		t.Labels = append(t.Labels, rng.IntN(classes+1)-1)
		t.Logits, t.Scores, t.Alpha = append(t.Logits, logits), append(t.Scores, scores), append(t.Alpha, alpha)
	}
	return t
}

func write(t *testing.T, table *exit.Table) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scores.parquet")
	if err := eval.WriteTable(path, table); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTableComesBack(t *testing.T) {
	plain := noise(5, 2, 3)
	plain.Alpha, plain.Reads, plain.Plain = nil, nil, nil
	for name, table := range map[string]*exit.Table{"with alpha": noise(2500, 3, 4), "without": plain, "no samples": {
		Exits: []int{2}, Classes: []string{"a"}, MACs: []int64{1},
	}} {
		t.Run(name, func(t *testing.T) {
			got, err := eval.ReadTable(write(t, table))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, table) {
				t.Errorf("read %+v\nwant %+v", got, table)
			}
		})
	}
}

func TestTableKeepsLogitsThatAreNotFinite(t *testing.T) {
	table := noise(1, 2, 3)
	odd := []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Copysign(0, -1))}
	table.Logits[0][1], table.Scores[0][1] = odd, exit.ScoresOf(odd)
	got, err := eval.ReadTable(write(t, table))
	if err != nil {
		t.Fatal(err)
	}
	for c, want := range odd {
		if math.Float32bits(got.Logits[0][1][c]) != math.Float32bits(want) {
			t.Errorf("logit %d is %v, want %v", c, got.Logits[0][1][c], want)
		}
	}
}

// 10,000 samples x 10 exits x 10 classes are 5.7 MB raw: logits 4.0, scores 1.2, alpha 0.4. Tables of that size are kept
// under version control, so they must stay below 5 MB even where the numbers are noise.
func TestTableIsSmall(t *testing.T) {
	info, err := os.Stat(write(t, noise(10000, 10, 10)))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > 5_000_000 {
		t.Errorf("file has %d bytes, want at most 5 MB", info.Size())
	}
}

func TestWriteTableIsAtomic(t *testing.T) {
	path := write(t, noise(3, 2, 2))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := noise(3, 2, 2)
	bad.Labels[1] = 7
	if err := eval.WriteTable(path, bad); err == nil || !strings.Contains(err.Error(), "sample 1: label is 7") {
		t.Errorf("invalid table: error is %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused table changed the file (%v)", err)
	}
	if err := eval.WriteTable(path, noise(3, 2, 2)); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(path); !bytes.Equal(before, again) {
		t.Error("the same table gave another file")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files in the folder, want the table alone (%v)", len(entries), err)
	}
}

func TestReadTableRefusesDamage(t *testing.T) {
	path := write(t, noise(40, 2, 3))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		table, err := eval.ReadTable(path)
		if err == nil || !strings.Contains(err.Error(), "scores.parquet") {
			t.Errorf("%s: error is %v, want one that names the file", what, err)
		}
		if table != nil {
			t.Errorf("%s: a table came back", what)
		}
	}
	for n := 0; n < len(whole); n += 97 {
		refused(fmt.Sprintf("first %d bytes", n), whole[:n])
	}
	refused("another version", bytes.Replace(whole, []byte(`{"version":1`), []byte(`{"version":2`), 1))
	refused("another split", bytes.Replace(whole, []byte("s-digest"), []byte("t-digest"), 1))
	refused("text", []byte("label,score\n"))
	if _, err := eval.ReadTable(path + ".absent"); err == nil || !strings.Contains(err.Error(), "scores.parquet.absent") {
		t.Errorf("absent file: error is %v", err)
	}
}

// A flipped bit is refused, or changes nothing that is read: some bytes of the container are statistics or padding.
func FuzzReadTable(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.parquet")
	want := noise(3, 2, 2)
	if err := eval.WriteTable(path, want); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for at := 0; at < len(whole); at += 13 {
		f.Add(at, byte(1<<(at%8)))
	}
	f.Fuzz(func(t *testing.T, at int, flip byte) {
		data := bytes.Clone(whole)
		if at < 0 || at >= len(data) {
			return
		}
		data[at] ^= flip
		path := filepath.Join(t.TempDir(), "scores.parquet")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := eval.ReadTable(path); err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("byte %d xor %#x went unnoticed and changed the table", at, flip)
		}
	})
}

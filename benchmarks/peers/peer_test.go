package main

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// scripted is a peer whose process gives these answers, one line each, whatever it is asked, and sends the requests.
func scripted(t *testing.T, answers ...string) (*peer, <-chan string) {
	t.Helper()
	requests, in := io.Pipe()
	out, replies := io.Pipe()
	asked := make(chan string, len(answers))
	go func() {
		defer close(asked)
		defer replies.Close()
		lines := bufio.NewScanner(requests)
		for _, a := range answers {
			if !lines.Scan() {
				return
			}
			asked <- lines.Text()
			io.WriteString(replies, a)
		}
	}()
	p := &peer{name: "fake", in: in, out: bufio.NewReader(out), stop: func() error { return nil }}
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	return p, asked
}

func TestPeerIsAskedInJSONLines(t *testing.T) {
	p, asked := scripted(t,
		`{"versions": {"fake": "1.2"}}`+"\n",
		`{"logits": [[0.5, -1], [2, 3]]}`+"\n",
		`{"streams": [{"ms": [1, 2], "seconds": 0.003}, {"ms": [4], "seconds": 0.004}], "idle": 2, "idle_cpu": 0.25}`+"\n",
		`{"streams": [{"ms": [1, 2], "seconds": 0.003}, {"ms": [4], "seconds": 0.004}], "idle": 1, "idle_cpu": 0.5}`+"\n")
	if v, err := p.versions(); err != nil || v["fake"] != "1.2" {
		t.Errorf("versions %v, %v, want 1.2", v, err)
	}
	if l, err := p.logits(t.Context(), 2); err != nil || len(l) != 2 || !slices.Equal(l[1], []float32{2, 3}) {
		t.Errorf("logits %v, %v, want those of the answer", l, err)
	}
	for range 2 {
		streams, err := p.run(t.Context(), load{Batch: 8, Callers: 2, Threads: 1}, 300*time.Millisecond)
		if err != nil || len(streams) != 2 || streams[1].MS[0] != 4 || streams[0].Seconds != 0.003 {
			t.Errorf("streams %v, %v, want those of the answer", streams, err)
		}
	}
	if p.idle != 3 || p.idleCPU != 0.75 {
		t.Errorf("idle %v and %v s, want the sums 3 and 0.75", p.idle, p.idleCPU)
	}
	for _, want := range []string{`{"do":"versions"}`, `{"do":"logits","samples":2}`, `{"do":"time","batch":8,"callers":2,"threads":1,"seconds":0.3}`} {
		if got := <-asked; got != want {
			t.Errorf("asked %s, want %s", got, want)
		}
	}
}

func TestFaultsOfAPeer(t *testing.T) {
	for _, c := range []struct{ name, answer, want string }{
		{"its own error", `{"error": "MemoryError: no room"}` + "\n", "MemoryError: no room"},
		{"no JSON", "Segmentation fault\n", "invalid character"},
		{"its end", "", "no answer"},
		{"half a line", `{"streams": [`, "no answer"},
		{"too few callers", `{"streams": [{"ms": [1], "seconds": 1}]}` + "\n", "1 streams"},
		{"no calls", `{"streams": [{"ms": [1], "seconds": 1}, {"ms": [], "seconds": 1}]}` + "\n", "stream 1 has 0 calls"},
		{"no time", `{"streams": [{"ms": [1], "seconds": 0}, {"ms": [1], "seconds": 1}]}` + "\n", "stream 0 has 1 calls in 0 s"},
	} {
		p, _ := scripted(t, c.answer)
		if _, err := p.run(t.Context(), load{Batch: 1, Callers: 2, Threads: 1}, time.Second); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "fake") {
			t.Errorf("%s: error %v, want one with the peer's name and %q", c.name, err, c.want)
		}
	}
}

func TestPassesAreWhole(t *testing.T) {
	l := load{Batch: 8, Callers: 2, Threads: 1, Pass: 16}
	for _, c := range []struct {
		calls [2]int
		want  string
	}{{[2]int{2, 0}, ""}, {[2]int{3, 1}, ""}, {[2]int{2, 1}, "24 samples"}, {[2]int{0, 0}, "0 samples"}} {
		err := check([]stream{{MS: make([]float64, c.calls[0])}, {MS: make([]float64, c.calls[1])}}, l)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("callers with %v calls: error %v, want %q", c.calls, err, c.want)
		}
	}
}

func TestAPeerThatCannotStart(t *testing.T) {
	if _, err := startPeer(t.Context(), "torch", t.TempDir()+"/python"); err == nil || !strings.Contains(err.Error(), "torch") {
		t.Errorf("error %v, want one that names the peer", err)
	}
}

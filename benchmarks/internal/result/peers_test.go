package result_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/eval"
)

// comparison is layarun at 10 ms and 800 samples/s beside a peer at 12 ms and 1000.
func comparison() *result.Peers {
	flat := func(v float64) eval.Spread { return eval.Spread{N: 7, Q1: v, Median: v, Q3: v} }
	return &result.Peers{Schema: result.PeersSchema, Networks: []result.PeerNetwork{{
		Name: "net", About: "a network", Samples: "random", Threads: 2, Rounds: 7, TurnSeconds: 0.3, Environment: result.Environment{Backend: "xla:cpu"},
		Runtimes: []result.PeerRuntime{
			{Name: "layarun", Latency: []result.PeerLatency{{Batch: 8, MS: flat(10), Speed: flat(1)}},
				Throughput: result.PeerThroughput{Batch: 16, Callers: 4, PerSecond: flat(800), Speed: flat(1)}},
			{Name: "openvino", Versions: map[string]string{"openvino": "2026.4.1-22982"}, Difference: 2e-6,
				Latency:    []result.PeerLatency{{Batch: 8, MS: flat(12), Speed: flat(1.2)}},
				Throughput: result.PeerThroughput{Batch: 64, Callers: 1, PerSecond: flat(1000), Speed: flat(0.8)}},
		},
	}}}
}

// collected reads a folder in which that is the only result.
func collected(t *testing.T, p *result.Peers) (*result.Collection, error) {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := result.SaveJSON(result.Path(folder, "peers"), p); err != nil {
		t.Fatal(err)
	}
	return result.Collect(folder)
}

func TestPeersSection(t *testing.T) {
	c, err := collected(t, comparison())
	if err != nil {
		t.Fatal(err)
	}
	text := c.Markdown()
	for _, want := range []string{
		"## Full-depth speed beside the peers",
		"| layarun | 10.00 (10.00–10.00) |  | 800 (800–800) |  | batch 16, 4 callers |",
		"| OpenVINO 2026.4.1 | 12.00 (12.00–12.00) | 1.20 (1.20–1.20)× | 1000 (1000–1000) | 0.80 (0.80–0.80)× | batch 64, 1 caller |",
		"logits at most 2e-06 apart",
		"backend xla:cpu, commit : peers (net)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestFaultyPeersAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(p *result.Peers){
		"no networks":   func(p *result.Peers) { p.Networks = nil },
		"other first":   func(p *result.Peers) { p.Networks[0].Runtimes[0].Name = "torch" },
		"no runtimes":   func(p *result.Peers) { p.Networks[0].Runtimes = nil },
		"other batches": func(p *result.Peers) { p.Networks[0].Runtimes[1].Latency[0].Batch = 9 },
	} {
		p := comparison()
		spoil(p)
		if _, err := collected(t, p); err == nil || !strings.Contains(err.Error(), "peers.json") {
			t.Errorf("%s: error %v, want one that names the file", name, err)
		}
	}
	if _, err := result.LoadPeers(filepath.Join(t.TempDir(), "peers.json")); !os.IsNotExist(err) {
		t.Errorf("error %v of a missing file, want that it does not exist", err)
	}
}

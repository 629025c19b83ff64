package result_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// withExits is the same with a policy under which layarun takes 4 ms and answers 2000 samples/s; the peer is ONNX Runtime.
func withExits() *result.Peers {
	flat := func(v float64) eval.Spread { return eval.Spread{N: 7, Q1: v, Median: v, Q3: v} }
	p := comparison()
	n := &p.Networks[0]
	n.Pass, n.Policy, n.Eps, n.FullAccuracy, n.PolicyAccuracy = 512, "half a point", 0.005, 0.9612, 0.9587
	exits := result.PeerRuntime{Name: result.OwnWithExits, Latency: []result.PeerLatency{{Batch: 8, MS: flat(4), Speed: flat(0.4), ExitsSpeed: flat(1)}},
		Throughput: result.PeerThroughput{Batch: 32, Callers: 4, PerSecond: flat(2000), Speed: flat(0.4), ExitsSpeed: flat(1)}}
	own, peer := n.Runtimes[0], n.Runtimes[1]
	own.Latency[0].ExitsSpeed, own.Throughput.ExitsSpeed = flat(2.5), flat(2.5)
	peer.Name, peer.Versions = "onnxruntime", map[string]string{"onnxruntime": "1.32.0"}
	peer.Latency[0].ExitsSpeed, peer.Throughput.ExitsSpeed = flat(3), flat(2)
	n.Runtimes = []result.PeerRuntime{own, exits, peer}
	return p
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

func TestPeersWithExits(t *testing.T) {
	c, err := collected(t, withExits())
	if err != nil {
		t.Fatal(err)
	}
	text := c.Markdown()
	for _, want := range []string{
		"| runtime | batch 8, ms | layarun | with exits | samples/s | layarun | with exits | best load |",
		"| layarun | 10.00 (10.00–10.00) |  | 2.50 (2.50–2.50)× | 800 (800–800) |  | 2.50 (2.50–2.50)× | batch 16, 4 callers |",
		"| layarun with exits | 4.00 (4.00–4.00) | 0.40 (0.40–0.40)× |  | 2000 (2000–2000) | 0.40 (0.40–0.40)× |  | batch 32, 4 callers |",
		"| ONNX Runtime 1.32.0 | 12.00 (12.00–12.00) | 1.20 (1.20–1.20)× | 3.00 (3.00–3.00)× | 1000 (1000–1000) | 0.80 (0.80–0.80)× | 2.00 (2.00–2.00)× | batch 64, 1 caller |",
		"under the policy half a point, certified to lose less than 0.5 points",
		"\n" + c.Peers.Networks[0].Headline() + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// The README shows the same: both runtimes at full depth, and what exits make of it at which accuracy.
func TestTextHeadline(t *testing.T) {
	c, err := collected(t, withExits())
	if err != nil {
		t.Fatal(err)
	}
	const frame = "<!-- table:headline -->\n%s<!-- /table:headline -->"
	readme, err := c.InsertHeadline(fmt.Sprintf(frame, ""))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(frame, "| MiniLM of six blocks, test split | accuracy, full depth | ONNX Runtime 1.32.0, texts/s | layarun, full depth | ratio | "+
		"accuracy with exits, certified ≤ 0.5 points | layarun with exits | ratio |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"+
		"| net | 96.12 % | 1000 | 800 | 0.80 (0.80–0.80)× | 95.87 % | 2000 | 2.00 (2.00–2.00)× |\n")
	if readme != want {
		t.Errorf("README has\n%s\nwant\n%s", readme, want)
	}
}

func TestPeersHeadline(t *testing.T) {
	const want = "net, 2 threads, same weights: 2000 requests/s in layarun with certified exits (accuracy 95.87 %), " +
		"1000 in ONNX Runtime 1.32.0 at full depth (96.12 %), 2.00 (2.00–2.00) times as many."
	p := withExits()
	if got := p.Networks[0].Headline(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.Networks[0].Runtimes = p.Networks[0].Runtimes[:2]
	if got := p.Networks[0].Headline() + comparison().Networks[0].Headline(); got != "" {
		t.Errorf("%q without ONNX Runtime or without exits, want nothing", got)
	}
}

func TestExitsAreLeftOutWhereThereAreNone(t *testing.T) {
	text, err := json.Marshal(comparison())
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"exits_speed", "policy", "eps", "accuracy", "pass"} {
		if strings.Contains(string(text), field) {
			t.Errorf("%s is in %s", field, text)
		}
	}
}

func TestAccuraciesOfPeersAreVerified(t *testing.T) {
	experiment := func() *result.Result {
		return &result.Result{Runs: []result.Run{{Seed: 3, Figures: result.Figures{
			Forced:    []result.Forced{{Accuracy: 0.5}, {Accuracy: 0.9612}},
			Certified: []result.Certified{{Exits: result.OnlyDepth0, Eps: 0.005}, {Exits: result.AllExits, Eps: 0.005, Leaving: result.Leaving{Accuracy: 0.9587}}},
		}}}}
	}
	for _, c := range []struct {
		name, network, want string
		spoil               func(f *result.Figures)
	}{
		{"as it should be", "exp-3", "", func(*result.Figures) {}},
		{"other seed", "exp-1", "no result", func(*result.Figures) {}},
		{"other full depth", "exp-3", "not those", func(f *result.Figures) { f.Forced[1].Accuracy = 0.9613 }},
		{"other policy", "exp-3", "not those", func(f *result.Figures) { f.Certified[1].Accuracy = 0.9586 }},
		{"no policy", "exp-3", "not those", func(f *result.Figures) { f.Certified = f.Certified[:1] }},
	} {
		r, p := experiment(), withExits()
		p.Networks[0].Name = c.network
		c.spoil(&r.Runs[0].Figures)
		said := ""
		// There are no score tables here: their fault comes first, and the same for all.
		err := (&result.Collection{Results: map[string]*result.Result{"exp": r}, Peers: p}).Verify(t.TempDir(), func(format string, args ...any) { said += fmt.Sprintf(format, args...) })
		if c.want == "" && !strings.Contains(said, "peers, exp-3: the accuracies") || c.want != "" && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: said %q, error %v, want one with %q", c.name, said, err, c.want)
		}
	}
}

func TestFaultyExitsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(n *result.PeerNetwork){
		"no row with exits":   func(n *result.PeerNetwork) { n.Runtimes = slices.Delete(n.Runtimes, 1, 2) },
		"no policy":           func(n *result.PeerNetwork) { n.Policy = "" },
		"no speed in a call":  func(n *result.PeerNetwork) { n.Runtimes[2].Latency[0].ExitsSpeed = eval.Spread{} },
		"no speed in a queue": func(n *result.PeerNetwork) { n.Runtimes[0].Throughput.ExitsSpeed = eval.Spread{} },
	} {
		p := withExits()
		spoil(&p.Networks[0])
		if _, err := collected(t, p); err == nil || !strings.Contains(err.Error(), "peers.json") {
			t.Errorf("%s: error %v, want one that names the file", name, err)
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

package result

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/internal/strict"
)

// Peers is layarun's speed at full depth beside other runtimes with the same weights. It lies in results/peers.json and all
// of it is measured.
type Peers struct {
	Schema   string        `json:"schema"`
	Networks []PeerNetwork `json:"networks"`
}

// PeersSchema is the version of results/peers.json.
const PeersSchema = "layarun.peers/1"

// PeerNetwork is one comparison. The runtimes took turns.
type PeerNetwork struct {
	Name        string        `json:"name"`
	About       string        `json:"about"`
	Samples     string        `json:"samples"` // where they are from
	Environment Environment   `json:"environment"`
	Threads     int           `json:"threads"` // of every runtime
	Rounds      int           `json:"rounds"`
	TurnSeconds float64       `json:"turn_seconds"`
	Runtimes    []PeerRuntime `json:"runtimes"` // layarun first
}

// PeerRuntime is the speed of one runtime.
type PeerRuntime struct {
	Name       string            `json:"name"`
	Versions   map[string]string `json:"versions,omitempty"`
	Difference float64           `json:"max_logit_difference"` // from layarun's
	Idle       float64           `json:"idle_cores"`           // it took while others had their turn
	Latency    []PeerLatency     `json:"latency"`
	Throughput PeerThroughput    `json:"throughput"`
}

// PeerLatency is the time of one call at a time.
type PeerLatency struct {
	Batch int         `json:"batch"`
	MS    eval.Spread `json:"ms"`            // of a call; over the rounds, each the median of a turn
	Speed eval.Spread `json:"layarun_speed"` // layarun's speed ÷ this runtime's, round by round
}

// PeerThroughput is what a runtime can do under the load that suits it best.
type PeerThroughput struct {
	Batch     int         `json:"batch"`
	Callers   int         `json:"callers"`
	Threads   int         `json:"threads"` // of one call
	PerSecond eval.Spread `json:"samples_per_second"`
	Speed     eval.Spread `json:"layarun_speed"` // as in PeerLatency
}

// LoadPeers reads results/peers.json. Unknown fields and other versions are errors.
func LoadPeers(path string) (*Peers, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var p Peers
	if err := strict.Decode(text, &p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if p.Schema != PeersSchema {
		return nil, fmt.Errorf("%s: schema is %q, want %q", path, p.Schema, PeersSchema)
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &p, nil
}

// validate checks that every network makes a table: layarun comes first, and all runtimes have the same batches.
func (p *Peers) validate() error {
	for _, n := range p.Networks {
		if len(n.Runtimes) == 0 || n.Runtimes[0].Name != "layarun" {
			return fmt.Errorf("network %q: the first runtime is not layarun", n.Name)
		}
		for _, r := range n.Runtimes {
			if !slices.EqualFunc(r.Latency, n.Runtimes[0].Latency, func(a, b PeerLatency) bool { return a.Batch == b.Batch }) {
				return fmt.Errorf("network %q: %s was timed with other batches than layarun", n.Name, r.Name)
			}
		}
	}
	if len(p.Networks) == 0 {
		return errors.New("networks is empty, want at least one")
	}
	return nil
}

// titles of the runtimes in tables.
var titles = map[string]string{"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}

// peersSection is layarun beside its peers; "" if that was not measured.
func (c *Collection) peersSection() string {
	if c.Peers == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(`## Full-depth speed beside the peers

Exits off: all blocks and the last answer, the same weights and samples in every runtime, float32. "layarun" beside a figure
is layarun's speed ÷ that runtime's, round by round: above 1, layarun is faster. Median and quartiles over the rounds. A call's
time is that of one call at a time; throughput is that of the load which suits the runtime best.
`)
	for _, n := range c.Peers.Networks {
		b.WriteString("\n" + n.markdown())
	}
	return b.String()
}

func (n PeerNetwork) markdown() string {
	headers := []string{"runtime"}
	for _, l := range n.Runtimes[0].Latency {
		headers = append(headers, fmt.Sprintf("batch %d, ms", l.Batch), "layarun")
	}
	headers = append(headers, "samples/s", "layarun", "best load")
	var rows [][]string
	largest := 0.0
	for i, r := range n.Runtimes {
		speed := func(s eval.Spread) string {
			if i == 0 {
				return ""
			}
			return median("%.2f", s) + "×"
		}
		row := []string{r.title()}
		for _, l := range r.Latency {
			row = append(row, median("%.2f", l.MS), speed(l.Speed))
		}
		t := r.Throughput
		rows = append(rows, append(row, median("%.0f", t.PerSecond), speed(t.Speed), fmt.Sprintf("batch %d, %s", t.Batch, callers(t.Callers))))
		largest = max(largest, r.Difference)
	}
	return fmt.Sprintf("%s: %s. Samples: %s. %d threads, %d rounds of turns of %g s; logits at most %.1g apart.\n\n",
		n.Name, n.About, n.Samples, n.Threads, n.Rounds, n.TurnSeconds, largest) + grid(headers, rows)
}

// title is the runtime's name and version.
func (r PeerRuntime) title() string {
	if title, known := titles[r.Name]; known {
		version, _, _ := strings.Cut(r.Versions[r.Name], "-") // OpenVINO's goes on with its build
		return title + " " + version
	}
	return r.Name
}

func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

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

// Peers is layarun's speed at full depth, and with exits where a policy is certified, beside other runtimes with the same
// weights at full depth. It lies in results/peers.json and all of it but the accuracies is measured.
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
	Runtimes    []PeerRuntime `json:"runtimes"` // Own first, and then OwnWithExits where there is a policy
	// What follows is there only for networks with exits. Turns are whole passes over Pass samples.
	Pass   int     `json:"pass,omitempty"`
	Policy string  `json:"policy,omitempty"` // its name
	Eps    float64 `json:"eps,omitempty"`    // the accuracy drop it is certified for
	// Accuracies on the whole test split, as the result of the network's experiment has them.
	FullAccuracy   float64 `json:"full_accuracy,omitempty"`
	PolicyAccuracy float64 `json:"policy_accuracy,omitempty"`
}

// The names of layarun's own rows.
const (
	Own          = "layarun"
	OwnWithExits = "layarun with exits"
)

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
	MS    eval.Spread `json:"ms"`            // of a call; over the rounds, each the median of a turn, or the mean of passes
	Speed eval.Spread `json:"layarun_speed"` // layarun's speed ÷ this runtime's, round by round
	// ExitsSpeed is the same of layarun with exits, where there are any.
	ExitsSpeed eval.Spread `json:"exits_speed,omitzero"`
}

// PeerThroughput is what a runtime can do under the load that suits it best.
type PeerThroughput struct {
	Batch     int         `json:"batch"`
	Callers   int         `json:"callers"`
	Threads   int         `json:"threads"` // of one call
	PerSecond eval.Spread `json:"samples_per_second"`
	Speed     eval.Spread `json:"layarun_speed"` // as in PeerLatency
	// ExitsSpeed is as in PeerLatency.
	ExitsSpeed eval.Spread `json:"exits_speed,omitzero"`
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
		if len(n.Runtimes) == 0 || n.Runtimes[0].Name != Own {
			return fmt.Errorf("network %q: the first runtime is not %s", n.Name, Own)
		}
		if n.Policy != "" && (len(n.Runtimes) < 2 || n.Runtimes[1].Name != OwnWithExits) {
			return fmt.Errorf("network %q: the second runtime is not %s", n.Name, OwnWithExits)
		}
		for _, r := range n.Runtimes {
			if !r.hasExits(n.Policy != "") {
				return fmt.Errorf("network %q, policy %q: %s has exits_speed with the one and not with the other", n.Name, n.Policy, r.Name)
			}
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

// hasExits is whether all speeds of layarun with exits are there, or none.
func (r PeerRuntime) hasExits(want bool) bool {
	if (r.Throughput.ExitsSpeed.N > 0) != want {
		return false
	}
	return !slices.ContainsFunc(r.Latency, func(l PeerLatency) bool { return (l.ExitsSpeed.N > 0) != want })
}

// IsOwn is whether it is layarun, with or without exits.
func (r PeerRuntime) IsOwn() bool { return r.Name == Own || r.Name == OwnWithExits }

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
	ratios := []string{Own}
	if n.Policy != "" {
		ratios = append(ratios, "with exits")
	}
	headers := []string{"runtime"}
	for _, l := range n.Runtimes[0].Latency {
		headers = append(append(headers, fmt.Sprintf("batch %d, ms", l.Batch)), ratios...)
	}
	headers = append(append(append(headers, "samples/s"), ratios...), "best load")
	var rows [][]string
	largest := 0.0
	for i, r := range n.Runtimes {
		speeds := func(all ...eval.Spread) (cells []string) {
			for k, s := range all[:len(ratios)] {
				if i == k { // beside itself
					cells = append(cells, "")
				} else {
					cells = append(cells, median("%.2f", s)+"×")
				}
			}
			return cells
		}
		row := []string{r.title()}
		for _, l := range r.Latency {
			row = append(append(row, median("%.2f", l.MS)), speeds(l.Speed, l.ExitsSpeed)...)
		}
		t := r.Throughput
		row = append(append(row, median("%.0f", t.PerSecond)), speeds(t.Speed, t.ExitsSpeed)...)
		rows = append(rows, append(row, fmt.Sprintf("batch %d, %s", t.Batch, callers(t.Callers))))
		largest = max(largest, r.Difference)
	}
	return fmt.Sprintf("%s: %s. Samples: %s. %d threads, %d rounds of turns of %g s; logits at most %.1g apart.%s\n\n%s",
		n.Name, n.About, n.Samples, n.Threads, n.Rounds, n.TurnSeconds, largest, n.exits(), grid(headers, rows)) + paragraph(n.Headline())
}

// exits says what "with exits" is; "" without.
func (n PeerNetwork) exits() string {
	if n.Policy == "" {
		return ""
	}
	return fmt.Sprintf(`
"With exits" is the same for layarun under the policy %s, certified to lose less than %g points: accuracy on the test
split %s at full depth, %s with exits. A turn goes on to the end of a pass over the samples; a call's time is the mean of
a turn. The batches of the peers are padded to their longest text.`, n.Policy, 100*n.Eps, inPercent(n.FullAccuracy), inPercent(n.PolicyAccuracy))
}

// Headline is layarun with certified exits beside ONNX Runtime at full depth, in a sentence; "" where one of them is not there.
func (n PeerNetwork) Headline() string {
	reference, ok := n.reference()
	if !ok {
		return ""
	}
	own, peer := n.Runtimes[1].Throughput, reference.Throughput
	return fmt.Sprintf("%s, %d threads, same weights: %.0f requests/s in layarun with certified exits (accuracy %s), %.0f in %s at full depth (%s), %s times as many.",
		n.Name, n.Threads, own.PerSecond.Median, inPercent(n.PolicyAccuracy), peer.PerSecond.Median, reference.title(), inPercent(n.FullAccuracy), median("%.2f", peer.ExitsSpeed))
}

// reference is ONNX Runtime, which exits are compared with; false where it or they are not there.
func (n PeerNetwork) reference() (PeerRuntime, bool) {
	i := slices.IndexFunc(n.Runtimes, func(r PeerRuntime) bool { return r.Name == "onnxruntime" })
	if n.Policy == "" || i < 0 {
		return PeerRuntime{}, false
	}
	return n.Runtimes[i], true
}

func inPercent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// paragraph stands apart from what comes before; "" stays so.
func paragraph(text string) string {
	if text == "" {
		return ""
	}
	return "\n" + text + "\n"
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

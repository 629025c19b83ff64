package eval

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/exit"
)

// Measure times the rows of the report, all but the oracles, and writes down how. inputs are the same samples for each of
// its networks. Without a number of samples it times as many of them as the full network answers one by one in half a
// second, between 64 and 256: a table then takes seconds to minutes.
func (r *Report) Measure(ctx context.Context, inputs []*Inputs, o LatencyOptions) error {
	var candidates []Candidate
	var timed []*Row
	for i := range r.Rows {
		row := &r.Rows[i]
		q := layarun.Request{Policy: exit.Full().Name}
		switch row.Kind {
		case ForcedDepth:
			q.MaxExit = &row.Depth
		case ByPolicy:
			q.Policy = row.Policy
		case Oracle, AgreeingOracle:
			continue
		}
		timed = append(timed, row)
		candidates = append(candidates, inputs[row.Network].Candidate(r.label(*row), q))
	}
	available := inputs[0].Len()
	if o.Samples == 0 && available > 0 {
		var err error
		if o.Samples, err = fit(ctx, candidates[0], available); err != nil {
			return err
		}
	}
	o.Samples = min(o.Samples, available)
	timings, err := Latency(ctx, candidates, o)
	if err != nil {
		return err
	}
	for i, row := range timed {
		row.Latency = timings[i]
	}
	r.Samples, r.Repetitions = o.Samples, o.Repetitions
	return nil
}

// Draw is a random subset of at most n samples: the distribution of the set at a size that can be timed.
func Draw(set *dataset.Set, n int, seed uint64) *dataset.Set {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(set.Len())
	return set.Subset(order[:min(n, len(order))])
}

// Machine is where and with what a report was made.
type Machine struct {
	CPU    string `json:"cpu"`   // model, as the system names it
	Cores  int    `json:"cores"` // that this process may use
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Go     string `json:"go"`
	Commit string `json:"commit,omitempty"` // of this program; "+" marks a build with changes that are not committed
}

// ThisMachine describes the machine that runs.
func ThisMachine(commit string) Machine {
	return Machine{CPU: cpuModel(), Cores: runtime.GOMAXPROCS(0), OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), Commit: commit}
}

// With says on one line what ran where.
func (m Machine) With(backend string) string {
	where := fmt.Sprintf("%s, %d cores, %s/%s, backend %s, %s", m.CPU, m.Cores, m.OS, m.Arch, backend, m.Go)
	if m.Commit != "" {
		where += fmt.Sprintf(", commit %.13s", m.Commit)
	}
	return where
}

// cpuModel is what Linux says of the first processor; elsewhere it is not known without asking another program.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

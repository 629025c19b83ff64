package result

import "github.com/layarun/layarun/eval"

// Latency is the wall-clock time of one way through the network. The full network and the certified policies took turns,
// see [eval.Latency].
type Latency struct {
	Eps     float64       `json:"eps"` // target of the certified policy, with all exits; 0 is the full network with exits off
	Timings []eval.Timing `json:"timings"`
}

// Footprint is what the program itself takes. It lies in results/footprint.json and all of it is measured.
type Footprint struct {
	Schema      string      `json:"schema"`
	Environment Environment `json:"environment"`
	Binary      int64       `json:"binary_bytes"`
	// Starts are runs of predict on one sample, in a process of their own.
	Starts      []Start     `json:"starts"`
	Executables Executables `json:"executables"`
}

// FootprintSchema is the version of results/footprint.json.
const FootprintSchema = "layarun.footprint/1"

// Start is how long a process takes from its start to its end, with one answer printed on the way.
type Start struct {
	Name    string      `json:"name"` // of the bundle
	Backend string      `json:"backend"`
	Weights int64       `json:"weights_bytes"`
	Millis  eval.Spread `json:"ms"`
	Peak    eval.Spread `json:"peak_rss_bytes"`
}

// Executables is how many executables serving a network compiles.
type Executables struct {
	Network string  `json:"network"`
	Buckets []int   `json:"buckets"`
	Lengths []int   `json:"lengths"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"` // to compile all of them
}

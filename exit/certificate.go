package exit

// Risks that a certificate can bound.
const (
	// AccuracyDrop is E (1{y_full = y} - 1{y_exit = y}): the points of accuracy that early exits cost. Needs labels.
	AccuracyDrop = "accuracy drop"
	// Consistency is E 1{y_exit != y_full}: how often the answer changes. Needs no labels and bounds the accuracy drop.
	Consistency = "consistency"
)

// Certificate is what one walk along a path on the calibration split established. It holds for the weights, plan, path
// and split it names and for nothing else.
type Certificate struct {
	Risk   string  `json:"risk"`   // AccuracyDrop or Consistency
	Eps    float64 `json:"eps"`    // the risk is below eps …
	Delta  float64 `json:"delta"`  // … with probability at least 1 - delta over the draw of the calibration split
	N      int     `json:"n"`      // calibration samples
	Step   int     `json:"step"`   // the last passing policy of the path, 0 = never exit
	Bound  float64 `json:"bound"`  // upper confidence bound on the risk at that step, at level delta; 0 at step 0
	Bundle string  `json:"bundle"` // digest of weights and plan
	Path   string  `json:"path"`   // digest of the path of policies
	Split  string  `json:"split"`  // digest of the calibration samples
}

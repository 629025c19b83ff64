package exit

// Certificate is what one walk along a path on the calibration split established. It holds for the weights, plan, path
// and split it names and for nothing else.
type Certificate struct {
	Risk   string  `json:"risk"`   // "accuracy drop" or "consistency"
	Eps    float64 `json:"eps"`    // the risk is below eps …
	Delta  float64 `json:"delta"`  // … with probability at least 1 - delta over the draw of the calibration split
	N      int     `json:"n"`      // calibration samples
	Step   int     `json:"step"`   // the last passing policy of the path, 0 = never exit
	Bound  float64 `json:"bound"`  // upper confidence bound on the risk at that step; for consistency the p-value's Clopper-Pearson bound
	Bundle string  `json:"bundle"` // digest of weights and plan
	Path   string  `json:"path"`   // digest of the path of policies
	Split  string  `json:"split"`  // digest of the calibration samples
}

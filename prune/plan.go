package prune

// Plan says which blocks and head branches of a network stay, and why: a plain value, saved as JSON.
type Plan struct {
	// Keep are the kept blocks of the original network, ascending, 1-based.
	Keep []int `json:"keep"`
	// Reads are the depths of the original network whose head branches stay, ascending.
	Reads []int `json:"reads"`
	// Threshold is the attention score below which a layer was a candidate.
	Threshold float64 `json:"threshold"`
	// Steps tell what was tried in order, and what each cost on the validation split.
	Steps []Step `json:"steps"`
	// Bundle is the digest of the network the plan was made for.
	Bundle string `json:"bundle"`
}

// Step is one candidate removal and the measurement that accepted or refused it.
type Step struct {
	What     string  `json:"what"` // "suffix after block 5", "block 3", "branch 2"
	Score    float64 `json:"score"`
	Accuracy float64 `json:"accuracy"` // on validation after the removal
	Drop     float64 `json:"drop"`     // against the unpruned network, paired
	Accepted bool    `json:"accepted"`
	Reason   string  `json:"reason"`
}

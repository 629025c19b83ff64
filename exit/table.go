package exit

// Table is the score table of one network on one split: what every exit answered for every sample. Certificates, gates,
// curves and most reports are computed from it without the weights. Outer index: sample; next: exit, in the order of
// Exits.
type Table struct {
	// Bundle is the digest of the weights and plan that made the table, Split the digest of the samples.
	Bundle string
	Split  string
	// Exits are the depths of the exits, ascending; the last is the network's depth.
	Exits []int
	// Reads are the depths the head attends to; nil if it has no attention.
	Reads   []int
	Classes []string
	Labels  []int         // true class, or -1 where unknown
	Logits  [][][]float32 // [sample][exit][class]
	Scores  [][]Scores    // [sample][exit]
	Alpha   [][]float32   // [sample][read]: attention of the full-depth answer; nil without attention
	MACs    []int64       // cumulative cost of leaving at each exit, heads evaluated on the way included; mean over the samples where lengths differ
}

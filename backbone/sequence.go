package backbone

// Sequence is a backbone whose input is a row of ids of varying length. Whoever makes a batch fills short rows with
// Padding, which changes no answer.
type Sequence interface {
	Backbone
	Padding() int32
}

// Padding implements [Sequence].
func (e *Encoder) Padding() int32 { return int32(e.PadID) }

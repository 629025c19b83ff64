package exit

import "fmt"

// Restrict is the table of the same network with fewer exits: those for which keep is true, and the last. The head still
// reads every depth; what goes is the cost of answering at the exits that are gone.
func (t *Table) Restrict(keep func(depth int) bool) (*Table, error) {
	if len(t.Plain) != len(t.MACs) {
		return nil, fmt.Errorf("exit: table of bundle %.12s has no plain MACs, so the cost of one exit is not known", t.Bundle)
	}
	r := *t
	r.Exits, r.MACs, r.Plain = nil, nil, nil
	var kept []int
	var saved int64 // by the exits dropped so far
	for k, depth := range t.Exits {
		if last := k == len(t.Exits)-1; !last && !keep(depth) {
			saved += t.answerMACs(k)
			continue
		}
		kept = append(kept, k)
		r.Exits, r.MACs, r.Plain = append(r.Exits, depth), append(r.MACs, t.MACs[k]-saved), append(r.Plain, t.Plain[k])
	}
	r.Logits, r.Scores = pick(t.Logits, kept), pick(t.Scores, kept)
	return &r, r.Validate()
}

// answerMACs is what answering at exit k costs those who go on: the part of MACs - Plain that later exits have and k has
// not. k is not the last.
func (t *Table) answerMACs(k int) int64 {
	return (t.MACs[k+1] - t.Plain[k+1]) - (t.MACs[k] - t.Plain[k])
}

// pick takes columns of rows.
func pick[T any](rows [][]T, columns []int) [][]T {
	out := make([][]T, len(rows))
	for i, row := range rows {
		out[i] = make([]T, len(columns))
		for j, c := range columns {
			out[i][j] = row[c]
		}
	}
	return out
}

package eval

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/layarun/layarun/exit"
)

// flatten turns a valid table into rows.
func flatten(t *exit.Table) []row {
	rows := make([]row, len(t.Labels))
	for i := range rows {
		rows[i] = row{Label: int32(t.Labels[i]), Logits: slices.Concat(t.Logits[i]...)}
		for _, s := range t.Scores[i] {
			rows[i].Scores = append(rows[i].Scores, s[:]...)
		}
		if t.Alpha != nil {
			rows[i].Alpha = t.Alpha[i]
		}
	}
	return rows
}

// unflatten is the inverse of flatten; the result is valid.
func unflatten(h header, rows []row) (*exit.Table, error) {
	t := &exit.Table{
		Bundle: h.Bundle, Split: h.Split, Exits: h.Exits, Reads: h.Reads, Classes: h.Classes, MACs: h.MACs, Plain: h.Plain,
	}
	exits, classes, gates := len(h.Exits), len(h.Classes), len(exit.Gates)
	for i, r := range rows {
		if len(r.Logits) != exits*classes || len(r.Scores) != exits*gates {
			return nil, fmt.Errorf("row %d: %d logits and %d scores, want %d and %d", i, len(r.Logits), len(r.Scores), exits*classes, exits*gates)
		}
		logits := make([][]float32, exits)
		scores := make([]exit.Scores, exits)
		for k := range exits {
			logits[k] = r.Logits[k*classes : (k+1)*classes : (k+1)*classes]
			scores[k] = exit.Scores(r.Scores[k*gates:])
		}
		t.Labels = append(t.Labels, int(r.Label))
		t.Logits = append(t.Logits, logits)
		t.Scores = append(t.Scores, scores)
		if h.Alpha {
			t.Alpha = append(t.Alpha, r.Alpha)
		}
	}
	return t, t.Validate()
}

// digest is the hex sha256 of the header's JSON with an empty digest, then of every row: label as little-endian int32, and
// logits, scores and alpha each as a little-endian uint32 count and its float32 values.
func digest(h header, rows []row) (string, error) {
	h.Digest = ""
	text, err := json.Marshal(h)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	sum.Write(text)
	var buf []byte
	for _, r := range rows {
		buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(r.Label))
		for _, values := range [][]float32{r.Logits, r.Scores, r.Alpha} {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(len(values)))
			if buf, err = binary.Append(buf, binary.LittleEndian, values); err != nil {
				return "", err
			}
		}
		sum.Write(buf)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

package eval

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// Spearman is the rank correlation of a and b, with mid-ranks where values tie.
func Spearman(a, b []float64) (float64, error) {
	if err := sameLength("Spearman", len(a), len(b)); err != nil {
		return 0, err
	}
	for name, x := range map[string][]float64{"first": a, "second": b} {
		if i := slices.IndexFunc(x, math.IsNaN); i >= 0 {
			return 0, fmt.Errorf("eval: Spearman: %s list: value %d is NaN", name, i)
		}
		if slices.Min(x) == slices.Max(x) {
			return 0, fmt.Errorf("eval: Spearman: %s list is constant (%v), its ranks say nothing", name, x[0])
		}
	}
	return stat.Correlation(midRanks(a), midRanks(b), nil), nil
}

// AUROC is the probability that a positive sample scores higher than a negative one, ties counting half.
func AUROC(scores []float64, positive []bool) (float64, error) {
	if err := sameLength("AUROC", len(scores), len(positive)); err != nil {
		return 0, err
	}
	if i := slices.IndexFunc(scores, math.IsNaN); i >= 0 {
		return 0, fmt.Errorf("eval: AUROC: score %d is NaN", i)
	}
	var sum, n float64
	for i, r := range midRanks(scores) {
		if positive[i] {
			sum += r
			n++
		}
	}
	others := float64(len(scores)) - n
	if n == 0 || others == 0 {
		return 0, fmt.Errorf("eval: AUROC: %g positive and %g negative samples, want some of each", n, others)
	}
	return (sum - n*(n+1)/2) / (n * others), nil
}

// midRanks are the ranks from 1 up; tied values share the mean of their ranks.
func midRanks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		switch {
		case x[i] < x[j]:
			return -1
		case x[i] > x[j]:
			return 1
		}
		return 0
	})
	ranks := make([]float64, len(x))
	for start := 0; start < len(order); {
		end := start + 1
		for end < len(order) && x[order[end]] == x[order[start]] {
			end++
		}
		for _, i := range order[start:end] {
			ranks[i] = float64(start+1+end) / 2
		}
		start = end
	}
	return ranks
}

// CKA is the linear centred kernel alignment of two representations of the same samples, x [n][p] and y [n][q]:
// ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F) with centred columns, the biased form of Kornblith et al. (arXiv 1905.00414).
func CKA(x, y [][]float64) (float64, error) {
	if err := sameLength("CKA", len(x), len(y)); err != nil {
		return 0, err
	}
	a, err := centred("first", x)
	if err != nil {
		return 0, err
	}
	b, err := centred("second", y)
	if err != nil {
		return 0, err
	}
	cross := norm(b, a)
	return cross * cross / (norm(a, a) * norm(b, b)), nil
}

// norm is the Frobenius norm of a^T b.
func norm(a, b *mat.Dense) float64 {
	var product mat.Dense
	product.Mul(a.T(), b)
	return mat.Norm(&product, 2)
}

// centred subtracts the mean of each column.
func centred(name string, x [][]float64) (*mat.Dense, error) {
	width := len(x[0])
	if width == 0 {
		return nil, fmt.Errorf("eval: CKA: %s representation has no columns", name)
	}
	m := mat.NewDense(len(x), width, nil)
	for i, row := range x {
		if len(row) != width {
			return nil, fmt.Errorf("eval: CKA: %s representation: row %d has %d values, want %d", name, i, len(row), width)
		}
		m.SetRow(i, row)
	}
	constant := true
	for j := range width {
		column := mat.Col(nil, j, m)
		constant = constant && slices.Min(column) == slices.Max(column)
		mean := stat.Mean(column, nil)
		for i, v := range column {
			m.Set(i, j, v-mean)
		}
	}
	if constant {
		return nil, fmt.Errorf("eval: CKA: %s representation is constant, there is nothing to align", name)
	}
	if n := mat.Norm(m, 2); math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, fmt.Errorf("eval: CKA: %s representation has values that are not finite", name)
	}
	return m, nil
}

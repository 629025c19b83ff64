package eval_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/layarun/layarun/eval"
)

// is compares a metric with a value worked out by hand.
func is(t *testing.T, what string, want float64) func(got float64, err error) {
	t.Helper()
	return func(got float64, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		} else if !(math.Abs(got-want) <= 1e-12) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
}

// refuses wants an error that says a word.
func refuses(t *testing.T, what, word string) func(got float64, err error) {
	t.Helper()
	return func(got float64, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), word) || got != 0 {
			t.Errorf("%s: %v and error %v, want an error that says %q", what, got, err, word)
		}
	}
}

func TestAccuracyAndF1(t *testing.T) {
	answers := []int{0, 0, 1, 1, -1, 2}
	labels := []int{0, 1, 1, 1, 2, 2}
	is(t, "accuracy", 4./6)(eval.Accuracy(answers, labels))
	// Class 0: TP 1, FP 1, FN 0: 2/3. Class 1: TP 2, FP 0, FN 1: 4/5. Class 2: TP 1, FN 1 (the error): 2/3.
	is(t, "macro-F1", (2./3+4./5+2./3)/3)(eval.MacroF1(answers, labels))
	// A class that is answered and never true counts with 0; one that does not occur at all does not count.
	is(t, "macro-F1 of a class never true", (2./3+0)/2)(eval.MacroF1([]int{0, 7}, []int{0, 0}))
}

func TestECE(t *testing.T) {
	// Bins of 1/15 = 0.0667. 0.95 and 1.0 share the last bin (0.9333, 1]: |1.95 - 1| = 0.95. 0 and 1/15 share the first:
	// |1/15 - 1|. 0.2 = 3/15 lies in (2/15, 3/15], apart from 0.21 in the next: 0.2 and |0.21 - 1|.
	confidence := []float64{0.95, 1, 0, 1. / 15, 0.2, 0.21}
	right := []bool{true, false, false, true, false, true}
	is(t, "ECE", (0.95+14./15+0.2+0.79)/6)(eval.ECE(confidence, right))
	is(t, "ECE of perfect confidence", 0)(eval.ECE([]float64{1, 0}, []bool{true, false}))
	refuses(t, "ECE above one", "sample 1")(eval.ECE([]float64{1, 1.1}, []bool{true, true}))
	refuses(t, "ECE of NaN", "NaN")(eval.ECE([]float64{math.NaN()}, []bool{true}))
}

func TestBrierAndNLL(t *testing.T) {
	// softmax(ln 3, 0) = (3/4, 1/4) up to the float32 of ln 3; with equal logits (1/2, 1/2).
	even := [][]float32{{0, 0}, {5, 5}}
	is(t, "Brier, even", 0.5)(eval.Brier(even, []int{0, 1})) // 2 * (1/2)^2
	is(t, "NLL, even", math.Ln2)(eval.NLL(even, []int{0, 1}))
	is(t, "Brier, worst", 2)(eval.Brier([][]float32{{2000, -2000}}, []int{1}))
	// Unclipped: ln(e^2000 + e^-2000) + 2000 = 4000, though p is 0 in any float.
	is(t, "NLL, worst", 4000)(eval.NLL([][]float32{{2000, -2000}}, []int{1}))
	x := float32(math.Log(3))
	p := math.Exp(float64(x)) / (1 + math.Exp(float64(x)))
	is(t, "Brier, one to three", 2*p*p)(eval.Brier([][]float32{{x, 0}}, []int{1}))
	is(t, "NLL, one to three", -math.Log(1-p))(eval.NLL([][]float32{{x, 0}}, []int{1}))
	refuses(t, "Brier of NaN", "sample 1")(eval.Brier([][]float32{{0, 0}, {float32(math.NaN()), 0}}, []int{0, 0}))
	refuses(t, "NLL of no class", "label is 2")(eval.NLL([][]float32{{0, 0}}, []int{2}))
	refuses(t, "NLL of an unknown label", "label is -1")(eval.NLL([][]float32{{0, 0}}, []int{-1}))
}

func TestSpearman(t *testing.T) {
	is(t, "Spearman, same order", 1)(eval.Spearman([]float64{1, 2, 3}, []float64{10, 100, 1000}))
	is(t, "Spearman, reversed", -1)(eval.Spearman([]float64{1, 2, 3}, []float64{3, 2, 1}))
	// Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance sum 4.5, squares 4.5 and 5, so 4.5 / sqrt(22.5).
	is(t, "Spearman, ties", 4.5/math.Sqrt(22.5))(eval.Spearman([]float64{1, 5, 5, 9}, []float64{2, 7, 3, 8}))
	refuses(t, "Spearman, constant", "constant")(eval.Spearman([]float64{1, 2}, []float64{4, 4}))
	refuses(t, "Spearman, one value", "constant")(eval.Spearman([]float64{1}, []float64{4}))
	refuses(t, "Spearman, NaN", "value 1 is NaN")(eval.Spearman([]float64{1, math.NaN()}, []float64{4, 5}))
}

func TestAUROC(t *testing.T) {
	// Pairs (positive, negative): 0.8 beats 0.5 and 0.1; 0.5 ties 0.5 and beats 0.1: (2 + 1.5) / 4.
	is(t, "AUROC", 3.5/4)(eval.AUROC([]float64{0.8, 0.5, 0.5, 0.1}, []bool{true, true, false, false}))
	is(t, "AUROC of a constant", 0.5)(eval.AUROC([]float64{1, 1, 1}, []bool{true, false, false}))
	refuses(t, "AUROC, one class", "some of each")(eval.AUROC([]float64{1, 2}, []bool{true, true}))
	refuses(t, "AUROC, NaN", "NaN")(eval.AUROC([]float64{1, math.NaN()}, []bool{true, false}))
}

func TestCKA(t *testing.T) {
	x := [][]float64{{1, 0}, {0, 1}, {-1, -1}, {2, 3}}
	turned := make([][]float64, len(x)) // rotated by 90 degrees, scaled by 3, moved by (5, 7): CKA does not see it
	for i, r := range x {
		turned[i] = []float64{5 - 3*r[1], 7 + 3*r[0]}
	}
	is(t, "CKA with itself, turned", 1)(eval.CKA(x, turned))
	// One column each: the squared correlation. (1,2,3,4) and (1,3,2,4): r = 4/5.
	column := func(v ...float64) (rows [][]float64) {
		for _, x := range v {
			rows = append(rows, []float64{x})
		}
		return rows
	}
	is(t, "CKA of columns", 0.64)(eval.CKA(column(1, 2, 3, 4), column(1, 3, 2, 4)))
	is(t, "CKA, orthogonal", 0)(eval.CKA(column(1, -1, 1, -1), column(1, 1, -1, -1)))
	// X has the centred columns a = (1,-1,1,-1) and b = (1,1,-1,-1), Y has a: ||Y'X||^2 = 16, ||X'X|| = sqrt(32), ||Y'Y|| = 4.
	two := [][]float64{{1, 1}, {-1, 1}, {1, -1}, {-1, -1}}
	is(t, "CKA of two columns and one", 16/(4*math.Sqrt(32)))(eval.CKA(two, column(1, -1, 1, -1)))
	refuses(t, "CKA, constant", "constant")(eval.CKA(two, column(1, 1, 1, 1)))
	refuses(t, "CKA, ragged", "row 1")(eval.CKA([][]float64{{1}, {1, 2}}, column(1, 2)))
	refuses(t, "CKA, no columns", "no columns")(eval.CKA([][]float64{{}, {}}, column(1, 2)))
	refuses(t, "CKA, NaN", "not finite")(eval.CKA(column(1, math.NaN()), column(1, 2)))
}

func TestMetricsRefuseNothing(t *testing.T) {
	for name, err := range map[string]error{
		"accuracy": second(eval.Accuracy(nil, nil)),
		"macro-F1": second(eval.MacroF1(nil, nil)),
		"ECE":      second(eval.ECE(nil, nil)),
		"Brier":    second(eval.Brier(nil, nil)),
		"NLL":      second(eval.NLL(nil, nil)),
		"Spearman": second(eval.Spearman(nil, nil)),
		"AUROC":    second(eval.AUROC(nil, nil)),
		"CKA":      second(eval.CKA(nil, nil)),
	} {
		if !errors.Is(err, eval.ErrEmpty) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s of nothing: error is %v, want one that is ErrEmpty", name, err)
		}
	}
	refuses(t, "accuracy of unequal lists", "2 values against 1")(eval.Accuracy([]int{1, 2}, []int{1}))
}

func second(_ float64, err error) error { return err }

package eval

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/layarun/layarun/exit"
)

// ErrEmpty says that a metric was asked of no samples.
var ErrEmpty = errors.New("no samples")

// Accuracy is the share of answers that equal their label. An answer of -1 is wrong.
func Accuracy(answers, labels []int) (float64, error) {
	if err := sameLength("accuracy", len(answers), len(labels)); err != nil {
		return 0, err
	}
	right := 0
	for i, a := range answers {
		if a == labels[i] {
			right++
		}
	}
	return float64(right) / float64(len(labels)), nil
}

// MacroF1 is the mean of F1 = 2 TP / (2 TP + FP + FN) over the classes that occur among labels or answers, as
// scikit-learn has it. An answer of -1 is wrong and no class of its own.
func MacroF1(answers, labels []int) (float64, error) {
	if err := sameLength("macro-F1", len(answers), len(labels)); err != nil {
		return 0, err
	}
	type tally struct{ hits, total int } // total = 2 TP + FP + FN: occurrences as label and as answer
	classes := map[int]*tally{}
	at := func(class int) *tally {
		if classes[class] == nil {
			classes[class] = &tally{}
		}
		return classes[class]
	}
	for i, a := range answers {
		at(labels[i]).total++
		if a >= 0 {
			at(a).total++
		}
		if a == labels[i] {
			at(a).hits++
		}
	}
	var sum float64
	for _, class := range slices.Sorted(maps.Keys(classes)) { // a fixed order of summation
		sum += 2 * float64(classes[class].hits) / float64(classes[class].total)
	}
	return sum / float64(len(classes)), nil
}

// ECEBins is the number of equal-width bins of [ECE].
const ECEBins = 15

// ECE is the expected calibration error sum_b n_b/n |accuracy_b - confidence_b| over 15 equal bins (lo, hi] of
// confidence; a confidence of 0 falls into the first (Guo et al., arXiv 1706.04599). Confidences lie in [0, 1].
func ECE(confidence []float64, right []bool) (float64, error) {
	if err := sameLength("ECE", len(confidence), len(right)); err != nil {
		return 0, err
	}
	var gap [ECEBins]float64 // sum of right - confidence
	for i, c := range confidence {
		if !(c >= 0 && c <= 1) {
			return 0, fmt.Errorf("eval: ECE: sample %d: confidence is %v, want 0 to 1", i, c)
		}
		b := sort.Search(ECEBins-1, func(b int) bool { return c <= float64(b+1)/ECEBins })
		gap[b] -= c
		if right[i] {
			gap[b]++
		}
	}
	var sum float64
	for _, g := range gap {
		sum += math.Abs(g)
	}
	return sum / float64(len(right)), nil
}

// Brier is the mean over samples of sum_c (p_c - 1{c = label})^2, p = softmax(logits): 0 is best and 2 worst.
func Brier(logits [][]float32, labels []int) (float64, error) {
	var sum float64
	err := eachSample("Brier", logits, labels, func(x []float32, label int, logSum float64) {
		for c, v := range x {
			d := math.Exp(float64(v) - logSum)
			if c == label {
				d--
			}
			sum += d * d
		}
	})
	if err != nil {
		return 0, err
	}
	return sum / float64(len(labels)), nil
}

// NLL is the mean negative log-likelihood in nats, ln sum_c exp(x_c) - x_label, from logits and unclipped.
func NLL(logits [][]float32, labels []int) (float64, error) {
	var sum float64
	err := eachSample("NLL", logits, labels, func(x []float32, label int, logSum float64) {
		sum += logSum - float64(x[label])
	})
	if err != nil {
		return 0, err
	}
	return sum / float64(len(labels)), nil
}

// eachSample calls f with the logits, label and ln sum_c exp(x_c) of each sample. It refuses logits that are not finite and
// labels that are no class.
func eachSample(metric string, logits [][]float32, labels []int, f func(x []float32, label int, logSum float64)) error {
	if err := sameLength(metric, len(logits), len(labels)); err != nil {
		return err
	}
	for i, x := range logits {
		first := exit.Argmax(x)
		if first < 0 {
			return fmt.Errorf("eval: %s: sample %d: logits are %v, want finite numbers", metric, i, x)
		}
		if labels[i] < 0 || labels[i] >= len(x) {
			return fmt.Errorf("eval: %s: sample %d: label is %d, want 0 to %d", metric, i, labels[i], len(x)-1)
		}
		top := float64(x[first])
		var sum float64
		for _, v := range x {
			sum += math.Exp(float64(v) - top)
		}
		f(x, labels[i], top+math.Log(sum))
	}
	return nil
}

func sameLength(metric string, n, m int) error {
	if n != m {
		return fmt.Errorf("eval: %s: %d values against %d, want as many of one as of the other", metric, n, m)
	}
	if n == 0 {
		return fmt.Errorf("eval: %s: %w", metric, ErrEmpty)
	}
	return nil
}

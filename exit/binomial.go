package exit

import "math"

// BinomialP is the exact p-value P[Bin(n, eps) <= errors] of the hypothesis that errors happen with probability eps or
// more. Counts are integers, so no rounding of a rate can add or lose an error; the terms go through log-gamma.
func BinomialP(errors, n int, eps float64) float64 {
	if errors >= n || eps <= 0 {
		return 1
	}
	if eps >= 1 {
		return 0
	}
	logN, _ := math.Lgamma(float64(n) + 1)
	var sum float64
	for k := range errors + 1 {
		logK, _ := math.Lgamma(float64(k) + 1)
		logRest, _ := math.Lgamma(float64(n-k) + 1)
		sum += math.Exp(logN - logK - logRest + float64(k)*math.Log(eps) + float64(n-k)*math.Log1p(-eps))
	}
	return min(sum, 1)
}

// binomialBound is the Clopper-Pearson upper bound at level delta: the smallest rate that the counts reject.
func binomialBound(errors, n int, delta float64) float64 {
	return bisect(0, 1, func(rate float64) bool { return BinomialP(errors, n, rate) <= delta })
}

// bisect narrows [low, high] to the point from which on holds is true, and returns its upper side. holds is monotone; high
// is returned where it holds nowhere before.
func bisect(low, high float64, holds func(float64) bool) float64 {
	for range 50 { // 2^-50 of the interval: less than anyone prints
		if middle := (low + high) / 2; holds(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high
}

// ErrorFree is how many samples without a single error show a rate below eps at level delta: ceil(ln delta / ln(1 - eps)).
func ErrorFree(eps, delta float64) int {
	return int(math.Ceil(math.Log(delta) / math.Log1p(-eps)))
}

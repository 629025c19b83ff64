package exit

import "math"

// bettingP is a p-value of the hypothesis that the mean of losses in {-1, 0, 1} is eps or more: the betting test of
// Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (arXiv 2010.09686), with their
// predictable plug-in bets. With y = (x + 1) / 2 in [0, 1] and m = (eps + 1) / 2, a gambler who bets that the mean is less
// than m owns after i samples
//
//	K_i = prod_{t <= i} 1 + nu_t (m - y_t)
//	nu_t = min(sqrt(2 ln(1/delta) / (n s2_{t-1})), 0.98 / (1 - m))
//
// where s2_{t-1} is the regularised variance of the samples before t. If the mean is m or more, no such gambler is expected
// to win and P[max_i K_i >= 1/delta] <= delta (Ville), so 1 / max K_i is a p-value. The cap keeps K positive. Order must
// not depend on the losses: see [Certify]. A product that underflows to 0 stays there, which only makes the test weaker.
func bettingP(losses []int8, eps, delta float64) float64 {
	m := (eps + 1) / 2
	limit := math.Inf(1)
	if m < 1 {
		limit = 0.98 / (1 - m)
	}
	scale := 2 * math.Log(1/delta) / float64(len(losses))
	sum, squares, variance := 0.5, 0.25, 0.25 // one pseudo-sample of mean 1/2 and variance 1/4, as in the paper
	capital, most := 1.0, 1.0
	for i, x := range losses {
		y := (float64(x) + 1) / 2
		capital *= 1 + min(math.Sqrt(scale/variance), limit)*(m-y)
		most = max(most, capital)
		sum += y
		mean := sum / float64(i+2)
		squares += (y - mean) * (y - mean)
		variance = squares / float64(i+2)
	}
	return 1 / most
}

// bettingBound is the upper confidence bound on the mean at level delta: the smallest eps that [bettingP] rejects. Every
// factor grows with m, the capped ones included, so bisection finds it.
func bettingBound(losses []int8, delta float64) float64 {
	return bisect(-1, 1, func(eps float64) bool { return bettingP(losses, eps, delta) <= delta })
}

package reftest

import "math"

// Dense is x @ kernel + bias with x [in], kernel [in, out] row by row and bias [out]; a nil bias is zero.
func Dense(x, kernel, bias []float64) []float64 {
	out := len(kernel) / len(x)
	y := make([]float64, out)
	copy(y, bias)
	for i := range x {
		for j := range y {
			y[j] += x[i] * kernel[i*out+j]
		}
	}
	return y
}

// GELU is x/2 (1 + erf(x / sqrt 2)) of each value.
func GELU(x []float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v / 2 * (1 + math.Erf(v/math.Sqrt2))
	}
	return y
}

// LayerNorm is (x - mean) / sqrt(variance + epsilon) * gain + bias, the variance without Bessel's correction.
func LayerNorm(x, gain, bias []float64, epsilon float64) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		variance += (v - mean) * (v - mean) / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = (v-mean)/math.Sqrt(variance+epsilon)*gain[i] + bias[i]
	}
	return y
}

// RMSNorm is x / sqrt(mean(x^2) + 1e-6).
func RMSNorm(x []float64) []float64 {
	square := 0.0
	for _, v := range x {
		square += v * v / float64(len(x))
	}
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v / math.Sqrt(square+1e-6)
	}
	return y
}

// Softmax is exp(t_i) / sum_j exp(t_j), the maximum subtracted first.
func Softmax(t []float64) []float64 {
	top := math.Inf(-1)
	for _, v := range t {
		top = math.Max(top, v)
	}
	y, sum := make([]float64, len(t)), 0.0
	for i, v := range t {
		y[i] = math.Exp(v - top)
		sum += y[i]
	}
	for i := range y {
		y[i] /= sum
	}
	return y
}

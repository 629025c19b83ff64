// Package eval measures what early exits and pruning cost and give: the quality of answers, paired comparisons of two
// models on the same samples, spreads of timings, the accuracy-against-cost front, and the file that score tables lie in.
//
// Everything here is plain Go in float64 and deterministic: resampling takes a seed. A metric that its input does not
// determine (no samples, a constant where a correlation is asked for, one class where two are compared) is an error, never
// a 0 that looks like a result.
package eval

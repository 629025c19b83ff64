// Package eval measures what early exits and pruning cost and give.
//
// [Score] runs a split through a network once and keeps what every exit said: the score table, which [WriteTable] files.
// Nearly everything else is computed from such tables in plain Go and float64: the quality of answers, paired
// comparisons of two models on the same samples, the accuracy-against-cost front. [Latency] adds what only a clock can
// say, and [UnderLoad] what callers see of a service. A [Report] holds all of it as one value, for tables, Markdown, JSON and a figure.
//
// What is computed is deterministic: resampling takes a seed. A metric that its input does not determine (no samples, a
// constant where a correlation is asked for, one class where two are compared) is an error, never a 0 that looks like a
// result.
package eval

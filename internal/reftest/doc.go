// Package reftest holds the slow form of the formulas that the graph functions compute: float64, one sample at a time,
// plain loops, no trick. Tests compare both.
//
// Nothing here calls the code under test; only the configuration type is shared. A formula is written as the paper or
// the project's documentation writes it, so that a reader can check it by eye: softmax over the depths read is taken
// directly, not online, and every answer starts again from the taps.
package reftest

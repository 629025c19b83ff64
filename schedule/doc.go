// Package schedule moves samples through the segments of a network. It is the only place where samples are moved and
// the only loop over exits: predict, eval, bench and serve all hand their samples to a [Scheduler].
//
// The package is plain Go and holds no tensors. It declares what it needs of a network, [Segments]; package compile
// satisfies it; the root package joins the two. A state S is an opaque handle here. So the
// device computes scores, the host decides, and the whole of this package is tested with a fake of a few lines.
//
//	Submit ──▶ queue 0 ─▶ Run(0) ─▶ rule ─┬─ leaves ──▶ deliver
//	                                      └─ stays ─┐
//	           queue 1 ◀──────────────────────────────┘
//	                   ─▶ Run(1) ─▶ rule ─┬─ leaves ──▶ deliver
//	                                      └─ stays ──▶ queue 2 …        (a queue per segment and lane)
//
// A lane is a length bucket: samples of one lane can share a batch, and each lane has batch sizes of its own. A queue holds
// the survivors of several arrivals, in the order in which they were admitted, so batches are refilled where samples left.
// Workers, up to one for every batch that the device can run side by side, run one batch after another until nothing waits. They
// never wait for a batch to fill: with as much queued, all are busy. Whose goroutines they are is the network's affair
// ([Segments]), which on a processor has its own.
//
// # Which batch is next
//
//  1. A queue that was passed over too often, if there is one; see below.
//  2. Else the deepest queue that fills the largest batch of its lane: deep samples are nearest to their answer. Of
//     several as deep, that of the sample that was admitted first.
//  3. Else the queue where most waits for longest: the share of its lane's largest batch that it fills × the batches begun
//     since its first sample was admitted, the one to come among them. On ties as before.
//
// Each launch has a price of its own, so fuller batches are what the share in step 3 is for. Taking the oldest sample first
// instead was 1.15 times slower for batches of 64 and 1.1 for a stream of 32 callers on the convnet of the benchmarks, 1.03
// on the encoder. The share alone lets the few samples of a rare length or a great depth wait for long: with it, the
// slowest of a hundred answers in a stream took 1.8 times as long from a text encoder and 1.2 times from the convnet, at
// the same throughput. The number of samples in place of the share puts long texts, few of which make a batch, behind
// the many short ones: where one text in ten was long, the slowest of a hundred long ones took two to five times as long.
//
// A batch takes the first samples of its queue, at most the largest bucket of its lane. While other workers are idle it takes
// its part of all that waits and leaves them the rest: two half batches side by side end sooner than one whole. Package
// compile pads a batch to the smallest bucket that fits.
//
// Steps 2 and 3 alone would let a stream of easy samples, which always fills queue 0, hold up a hard sample for ever.
// So step 1: with q queues waiting, a queue that 4q batches have passed by comes first; if there are several, the one
// passed by most often, and on ties the one whose first sample was admitted first. So no queue gets much less than a
// quarter of an equal share of the batches. A smaller factor would cut short batches that a few more arrivals would fill.
//
// # Which samples leave
//
// A [Rule] decides from one sample's scores and nothing else, so a decision never depends on batch mates or on padding.
// A sample leaves early only because its policy is sure or because its request set a greatest depth; the second is
// marked in the [Result]. A passed deadline is an error, not an answer from whichever exit was near.
//
// A cancelled or expired sample is dropped before it would be padded into a batch, at the latest when a running
// batch ends. A batch that fails fails its own samples and no others.
package schedule

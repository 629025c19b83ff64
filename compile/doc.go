// Package compile runs networks: on native kernels, or on executables that a backend compiles.
//
// [NewNetwork] joins a backbone and a head. [Network.Segments] cuts it at the depths that the head reads: a segment is
// the blocks between two taps, the tap, the head's step and, at an exit, the answer with its scores. [OpenDevice] opens
// a backend and [NewEngine] puts the weights on it; [Engine.Run] takes a batch of samples through one segment or
// several. Which segment runs when, and who leaves, is decided elsewhere: package schedule declares what it needs of
// segments and the root package joins the two.
//
// # Native kernels
//
// Where every operation of a network has a kernel for this processor ([layer.Op.Native]) and the device prefers them, the
// engine compiles nothing: a sample keeps its state for itself, at its own length, and a batch is whoever runs together
// (docs/adr/0016). What follows is about all other networks and devices.
//
// # Executables
//
// Weights are parameters of a graph, never constants, and Ops are pure functions. So an executable belongs to what it
// computes (the signatures of its Ops) and to shapes (a batch bucket, a length bucket), not to a block: twelve equal
// blocks share one per bucket, and other policies or limits compile nothing. Engines do not share executables.
//
// Every launch costs, so segments that nobody can leave are run in one: [Engine.Fuse] prepares that
// for the exits of a policy. Of what a launch computes the host reads one tensor, the report; state and carry stay where
// they are.
//
// # Samples
//
// A sample on its way is a handle, [Sample], to a row of a batch that a segment left behind. The next batch gathers its
// rows, pads them to the smallest bucket and copies only where they do not already lie together: the host does where it
// shares memory with the device, else executables do that are compiled with the others, and no state leaves the device
// (docs/adr/0012). The latter has been tested on a CPU only, not on CUDA or a TPU. Padding and batch mates change no
// answer beyond the last bits in which kernels of different bucket sizes may differ.
//
// # Plugins
//
// XLA is a shared library that is found at run time ([FindPlugin]) and installed on request ([InstallPlugin]); the
// pure-Go backend is always there. [Examine] says what there is and checks it. Nothing but InstallPlugin and
// [EnsureCPU] ever reaches for the network.
//
// Panics of graph building become errors here and nowhere else. Nothing in this package decides about exits.
package compile

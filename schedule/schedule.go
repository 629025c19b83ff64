package schedule

import (
	"errors"
	"time"

	"github.com/layarun/layarun/exit"
)

// The errors that callers branch on.
var (
	// ErrFull: there is no room for the samples now.
	ErrFull = errors.New("schedule: full")
	// ErrClosed: the scheduler was closed before the sample had its answer.
	ErrClosed = errors.New("schedule: closed")
	// ErrDeadline: the sample's deadline passed while it waited.
	ErrDeadline = errors.New("schedule: deadline passed")
	// ErrNotFinite: the logits at the last exit open to the sample are not finite.
	ErrNotFinite = errors.New("schedule: the answer is not finite")
)

// Segments is a network as the scheduler sees it: segments that run one after another. S is a handle to one sample's
// state on the device.
type Segments[S any] interface {
	// Depths lists the depth reached after each segment, strictly ascending; the last is the network's depth. The
	// network's exits are among them.
	Depths() []int
	// Buckets lists for every lane the batch sizes that run, strictly ascending.
	Buckets() [][]int
	// Workers is how many batches can run side by side, at least 1: the cores of a CPU that executes in the calling
	// thread, 1 for an accelerator that runs one thing after another.
	Workers() int
	// Go runs a task, a worker of the scheduler, on another goroutine. It is called with a lock held: it must neither run the task
	// itself nor wait for others. No more than Workers tasks are under way, but for those that are about to end.
	Go(task func())
	// Run takes samples of one lane, at most its largest bucket, through the segments first to last: their states become
	// those after it. It returns the scores of the exit there, one per sample, in order; no sample may leave on the way.
	// An error fails every sample of the batch and no other, and their states are given up. Run must not keep the slice.
	// Up to Workers calls overlap, each with samples of its own.
	Run(first, last int, batch []S) ([]exit.Scores, error)
	// Release gives up a state that will not be run again. It may be called from any goroutine, also during Run.
	Release(S)
}

// Job is one sample on its way in. A submitted state belongs to the scheduler, which releases it.
type Job[S any] struct {
	State S
	// Lane is the sample's length bucket, an index of Buckets; another panics. Only samples of one lane share a batch.
	Lane int
	// Rule says where the sample leaves; nil is the last depth. Jobs may share one.
	Rule *Rule
	// Deadline is the time from which on no further segment is run for the sample; zero is none.
	Deadline time.Time
}

// Result is what became of one sample. If Err is set, nothing else is.
type Result[S any] struct {
	// State is the sample's state after its last segment, to read the answer from. It is released when deliver
	// returns.
	State S
	// Depth is the depth at which the sample left.
	Depth int
	// Scores are its scores there.
	Scores exit.Scores
	// Forced says that it left before the network's depth because of a greatest depth, not because its policy was sure.
	Forced bool
	// Err is ErrDeadline, ErrNotFinite, ErrClosed, the context's error, or wraps the error of Run.
	Err error
}

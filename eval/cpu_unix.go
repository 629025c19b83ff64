//go:build unix

package eval

import (
	"syscall"
	"time"
)

// cpuTime is the processor time that this process has used, in its own code and in the system's on its behalf.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

package main

import (
	"sync"
	"time"
)

// calls gives out the calls of a turn: the number of the one that is made now, or false once the turn is over.
type calls func(now time.Time) (call int, more bool)

// timed are those of one caller until the time is over, at least one.
func timed(turn time.Duration) calls {
	var n int
	var end time.Time
	return func(now time.Time) (int, bool) {
		if n == 0 {
			end = now.Add(turn)
		} else if !now.Before(end) {
			return 0, false
		}
		n++
		return n - 1, true
	}
}

// passes are those of callers who share passes of length calls, until a pass ends after the time.
func passes(length int, turn time.Duration) calls {
	var mu sync.Mutex
	left, over, more := 0, false, timed(turn)
	return func(now time.Time) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 && !over {
			if _, ok := more(now); !ok {
				over = true
			}
			left = length
		}
		if over {
			return 0, false
		}
		left--
		return length - 1 - left, true
	}
}

package main

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// made are the calls of one caller if each takes a second.
func made(next calls) (all []int) {
	now := time.Unix(0, 0)
	for call, more := next(now); more; call, more = next(now) {
		all = append(all, call)
		now = now.Add(time.Second)
	}
	return all
}

func TestTurnsEndWithTheTime(t *testing.T) {
	for _, c := range []struct {
		turn               time.Duration
		alone, inPassesOf3 []int
	}{
		{0, []int{0}, []int{0, 1, 2}},
		{2 * time.Second, []int{0, 1}, []int{0, 1, 2}},
		{2500 * time.Millisecond, []int{0, 1, 2}, []int{0, 1, 2}},
		{3500 * time.Millisecond, []int{0, 1, 2, 3}, []int{0, 1, 2, 0, 1, 2}},
	} {
		if got := made(timed(c.turn)); !slices.Equal(got, c.alone) {
			t.Errorf("%v: calls %v, want %v", c.turn, got, c.alone)
		}
		if got := made(passes(3, c.turn)); !slices.Equal(got, c.inPassesOf3) {
			t.Errorf("%v in passes: calls %v, want %v", c.turn, got, c.inPassesOf3)
		}
	}
}

func TestCallersSharePasses(t *testing.T) {
	const length, callers = 100, 4
	next, counts := passes(length, time.Millisecond), make([][length]int, callers)
	var done sync.WaitGroup
	for i := range callers {
		done.Go(func() {
			for call, more := next(time.Now()); more; call, more = next(time.Now()) {
				counts[i][call]++
			}
		})
	}
	done.Wait()
	for call := range length {
		var all, first int
		for i := range callers {
			all, first = all+counts[i][call], first+counts[i][0]
		}
		if all == 0 || all != first {
			t.Errorf("call %d was made %d times, the first %d", call, all, first)
		}
	}
}

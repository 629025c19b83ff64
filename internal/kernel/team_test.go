package kernel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Every piece runs once, whoever else splits work at the time.
func TestSplitRunsEveryPieceOnce(t *testing.T) {
	for _, cores := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(cores), func(t *testing.T) {
			team := NewTeam(cores)
			defer team.Close()
			var group sync.WaitGroup
			for range 3 {
				group.Go(func() {
					for round := range 2000 {
						pieces := round % 7
						runs := make([]atomic.Int32, pieces)
						team.Begin()
						team.Split(pieces, func(piece int) { runs[piece].Add(1) })
						team.End()
						for piece := range runs {
							if n := runs[piece].Load(); n != 1 {
								t.Errorf("piece %d of %d ran %d times when Split returned, want once", piece, pieces, n)
							}
						}
					}
				})
			}
			group.Wait()
		})
	}
}

// One caller alone gets help; without it a piece that waits for another would wait for ever.
func TestSplitUsesIdleCores(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	team.Begin()
	defer team.End()
	met := make(chan int)
	team.Split(2, func(piece int) {
		select {
		case met <- piece:
		case <-met:
		}
	})
}

// A panic reaches the caller when nobody works any more.
func TestSplitPanics(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	team.Begin()
	defer team.End()
	for round := range 200 {
		var working atomic.Int32
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Split returned, want a panic")
				}
				if n := working.Load(); n != 0 {
					t.Errorf("%d pieces are at work after Split", n)
				}
			}()
			team.Split(8, func(piece int) {
				working.Add(1)
				defer working.Add(-1)
				if piece == round%8 {
					panic("a piece")
				}
			})
		}()
	}
}

func TestCloseTwice(t *testing.T) {
	team := NewTeam(3)
	team.Close()
	team.Close()
}

func BenchmarkSplit(b *testing.B) {
	team := NewTeam(2)
	defer team.Close()
	team.Begin()
	defer team.End()
	for b.Loop() {
		team.Split(4, func(int) {})
	}
}

package kernel

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// One caller alone gets help, of hands that sleep as well; without it a piece that waits for another would wait for ever.
func TestSplitUsesIdleCores(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	team.Begin()
	defer team.End()
	for range 3 {
		met := make(chan int)
		team.Split(2, func(piece int) {
			select {
			case met <- piece:
			case <-met:
			}
		})
		<-time.After(2 * patience)
	}
}

// Every task runs once, whether the hands are awake, asleep or help somebody.
func TestGoRunsEveryTaskOnce(t *testing.T) {
	for _, cores := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(cores), func(t *testing.T) {
			team := NewTeam(cores)
			defer team.Close()
			var ran atomic.Int32
			var group sync.WaitGroup
			for sender := range 3 {
				group.Go(func() {
					for round := range 300 {
						ended := make(chan struct{})
						team.Go(func() {
							team.Begin()
							team.Split(round%5, func(int) {})
							team.End()
							ran.Add(1)
							close(ended)
						})
						<-ended
						if round%50 == sender {
							<-time.After(2 * patience) // the hands go to sleep
						}
					}
				})
			}
			group.Wait()
			if n := ran.Load(); n != 900 {
				t.Errorf("%d tasks ran, want 900", n)
			}
		})
	}
}

// Help is asked of hands that have nothing to do, not of those at tasks.
func TestSplitFindsTheIdleHand(t *testing.T) {
	for range 20 {
		team := NewTeam(3)
		var begun, ended sync.WaitGroup
		release := make(chan struct{})
		for range 2 {
			begun.Add(1)
			ended.Add(1)
			team.Go(func() {
				begun.Done()
				<-release
				ended.Done()
			})
		}
		begun.Wait()
		team.Begin()
		met := make(chan int)
		team.Split(2, func(piece int) {
			select {
			case met <- piece:
			case <-met:
			}
		})
		team.End()
		close(release)
		ended.Wait()
		team.Close()
	}
}

// Tasks have a core each; if they had not, those that wait for each other would wait for ever.
func TestTasksRunSideBySide(t *testing.T) {
	team := NewTeam(3)
	defer team.Close()
	var together, ended sync.WaitGroup
	together.Add(3)
	for range 3 {
		ended.Add(1)
		team.Go(func() {
			together.Done()
			together.Wait()
			ended.Done()
		})
	}
	ended.Wait()
}

// A hand that helps leaves what is left when a task has nobody else to wait for.
func TestTasksComeBeforeHelp(t *testing.T) {
	team := NewTeam(2)
	defer team.Close()
	ended := make(chan struct{})
	team.Go(func() {
		team.Begin()
		defer team.End()
		var ran atomic.Bool
		done := make(chan struct{})
		var helped atomic.Int32
		team.Split(64, func(piece int) {
			switch {
			case piece == 0:
				<-done
			case ran.Load():
			case helped.Add(1) == 1:
				team.Go(func() { ran.Store(true); close(done) })
			default:
				t.Error("a hand goes on helping while a task waits")
			}
		})
		close(ended)
	})
	<-ended
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

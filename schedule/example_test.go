package schedule_test

import (
	"context"
	"fmt"

	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/schedule"
)

// digits is a network of two segments, exits at depths 0 and 3, whose states are numbers; it is sure of small ones at once.
type digits struct{}

func (digits) Depths() []int    { return []int{0, 3} }
func (digits) Buckets() [][]int { return [][]int{{1, 4}} }
func (digits) Workers() int     { return 1 }
func (digits) Go(task func())   { go task() }
func (digits) Release(int)      {}

func (digits) Run(_, segment int, batch []int) ([]exit.Scores, error) {
	scores := make([]exit.Scores, len(batch))
	for i, n := range batch {
		scores[i] = exit.Scores{0.6}
		if n < 10 || segment == 1 {
			scores[i] = exit.Scores{0.99}
		}
	}
	return scores, nil
}

func Example() {
	s, err := schedule.New(digits{}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	policy := exit.Policy{Name: "sure", Gate: exit.MaxProb, Exits: []int{0}, Thresholds: []exit.Threshold{0.9}}
	rule, err := schedule.NewRule(policy, digits{}.Depths(), 0, 3) // no limits
	if err != nil {
		fmt.Println(err)
		return
	}
	jobs := []schedule.Job[int]{{State: 7, Rule: rule}, {State: 4711, Rule: rule}}
	err = s.Do(context.Background(), jobs, func(i int, r schedule.Result[int]) {
		fmt.Printf("%d left at depth %d with confidence %.2f\n", r.State, r.Depth, r.Scores[0])
	})
	fmt.Println(err, s.Close(context.Background()))
	// Output:
	// 7 left at depth 0 with confidence 0.99
	// 4711 left at depth 3 with confidence 0.99
	// <nil> <nil>
}

package train

import "time"

// pace tells from the steps that were made how long others will take. Cost is in any unit that time is about proportional
// to; the first step of every shape is left out, for it compiles.
type pace struct {
	seen          map[int]bool // shapes
	cost, seconds float64
}

func (p *pace) add(shape int, cost, seconds float64) {
	if !p.seen[shape] {
		if p.seen == nil {
			p.seen = map[int]bool{}
		}
		p.seen[shape] = true
		return
	}
	p.cost += cost
	p.seconds += seconds
}

// left is about how long what is left will take; 0 as long as nothing is known.
func (p *pace) left(cost float64) time.Duration {
	if p.cost == 0 {
		return 0
	}
	return time.Duration(cost / p.cost * p.seconds * float64(time.Second))
}

// cost is that of a step on a batch: multiplications where texts differ in length, else the same for all.
func (r *run) cost(indices []int) (shape int, cost float64) {
	if r.stepper.frozen || !r.job.Train.IsText() {
		return 0, 1
	}
	length := r.train.length(indices)
	return length, float64(r.job.Network.MACs(r.job.Network.Backbone.Depth(), length, true) * int64(len(indices)))
}

// costs returns a function that tells the cost of all steps of the run from now on, given the batches of this epoch: other
// epochs are taken to cost as much.
func (r *run) costs(batches [][]int) func() float64 {
	after := make([]float64, len(batches)+1) // of the batches from one on
	for i := len(batches) - 1; i >= 0; i-- {
		_, cost := r.cost(batches[i])
		after[i] = after[i+1] + cost
	}
	return func() float64 {
		begun := (r.epoch+1)*r.perEpoch - r.step // steps left of this epoch
		return after[len(batches)-begun] + after[0]*float64(r.job.Config.Epochs-r.epoch-1)
	}
}

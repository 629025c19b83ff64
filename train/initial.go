package train

import (
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/layer"
)

// Initial returns the network of b as it was before training: fresh weights drawn from the seed that b remembers, with
// the statistics (the stem's mean and deviation) of b itself. ok is false if b remembers no seed.
//
// Weights of a network that was folded or pruned are drawn in its present form: the same distribution, other numbers.
func Initial(b *bundle.Bundle) (initial *bundle.Bundle, ok bool, err error) {
	seed, ok := b.Train["seed"]
	if !ok || seed < 0 {
		return nil, false, nil
	}
	params, err := b.Params()
	if err != nil {
		return nil, false, err
	}
	fresh := *b
	fresh.Profile, fresh.Plan, fresh.Policies = nil, nil, nil
	fresh.Weights = layer.NewWeights(params, uint64(seed))
	for _, p := range params {
		if p.Frozen {
			fresh.Weights[p.Name] = b.Weights[p.Name]
		}
	}
	return &fresh, true, nil
}

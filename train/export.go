package train

import (
	"fmt"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/layer"
)

// Bundle makes the bundle of a trained network: batch normalisation folded away, and with it what the network was
// trained and chosen on. by is the program and version that made it.
func (r *Resolved) Bundle(name, by string, result *Result) (*bundle.Bundle, error) {
	b, weights, err := inferenceForm(r.Network.Backbone, result.Weights)
	if err != nil {
		return nil, err
	}
	best := result.Epochs[result.Best-1]
	out := &bundle.Bundle{
		Name: name, CreatedBy: by,
		Backbone: b, Head: r.Network.Head.Config(), Weights: weights, Classes: r.Splits.Train.Classes,
		Tokenizer: r.Tokenizer, Fit: r.Fit,
		Data: &bundle.Data{
			Source: r.Recipe.Data.Source,
			Train:  r.Splits.Train.Digest(), Validation: r.Splits.Validation.Digest(),
			Calibration: r.Splits.Calibration.Digest(), Test: r.Splits.Test.Digest(),
		},
		Train: map[string]float64{
			"seed": float64(r.Recipe.Train.Seed), "epochs": float64(len(result.Epochs)), "best_epoch": float64(result.Best),
			"steps": float64(result.Steps), "validation_accuracy": best.Validation.Last(), "validation_loss": best.Validation.Loss,
		},
	}
	if r.Tokens != nil {
		out.MaxLength = r.Recipe.Data.MaxLength
	}
	return out, nil
}

func inferenceForm(b backbone.Backbone, weights layer.Weights) (backbone.Backbone, layer.Weights, error) {
	folder, ok := b.(backbone.Folder)
	if !ok {
		return b, weights, nil
	}
	folded, weights, err := folder.Fold(weights)
	if err != nil {
		return nil, nil, fmt.Errorf("train: %w", err)
	}
	return folded, weights, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/internal/token"
	"github.com/layarun/layarun/train"
)

const (
	// tunedSeed is the seed of the runs in tuned.
	tunedSeed = 1
	// tunedEps is the accuracy drop that their policy is certified for: half a point.
	tunedEps = 0.005
	// texts of the test split are asked for, or as many as there are.
	texts = 512
)

// openTuned opens a trained text encoder, draws samples from its test split, and takes its policy from the result of its
// experiment.
func openTuned(ctx context.Context, name, runs, dataDir string) (*network, error) {
	experiment := strings.TrimSuffix(name, fmt.Sprintf("-%d", tunedSeed))
	run := filepath.Join(runs, name)
	// OpenVINO compiles for one shape.
	n := &network{dir: filepath.Join(run, "bundle"), runtimes: []string{"torch", "onnxruntime"}}
	b, err := bundle.Open(n.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; it is made by: bin/layarun train --recipe %s --seed %d --out %s", err,
			filepath.Join(folder, "recipes", experiment+".yaml"), tunedSeed, run)
	}
	if err != nil {
		return nil, err
	}
	encoder, ok := b.Backbone.(*backbone.Encoder)
	if !ok || b.Tokenizer == nil || b.Data == nil {
		return nil, fmt.Errorf("%s is not an encoder with a tokenizer and the data it was made with", n.dir)
	}
	n.length, n.pad = b.MaxLength, int32(encoder.PadID)
	n.about = fmt.Sprintf("encoder of %d blocks, %d wide, %d heads, hidden %d, sequences of at most %d tokens, trained on %s",
		encoder.Depth(), encoder.Dim, encoder.Heads, encoder.Hidden, b.MaxLength, b.Data.Name)
	if err := n.certify(experiment, b.Digest()); err != nil {
		return nil, err
	}
	splits, err := train.Load(ctx, b.Data.Source, b.Fit, dataDir)
	if err != nil {
		return nil, err
	}
	if got := splits.Test.Digest(); got != b.Data.Test {
		return nil, fmt.Errorf("the test split of %s has digest %.12s, the bundle was made with %.12s: the data has changed", b.Data.Name, got, b.Data.Test)
	}
	return n, n.encode(splits.Test, b)
}

// certify takes policy and accuracies from the result of an experiment; the network is the one with that digest.
func (n *network) certify(experiment, digest string) error {
	path := result.Path(folder, experiment)
	command := fmt.Sprintf("go run ./benchmarks/measure -name %s %s", experiment, n.dir)
	r, err := result.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; it is made by: %s", err, command)
	}
	if err != nil {
		return err
	}
	i := slices.IndexFunc(r.Runs, func(run result.Run) bool { return run.Seed == tunedSeed })
	if i < 0 {
		return fmt.Errorf("%s has no run of seed %d; it is made by: %s", path, tunedSeed, command)
	}
	run := r.Runs[i]
	if run.Bundle != digest {
		return fmt.Errorf("%s is about the bundle with digest %.12s, that in %s has %.12s; measure it by: %s", path, run.Bundle, n.dir, digest, command)
	}
	if n.certified = run.Figures.CertifiedFor(tunedEps); n.certified == nil {
		return fmt.Errorf("%s has no policy over all exits that is certified for %v; it is made by: %s", path, tunedEps, command)
	}
	n.accuracy = run.Figures.FullAccuracy()
	return nil
}

// encode draws texts of a set and encodes them.
func (n *network) encode(set *dataset.Set, b *bundle.Bundle) error {
	largest := slices.Max(batches)
	n.count = min(texts, set.Len()/largest*largest)
	if n.count == 0 {
		return fmt.Errorf("the test split of %s has %d texts, want at least %d", b.Data.Name, set.Len(), largest)
	}
	tokenizer, err := token.Load(b.Tokenizer)
	if err != nil {
		return err
	}
	for _, text := range eval.Draw(set, n.count, 1).Texts {
		n.tokens = append(n.tokens, tokenizer.Encode(text, b.MaxLength))
	}
	n.origin = fmt.Sprintf("%d texts of the test split of %s", n.count, b.Data.Name)
	return nil
}

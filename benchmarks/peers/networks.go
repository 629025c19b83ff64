package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

// names of the networks, in the order of the tables.
var names = []string{"fashion-resnet-1", "resnet-9x32", "encoder-6x384"}

// sampleCount is how many samples there are: as many as the largest batch.
const sampleCount = 64

// network is a bundle on disk and samples for it.
type network struct {
	dir    string // of the bundle
	about  string // the network, in a phrase
	origin string // of the samples
	values []float32
	size   int       // values of a sample
	tokens [][]int32 // [sampleCount][length]; then there are no values
}

// openNetwork opens or makes the network of that name; what it makes lies below work.
func openNetwork(ctx context.Context, name, work, dataDir string) (*network, error) {
	n := &network{dir: filepath.Join(work, "bundle"), origin: "random"}
	rng := rand.New(rand.NewPCG(1, 0))
	switch name {
	case "fashion-resnet-1":
		n.dir = filepath.Join(folder, "bundles", name)
		return n, n.fashion(ctx, dataDir, rng)
	case "resnet-9x32":
		n.about = "residual convnet of 9 blocks of 32 channels on 32×32×3, random weights"
		n.images(32*32*3, rng)
		return n, saveRandom(n.dir, `{"kind": "resnet", "input": [32, 32, 3], "stages": [{"channels": 32, "blocks": 9}], "norm": "folded"}`, 0)
	case "encoder-6x384":
		const vocabulary, length = 1000, 64
		n.about = fmt.Sprintf("encoder of 6 blocks, 384 wide, 12 heads, hidden 1536, sequences of %d tokens, random weights", length)
		for range sampleCount {
			ids := make([]int32, length)
			for i := range ids {
				ids[i] = 1 + rng.Int32N(vocabulary-1) // 0 is padding
			}
			n.tokens = append(n.tokens, ids)
		}
		return n, saveRandom(n.dir, fmt.Sprintf(`{"kind": "encoder", "layers": 6, "dim": 384, "heads": 12, "hidden": 1536, "vocab": %d, "max_length": %d}`, vocabulary, length), length)
	}
	return nil, fmt.Errorf("there is no network %q", name)
}

// fashion is the committed bundle with test samples, or with random ones where the data set is not there.
func (n *network) fashion(ctx context.Context, dataDir string, rng *rand.Rand) error {
	n.about = "residual convnet of 9 blocks, 16, 32 and 64 channels on 28×28×1, trained on Fashion-MNIST"
	b, err := bundle.Open(n.dir)
	if err != nil {
		return err
	}
	splits, err := train.Load(ctx, b.Data.Source, b.Fit, dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		say("random samples: %v", err)
		n.images(b.Backbone.Input().Size(1), rng)
		return nil
	}
	if err != nil {
		return err
	}
	test := eval.Draw(splits.Test, sampleCount, 1)
	n.origin, n.values, n.size = "test split of "+b.Data.Name, test.Values, test.Size()
	return nil
}

// images draws samples of values from 0 to 1.
func (n *network) images(size int, rng *rand.Rand) {
	n.size, n.values = size, make([]float32, sampleCount*size)
	for i := range n.values {
		n.values[i] = rng.Float32()
	}
}

// saveRandom writes a bundle with random weights, and a head that reads every depth. length is that of sequences.
func saveRandom(dir, config string, length int) error {
	const classes = 10
	net, err := backbone.Decode([]byte(config))
	if err != nil {
		return err
	}
	var reads []int
	for k := range net.Depth() + 1 {
		reads = append(reads, k)
	}
	b := &bundle.Bundle{Name: filepath.Base(dir), CreatedBy: "layarun benchmarks", Backbone: net, Head: laya.Default(reads, classes), MaxLength: length}
	for c := range classes {
		b.Classes = append(b.Classes, fmt.Sprint(c))
	}
	joined, err := compile.NewNetwork(net, b.Head)
	if err != nil {
		return err
	}
	b.Weights = layer.NewWeights(joined.Params(), 1)
	return b.Save(dir)
}

// writeSamples writes them as peer.py reads them.
func (n *network) writeSamples(path string) error {
	var raw bytes.Buffer
	var err error
	if n.tokens == nil {
		err = binary.Write(&raw, binary.LittleEndian, n.values)
	}
	for _, ids := range n.tokens {
		err = errors.Join(err, binary.Write(&raw, binary.LittleEndian, ids))
	}
	return errors.Join(err, os.WriteFile(path, raw.Bytes(), 0o600))
}

// request asks for full-depth answers to batch samples, those from from on.
func (n *network) request(from, batch int) layarun.Request {
	q := layarun.Request{Policy: exit.Full().Name}
	if n.tokens != nil {
		q.Tokens = n.tokens[from : from+batch]
	} else {
		q.Values = n.values[from*n.size : (from+batch)*n.size]
	}
	return q
}

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
	"slices"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
	"github.com/layarun/layarun/train"
)

var (
	// usual are the networks that are compared unless told otherwise: they need nothing that takes long to make.
	usual = []string{"fashion-resnet-1", "resnet-9x32", "encoder-6x384", "encoder-12x384"}
	// tuned are text encoders with exits; their bundles lie with the runs.
	tuned = []string{"clinc150-minilm-1", "sst2-minilm-1", "banking77-minilm-1", "agnews-minilm-1", "trec-minilm-1"}
	// names of all networks, in the order of the tables.
	names = slices.Concat(usual, tuned)
)

// everywhere are the runtimes that take samples of one shape.
var everywhere = []string{"torch", "onnxruntime", "openvino"}

// network is a bundle on disk and samples for it.
type network struct {
	dir      string   // of the bundle
	about    string   // the network, in a phrase
	origin   string   // of the samples
	runtimes []string // layarun's peers; PyTorch first, because it writes the file that the others read
	count    int      // of samples, a multiple of the largest batch
	values   []float32
	size     int       // values of a sample
	tokens   [][]int32 // [count][length]; then there are no values
	length   int       // to which tokens are padded on disk
	pad      int32     // the id of padding
	// What follows is for networks with exits.
	certified *result.Certified // nil for the others
	accuracy  float64           // at full depth, on the test split
}

// openNetwork opens or makes the network of that name; what it makes lies below work, and what was trained below runs.
func openNetwork(ctx context.Context, name, work, runs, dataDir string) (*network, error) {
	if slices.Contains(tuned, name) {
		return openTuned(ctx, name, runs, dataDir)
	}
	n := &network{dir: filepath.Join(work, "bundle"), origin: "random", runtimes: everywhere, count: 64}
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
		return n, n.encoder(6, rng)
	case "encoder-12x384":
		return n, n.encoder(12, rng)
	}
	return nil, fmt.Errorf("there is no network %q", name)
}

// encoder is one of MiniLM's width with so many blocks.
func (n *network) encoder(blocks int, rng *rand.Rand) error {
	const vocabulary, length = 1000, 64
	n.about = fmt.Sprintf("encoder of %d blocks, 384 wide, 12 heads, hidden 1536, sequences of %d tokens, random weights", blocks, length)
	n.length = length
	for range n.count {
		ids := make([]int32, length)
		for i := range ids {
			ids[i] = 1 + rng.Int32N(vocabulary-1) // 0 is padding
		}
		n.tokens = append(n.tokens, ids)
	}
	return saveRandom(n.dir, fmt.Sprintf(`{"kind": "encoder", "layers": %d, "dim": 384, "heads": 12, "hidden": 1536, "vocab": %d, "max_length": %d}`,
		blocks, vocabulary, length), length)
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
	test := eval.Draw(splits.Test, n.count, 1)
	n.origin, n.values, n.size = "test split of "+b.Data.Name, test.Values, test.Size()
	return nil
}

// images draws samples of values from 0 to 1.
func (n *network) images(size int, rng *rand.Rand) {
	n.size, n.values = size, make([]float32, n.count*size)
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
		ids = append(slices.Clone(ids), slices.Repeat([]int32{n.pad}, n.length-len(ids))...)
		err = errors.Join(err, binary.Write(&raw, binary.LittleEndian, ids))
	}
	return errors.Join(err, os.WriteFile(path, raw.Bytes(), 0o600))
}

// request asks for answers to batch samples, those from from on.
func (n *network) request(from, batch int) layarun.Request {
	if n.tokens != nil {
		return layarun.Request{Tokens: n.tokens[from : from+batch]}
	}
	return layarun.Request{Values: n.values[from*n.size : (from+batch)*n.size]}
}

// load drives a runtime with this network's samples. With exits, and in batches of texts, samples cost unlike amounts: a
// turn then is whole passes over the same samples, all of them or, one by one, the first 64.
func (n *network) load(batch, callers, threads int) load {
	l := load{Batch: batch, Callers: callers, Threads: threads}
	if n.certified != nil {
		l.Pass = min(n.count, 64*batch)
	}
	return l
}

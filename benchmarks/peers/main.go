// Command peers compares layarun's speed at full depth, exits off, with PyTorch, ONNX Runtime and OpenVINO running the same
// weights. setup.sh makes the Python environment it needs.
//
//	benchmarks/peers/setup.sh runs/peers/venv
//	go run ./benchmarks/peers -python runs/peers/venv/bin/python
//	go run ./benchmarks/peers -python runs/peers/venv/bin/python -model clinc150-minilm-1
//
// The last is a trained text encoder with exits: layarun runs it twice, at full depth and under its certified policy.
//
// The runtimes take turns, and their logits must agree. It writes results/peers.json, one network after the other, and
// keeps what that file says of networks not asked for. It runs in the root of the repository, on an otherwise idle machine;
// all runtimes use the cores that this process may use.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/compile"
)

// folder is where the benchmarks lie, seen from the root of the repository.
const folder = "benchmarks"

// comparison is what the command line asks for.
type comparison struct {
	python, dataDir, runs, out string
	rounds                     int
	turn                       time.Duration
	device                     *compile.Device
}

func main() {
	var c comparison
	flag.StringVar(&c.python, "python", "", "the interpreter of the environment that setup.sh makes")
	flag.StringVar(&c.dataDir, "data-dir", result.DataDir(), "folder of the known data sets; without them, samples are random")
	flag.StringVar(&c.runs, "runs", cmp.Or(os.Getenv("LAYARUN_RUNS"), "runs"), "folder of the trained networks")
	flag.StringVar(&c.out, "out", result.Path(folder, "peers"), "result file")
	flag.IntVar(&c.rounds, "rounds", 7, "turns of each runtime")
	flag.DurationVar(&c.turn, "turn", 300*time.Millisecond, "length of a turn, at least")
	backend := flag.String("backend", "auto", "backend, as layarun takes it")
	models := flag.String("model", strings.Join(usual, ","), "networks to run, separated by commas; also "+strings.Join(tuned, ", "))
	flag.Parse()
	if c.python == "" || c.rounds < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: peers -python interpreter [-model network,…] [-rounds n] [-turn duration]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, *backend, strings.Split(*models, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// run compares on every network and saves after each.
func (c *comparison) run(ctx context.Context, backend string, models []string) error {
	for _, name := range models {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no network %q, want some of %v", name, names)
		}
	}
	old, err := result.LoadPeers(c.out)
	if errors.Is(err, fs.ErrNotExist) {
		old = &result.Peers{Schema: result.PeersSchema}
	} else if err != nil {
		return err
	}
	if c.device, err = compile.OpenDevice(backend); err != nil {
		return err
	}
	defer c.device.Close()
	for _, name := range models {
		measured, err := c.network(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		merge(old, measured)
		if err := result.SaveJSON(c.out, old); err != nil {
			return err
		}
	}
	return nil
}

// merge puts a network in the place of the one of that name, in the order of names.
func merge(p *result.Peers, measured result.PeerNetwork) {
	p.Networks = slices.DeleteFunc(p.Networks, func(n result.PeerNetwork) bool { return n.Name == measured.Name })
	p.Networks = append(p.Networks, measured)
	slices.SortStableFunc(p.Networks, func(a, b result.PeerNetwork) int {
		return cmp.Compare(slices.Index(names, a.Name), slices.Index(names, b.Name))
	})
}

// network compares the runtimes on one network.
func (c *comparison) network(ctx context.Context, name string) (r result.PeerNetwork, err error) {
	work, err := os.MkdirTemp("", "layarun-peers-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(work)
	n, err := openNetwork(ctx, name, work, c.runs, c.dataDir)
	if err != nil {
		return r, err
	}
	own, err := newOwn(ctx, n, c.device)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, own.runtime.Close()) }()
	peers, err := c.start(ctx, n, work)
	defer func() {
		for _, p := range peers {
			err = errors.Join(err, p.close())
		}
	}()
	if err != nil {
		return r, err
	}
	r = result.PeerNetwork{Name: name, About: n.about, Samples: n.origin, Environment: result.Here(c.device),
		Rounds: c.rounds, TurnSeconds: c.turn.Seconds()}
	r.Threads = r.Environment.Machine.Cores
	owns := []contender{own}
	if p := n.certified; p != nil {
		owns = append(owns, own.under(p.Policy.Name))
		r.Pass, r.Policy, r.Eps, r.FullAccuracy, r.PolicyAccuracy = n.count, p.Policy.Name, p.Eps, n.accuracy, p.Accuracy
	}
	if r.Runtimes, err = c.contest(ctx, n, owns, peers, r.Threads); err != nil {
		return r, err
	}
	if s := r.Headline(); s != "" {
		say("%s", s)
	}
	return r, nil
}

// start starts the network's peers. PyTorch writes the file that the others read.
func (c *comparison) start(ctx context.Context, n *network, work string) ([]*peer, error) {
	inputs, model := filepath.Join(work, "samples"), filepath.Join(work, "model.onnx")
	if err := n.writeSamples(inputs); err != nil {
		return nil, err
	}
	var peers []*peer
	for _, runtime := range n.runtimes {
		p, err := startPeer(ctx, runtime, c.python, "-B", "-W", "ignore", filepath.Join(folder, "peers", "peer.py"), runtime, n.dir, inputs, model)
		if err != nil {
			return peers, err
		}
		peers = append(peers, p)
		if runtime == "torch" {
			if err := p.export(); err != nil {
				return peers, err
			}
		}
	}
	return peers, nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

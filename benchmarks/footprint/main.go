//go:build linux

// Command footprint measures what the program itself takes: the size of the binary, how long predict takes to start and
// answer one sample, its peak memory, and how many executables serving a deep encoder compiles. It writes
// results/footprint.json and runs in the root of the repository, on an otherwise idle machine.
//
//	make build
//	go run ./benchmarks/footprint -binary bin/layarun runs/fashion-resnet-1/bundle
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/layer"
)

// starts is how often each process is started; one more start before warms the disk cache and is not counted.
const starts = 15

func main() {
	binary := flag.String("binary", "bin/layarun", "the program")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: footprint [-binary bin/layarun] bundle …")
		os.Exit(2)
	}
	if err := run(context.Background(), *binary, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, bundles []string) error {
	f := result.Footprint{Schema: result.FootprintSchema}
	info, err := os.Stat(binary)
	if err != nil {
		return err
	}
	f.Binary = info.Size()
	backends := []string{"go"}
	if device, err := compile.OpenDevice("native"); err == nil {
		device.Close()
		backends = append(backends, "native")
	}
	if _, found := compile.FindPlugin("cpu"); found {
		backends = append(backends, "xla:cpu")
	}
	// The starts come first: a child's peak memory counts that of its parent until it runs the program, so the parent must
	// stay small.
	for _, dir := range bundles {
		for _, backend := range backends {
			s, err := start(ctx, binary, dir, backend)
			if err != nil {
				return err
			}
			f.Starts = append(f.Starts, s)
		}
	}
	auto, err := compile.OpenDevice("auto")
	if err != nil {
		return err
	}
	defer auto.Close()
	device, err := auto.Graphs()
	if err != nil {
		return err
	}
	f.Environment = result.Here(device)
	if f.Executables, err = executables(ctx, device); err != nil {
		return err
	}
	return result.SaveJSON(filepath.Join("benchmarks", "results", "footprint.json"), f)
}

// start measures predict on one sample.
func start(ctx context.Context, binary, dir, backend string) (result.Start, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return result.Start{}, err
	}
	info, err := os.Stat(filepath.Join(dir, "weights.safetensors"))
	if err != nil {
		return result.Start{}, err
	}
	s := result.Start{Name: b.Name, Backend: backend, Weights: info.Size()}
	var millis, peak []float64
	for i := range starts + 1 {
		cmd := exec.CommandContext(ctx, binary, "predict", dir, "-", "--backend", backend, "--policy", "full", "--json")
		cmd.Stdin = strings.NewReader(sample(b))
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return s, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
		elapsed := time.Since(begin)
		if usage := cmd.ProcessState.SysUsage().(*syscall.Rusage); i > 0 {
			millis = append(millis, elapsed.Seconds()*1000)
			peak = append(peak, float64(usage.Maxrss)*1024) // Linux counts it in KiB
		}
	}
	if s.Millis, err = eval.NewSpread(millis); err != nil {
		return s, err
	}
	s.Peak, err = eval.NewSpread(peak)
	return s, err
}

// sample is one line that predict reads as one sample.
func sample(b *bundle.Bundle) string {
	if b.Tokenizer != nil {
		return "how much money do i have in my savings account\n"
	}
	rng := rand.New(rand.NewPCG(1, 0))
	values := make([]string, b.Backbone.Input().Size(1))
	for i := range values {
		values[i] = fmt.Sprintf("%.3f", rng.Float64())
	}
	return strings.Join(values, ",") + "\n"
}

// executables compiles everything that serving an encoder of twelve blocks can ask for.
func executables(ctx context.Context, device *compile.Device) (result.Executables, error) {
	x := result.Executables{
		Network: "an encoder of 12 blocks of width 384 with an exit at every depth", Buckets: []int{1, 8, 16, 32}, Lengths: []int{64},
	}
	encoder, err := backbone.Decode([]byte(`{"kind": "encoder", "layers": 12, "dim": 384, "heads": 12, "hidden": 1536, "vocab": 1000, "max_length": 64}`))
	if err != nil {
		return x, err
	}
	var reads []int
	for k := range encoder.Depth() + 1 {
		reads = append(reads, k)
	}
	network, err := compile.NewNetwork(encoder, laya.Default(reads, 10))
	if err != nil {
		return x, err
	}
	engine, err := compile.NewEngine(device, network, layer.NewWeights(network.Params(), 1), x.Lengths, [][]int{x.Buckets})
	if err != nil {
		return x, err
	}
	engine.Fuse([]int{encoder.Depth()}) // exits off, as every runtime has it
	begin := time.Now()
	if err := engine.Compile(ctx, nil); err != nil {
		return x, err
	}
	x.Seconds = time.Since(begin).Seconds()
	x.Count = engine.Executables()
	return x, engine.Close()
}

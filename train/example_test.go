package train_test

import (
	"context"
	"fmt"
	"log"

	_ "github.com/gomlx/compute/gobackend"

	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/train"
)

// A recipe says what differs from the defaults; the data are the embedded digits. The run stays in memory because the
// job names no folder.
func Example() {
	recipe, err := train.ParseRecipe([]byte(`
backbone: {kind: mlp, widths: [32, 32], residual: true}
head: {dim: 16, hidden: 8}
train: {epochs: 6, rate: 0.01}
`))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	resolved, err := recipe.Resolve(ctx, "")
	if err != nil {
		log.Fatal(err)
	}
	device, err := compile.OpenDevice("go")
	if err != nil {
		log.Fatal(err)
	}
	defer device.Close()
	job, err := resolved.Job(device.Backend)
	if err != nil {
		log.Fatal(err)
	}
	result, err := train.Run(ctx, job)
	if err != nil {
		log.Fatal(err)
	}
	b, err := resolved.Bundle("digits", "example", result)
	if err != nil {
		log.Fatal(err)
	}
	validation := result.Epochs[result.Best-1].Validation
	fmt.Println("exits", b.Head.Reads)
	fmt.Println("more than 90 %:", validation.Last() > 0.9)
	// Output:
	// exits [0 1 2]
	// more than 90 %: true
}

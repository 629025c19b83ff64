package layarun_test

import (
	"context"
	"fmt"
	"log"

	"github.com/layarun/layarun"
)

// The bundle's default policy lets a sample leave at depth 0 if the largest probability is at least 0.875; "quick" lets it
// leave there if the two largest are 0.5 apart.
func Example() {
	runtime, err := layarun.Open("bundle/testdata/tiny", layarun.Options{Backend: "go"})
	if err != nil {
		log.Fatal(err)
	}
	defer runtime.Close()
	flowers := []float32{ // untrained weights and made-up numbers: the answers mean nothing
		5.1, 3.5, 1.4, 0.2,
		-6, 40, -9, 7,
	}
	for _, policy := range []string{"", "quick", "full"} {
		answers, err := runtime.Predict(context.Background(), layarun.Request{Values: flowers, Policy: policy})
		if err != nil {
			log.Fatal(err)
		}
		for _, a := range answers {
			fmt.Printf("%-8q%s, leaves at depth %d of 2\n", policy, runtime.Classes()[a.Label], a.ExitDepth)
		}
	}
	// Output:
	// ""      virginica, leaves at depth 2 of 2
	// ""      versicolor, leaves at depth 0 of 2
	// "quick" virginica, leaves at depth 0 of 2
	// "quick" versicolor, leaves at depth 0 of 2
	// "full"  virginica, leaves at depth 2 of 2
	// "full"  versicolor, leaves at depth 2 of 2
}

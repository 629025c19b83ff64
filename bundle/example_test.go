package bundle_test

import (
	"fmt"
	"log"

	"github.com/layarun/layarun/bundle"
)

func ExampleOpen() {
	b, err := bundle.Open("testdata/tiny")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Classes)
	fmt.Println("exits at depths", b.Head.Exits())
	fmt.Println("default policy:", b.Policies[0].Exits, b.Policies[0].Thresholds)
	// Output:
	// [setosa versicolor virginica]
	// exits at depths [0 1 2]
	// default policy: [0 1] [0.875 +Inf]
}

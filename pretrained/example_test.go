package pretrained_test

import (
	"fmt"

	"github.com/layarun/layarun/pretrained"
)

func Example() {
	m, err := pretrained.Open("testdata/bert")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Family, m.Backbone.Depth(), "blocks, classes", m.Classes, "and inputs of up to", m.MaxLength, "tokens")
	// Output: bert 2 blocks, classes [no perhaps yes] and inputs of up to 24 tokens
}

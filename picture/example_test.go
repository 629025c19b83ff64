package picture_test

import (
	"fmt"
	"os"

	"github.com/layarun/layarun/picture"
)

func Example() {
	content, err := os.ReadFile("testdata/large.png")
	if err != nil {
		fmt.Println(err)
		return
	}
	fit := picture.Fit{ShortestEdge: 24, Filter: "bicubic"} // and of that the middle
	values, err := fit.Decode(content, []int{16, 24, 3})
	fmt.Println(len(values), err)
	// Output: 1152 <nil>
}

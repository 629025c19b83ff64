package eval_test

import (
	"fmt"

	"github.com/layarun/layarun/eval"
)

// What a candidate loses is measured on the same samples as the reference.
func ExampleCompare() {
	reference := []bool{true, true, true, true, false, true, true, true}
	candidate := []bool{true, false, true, true, true, true, false, true}
	p, err := eval.Compare(reference, candidate, eval.DefaultResampling())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("worse %d, better %d, drop %.3f, p %.2f\n", p.Worse, p.Better, p.Drop, p.P)
	// Output: worse 2, better 1, drop 0.125, p 1.00
}

// A gate is worth its exits where it lies above the hull of the forced depths.
func ExampleHull() {
	hull, err := eval.Hull([]eval.Point{{"depth 0", 10, 0.70}, {"depth 2", 40, 0.75}, {"depth 4", 60, 0.90}, {"depth 6", 100, 0.91}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range hull {
		fmt.Println(p.Name)
	}
	// Output:
	// depth 0
	// depth 4
	// depth 6
}

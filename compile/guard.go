package compile

import "fmt"

// guard runs f and turns a panic into an error: graph building reports faults by panicking, and nowhere else are such
// panics recovered.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("compile: %v", r)
		}
	}()
	return f()
}

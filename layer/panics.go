package layer

import "fmt"

// ErrorsOnly is deferred in every graph function that is handed to GoMLX. GoMLX returns the errors that such a function
// panics with, but keeps its locks when the panic is of any other type; so whatever an Op panics with becomes an error.
func ErrorsOnly() {
	switch fault := recover().(type) {
	case nil:
	case error:
		panic(fault)
	default:
		panic(fmt.Errorf("%v", fault))
	}
}

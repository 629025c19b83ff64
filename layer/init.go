package layer

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
)

// Init says how a fresh parameter starts.
type Init struct {
	kind  string
	value float64
}

// The initialisers. Fan-in and fan-out of a kernel are its last two axes times the size of the window before them.
var (
	Zeros  = Init{"constant", 0}
	Ones   = Init{"constant", 1}
	Glorot = Init{"glorot", 0} // uniform in ±sqrt(6/(fan_in+fan_out)) (Glorot and Bengio 2010), as Keras's default
	He     = Init{"he", 0}     // normal, variance 2/fan_in (He et al. 2015), for convolutions before ReLU
)

// Constant starts every value at v.
func Constant(v float64) Init { return Init{"constant", v} }

// Normal draws from a normal distribution of mean 0 and the given standard deviation.
func Normal(std float64) Init { return Init{"normal", std} }

// New draws a fresh value of p. The same state of rng gives the same bits on every machine.
func (p Param) New(rng *rand.Rand) *tensors.Tensor {
	n := 1
	for _, d := range p.Dims {
		n *= d
	}
	values := make([]float32, n)
	fanIn, fanOut := fans(p.Dims)
	for i := range values {
		switch p.Init.kind {
		case "glorot":
			values[i] = float32((2*rng.Float64() - 1) * math.Sqrt(6/float64(fanIn+fanOut)))
		case "he":
			values[i] = float32(rng.NormFloat64() * math.Sqrt(2/float64(fanIn)))
		case "normal":
			values[i] = float32(rng.NormFloat64() * p.Init.value)
		default:
			values[i] = float32(p.Init.value)
		}
	}
	return tensors.FromFlatDataAndDimensions(values, p.Dims...)
}

// NewWeights draws fresh values for params (full names), in their order.
func NewWeights(params []Param, seed uint64) Weights {
	rng := rand.New(rand.NewPCG(seed, 0x6c617961)) // the second word only separates this stream from others of the seed
	w := Weights{}
	for _, p := range params {
		w[p.Name] = p.New(rng)
	}
	return w
}

func fans(dims []int) (in, out int) {
	switch len(dims) {
	case 0:
		return 1, 1
	case 1:
		return dims[0], dims[0]
	}
	window := 1
	for _, d := range dims[:len(dims)-2] {
		window *= d
	}
	return window * dims[len(dims)-2], window * dims[len(dims)-1]
}

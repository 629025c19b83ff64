package backbone

// These are for tests, which compare them with GoMLX's convolution.
var (
	ConvolveByProduct = convolveByProduct
	ConvolveByShifts  = convolveByShifts
)

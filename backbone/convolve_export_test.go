package backbone

// ConvolveByProduct is for tests, which compare it with GoMLX's convolution.
var ConvolveByProduct = convolveByProduct

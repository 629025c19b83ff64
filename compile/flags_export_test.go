package compile

// For tests of which plugins get flags.
var (
	KnowsFlags       = knowsFlags
	ConvolutionFlags = convolutionFlags
)

package compile

// Flat is for tests: whether measuring batch sizes stops. CostsOf is how their times come about.
var (
	Flat    = flat
	CostsOf = costsOf
)

package compile

// Flat is for tests: whether measuring batch sizes stops.
var Flat = flat

package kernel

// window is what one call of the pooling loop computes; strides are in bytes. The assembly reads it by these names.
type window struct {
	result, source         *float32
	sourcePixel, sourceRow uintptr // from pixel to pixel and from row to row
	rows, pixels           uintptr // of the window, at least 1
	vectors                uintptr // of channels, at least 1
	average, largest       float32 // factors of the sum and of the maximum
}

// Pool sets result [channels] to average times the mean plus largest times the maximum over the pixels of a window of
// so many rows and pixels, which begins where source does. No number of the source may be negative, unless largest is 0.
func Pool(result []float32, source Image, rows, pixels, channels int, average, largest float32) {
	best.poolWindow(result, source, rows, pixels, channels, average, largest)
}

func (in *instructions) poolWindow(result []float32, source Image, rows, pixels, channels int, average, largest float32) {
	_, _ = result[channels-1], source.Values[(rows-1)*source.Row+(pixels-1)*source.Pixel+channels-1]
	in.pool(&window{
		result: &result[0], source: &source.Values[0], sourcePixel: bytes(source.Pixel), sourceRow: bytes(source.Row),
		rows: uintptr(rows), pixels: uintptr(pixels), vectors: uintptr(channels / in.lanes),
		average: average / float32(rows*pixels), largest: largest,
	})
}

package picture

import "image"

// smooth gives the colours of a JPEG, where they are stored at half the resolution, a value at every pixel: three quarters of
// the nearest and one of the next in either direction, as libjpeg does unless told otherwise. image/jpeg repeats the
// nearest. What has full resolution, or half of it in height alone, is returned as it is.
func smooth(decoded image.Image) image.Image {
	p, ok := decoded.(*image.YCbCr)
	if !ok || p.SubsampleRatio != image.YCbCrSubsampleRatio420 && p.SubsampleRatio != image.YCbCrSubsampleRatio422 {
		return decoded
	}
	if !p.Rect.Min.Eq(image.Point{}) {
		return decoded // no decoder makes such
	}
	fine := *p
	fine.SubsampleRatio, fine.CStride = image.YCbCrSubsampleRatio444, p.Rect.Dx()
	fine.Cb, fine.Cr = chroma(p, p.Cb), chroma(p, p.Cr)
	return &fine
}

// chroma is one of the planes at full resolution.
func chroma(p *image.YCbCr, plane []byte) []byte {
	width, height := p.Rect.Dx(), p.Rect.Dy()
	coarse, halved := (width+1)/2, p.SubsampleRatio == image.YCbCrSubsampleRatio420
	round := [2]int{4, 8} // of even and odd columns, in sixteenths: ties go up and down in turn
	if halved {
		round = [2]int{8, 7}
	}
	fine, sums := make([]byte, width*height), make([]int, coarse) // a row in quarters
	for y := range height {
		near, far := y, y
		if halved {
			near = y / 2
			far = next(y, (height+1)/2)
		}
		for x := range sums {
			sums[x] = 3*int(plane[near*p.CStride+x]) + int(plane[far*p.CStride+x])
		}
		row := fine[y*width : (y+1)*width]
		for x := range row {
			row[x] = byte((3*sums[x/2] + sums[next(x, coarse)] + round[x%2]) >> 4)
		}
	}
	return fine
}

// next is the second nearest place, of so many at half the resolution, to a place at full resolution; at the ends the nearest.
func next(i, places int) int {
	if i%2 == 0 {
		return max(i/2-1, 0)
	}
	return min(i/2+1, places-1)
}

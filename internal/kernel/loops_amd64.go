package kernel

import "golang.org/x/sys/cpu"

// best are the instructions of this processor, nil if it has none that are known here.
var best = detect()

func detect() *instructions {
	switch x := cpu.X86; {
	case x.HasAVX512F:
		return &avx512
	case x.HasAVX2 && x.HasFMA:
		return &avx2
	}
	return nil
}

var avx512 = instructions{"AVX-512", 16, []form{
	{1, 14, avx512Tile1x14}, {1, 8, avx512Tile1x8}, {1, 7, avx512Tile1x7}, {1, 4, avx512Tile1x4}, {1, 2, avx512Tile1x2}, {1, 1, avx512Tile1x1},
	{2, 14, avx512Tile2x14}, {2, 8, avx512Tile2x8}, {2, 7, avx512Tile2x7}, {2, 4, avx512Tile2x4}, {2, 2, avx512Tile2x2}, {2, 1, avx512Tile2x1},
}, avx512Pool, avx512GELU, avx512Softmax, avx512Normalise}

var avx2 = instructions{"AVX2", 8, []form{
	{1, 8, avx2Tile1x8}, {1, 4, avx2Tile1x4}, {1, 2, avx2Tile1x2}, {1, 1, avx2Tile1x1},
	{2, 6, avx2Tile2x6}, {2, 5, avx2Tile2x5}, {2, 4, avx2Tile2x4}, {2, 2, avx2Tile2x2}, {2, 1, avx2Tile2x1},
}, avx2Pool, avx2GELU, avx2Softmax, avx2Normalise}

//go:noescape
func avx512Tile1x14(t *tile)

//go:noescape
func avx512Tile1x8(t *tile)

//go:noescape
func avx512Tile1x7(t *tile)

//go:noescape
func avx512Tile1x4(t *tile)

//go:noescape
func avx512Tile1x2(t *tile)

//go:noescape
func avx512Tile1x1(t *tile)

//go:noescape
func avx512Tile2x14(t *tile)

//go:noescape
func avx512Tile2x8(t *tile)

//go:noescape
func avx512Tile2x7(t *tile)

//go:noescape
func avx512Tile2x4(t *tile)

//go:noescape
func avx512Tile2x2(t *tile)

//go:noescape
func avx512Tile2x1(t *tile)

//go:noescape
func avx2Tile1x8(t *tile)

//go:noescape
func avx2Tile1x4(t *tile)

//go:noescape
func avx2Tile1x2(t *tile)

//go:noescape
func avx2Tile1x1(t *tile)

//go:noescape
func avx2Tile2x6(t *tile)

//go:noescape
func avx2Tile2x5(t *tile)

//go:noescape
func avx2Tile2x4(t *tile)

//go:noescape
func avx2Tile2x2(t *tile)

//go:noescape
func avx2Tile2x1(t *tile)

//go:noescape
func avx512Pool(w *window)

//go:noescape
func avx2Pool(w *window)

//go:noescape
func avx512GELU(x *float32, vectors int)

//go:noescape
func avx512Softmax(x *float32, vectors int)

//go:noescape
func avx512Normalise(n *norm)

//go:noescape
func avx2GELU(x *float32, vectors int)

//go:noescape
func avx2Softmax(x *float32, vectors int)

//go:noescape
func avx2Normalise(n *norm)

package train

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"
	"pgregory.net/rapid"
)

// refShift is the image padded by zeros and cropped again, then mirrored: what augmentation may make of an image.
func refShift(image []float32, dims []int, down, right int, mirror bool) []float32 {
	height, width, channels := dims[0], dims[1], dims[2]
	out := make([]float32, len(image))
	for y := range height {
		for x := range width {
			toX := x + right
			if mirror {
				toX = width - 1 - x + right
			}
			if y+down >= 0 && y+down < height && toX >= 0 && toX < width {
				copy(out[((y+down)*width+toX)*channels:][:channels], image[(y*width+x)*channels:])
			}
		}
	}
	return out
}

func augmented(t interface{ Fatal(...any) }, c Config, images []float32, dims []int, seed uint64) []float32 {
	x := tensors.FromFlatDataAndDimensions(slices.Clone(images), append([]int{len(images) / (dims[0] * dims[1] * dims[2])}, dims...)...)
	if err := c.augment(batch{x: x}, dims, rand.New(rand.NewPCG(seed, 0))); err != nil {
		t.Fatal(err)
	}
	return tensors.MustCopyFlatData[float32](x)
}

// Every image comes out as one of the shifts that are allowed, and the same seed brings the same again.
func TestAugmentedImagesAreShifts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dims := []int{rapid.IntRange(1, 6).Draw(t, "height"), rapid.IntRange(1, 6).Draw(t, "width"), rapid.IntRange(1, 3).Draw(t, "channels")}
		size := dims[0] * dims[1] * dims[2]
		n := rapid.IntRange(1, 4).Draw(t, "n")
		c := Config{Shift: rapid.IntRange(0, 3).Draw(t, "shift"), Flip: rapid.Bool().Draw(t, "flip")}
		seed := rapid.Uint64().Draw(t, "seed")
		images := make([]float32, n*size)
		for i := range images {
			images[i] = float32(i + 1)
		}
		got := augmented(t, c, images, dims, seed)
		if again := augmented(t, c, images, dims, seed); !slices.Equal(got, again) {
			t.Fatalf("the same seed gives %v, then %v", got, again)
		}
		if c.Shift == 0 && !c.Flip && !slices.Equal(got, images) {
			t.Fatalf("without shift and flip %v becomes %v", images, got)
		}
		for i := range n {
			if !allowed(c, images[i*size:(i+1)*size], got[i*size:(i+1)*size], dims) {
				t.Fatalf("image %d became %v, which is no shift of it by up to %d (flip %t)", i, got[i*size:(i+1)*size], c.Shift, c.Flip)
			}
		}
	})
}

func allowed(c Config, image, got []float32, dims []int) bool {
	for down := -c.Shift; down <= c.Shift; down++ {
		for right := -c.Shift; right <= c.Shift; right++ {
			if slices.Equal(got, refShift(image, dims, down, right, false)) || c.Flip && slices.Equal(got, refShift(image, dims, down, right, true)) {
				return true
			}
		}
	}
	return false
}

// All nine shifts by up to one pixel occur, mirrored and not, about equally often.
func TestAugmentationUsesAllShifts(t *testing.T) {
	dims, n := []int{3, 3, 1}, 1800
	image := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	got := augmented(t, Config{Shift: 1, Flip: true}, slices.Repeat(image, n), dims, 1)
	counts := map[string]int{}
	for one := range slices.Chunk(got, 9) {
		counts[fmt.Sprint(one)]++
	}
	if len(counts) != 18 {
		t.Fatalf("%d different images, want 9 shifts times 2", len(counts))
	}
	for image, count := range counts {
		if count < 60 || count > 140 { // binomial of 1800 draws at 1/18: 100 ± 9.7, four deviations
			t.Errorf("%s occurs %d times of %d, want about %d", image, count, n, n/18)
		}
	}
}

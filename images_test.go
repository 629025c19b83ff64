package layarun_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/backbone"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/laya"
	"github.com/layarun/layarun/picture"
)

// images is a vision transformer of 2 blocks over images of 16 by 24 pixels.
func images(t testing.TB) *bundle.Bundle {
	t.Helper()
	b, err := backbone.Decode([]byte(`{"kind":"vit","input":[16,24,3],"patch":8,"layers":2,"dim":8,"heads":2,"hidden":12}`))
	if err != nil {
		t.Fatal(err)
	}
	head := laya.Default([]int{0, 1, 2}, 3)
	head.Dim, head.Hidden = 6, 5
	return filled(t, &bundle.Bundle{Name: "images", Backbone: b, Head: head, Classes: []string{"a", "b", "c"},
		Fit: picture.Fit{ShortestEdge: 24, Filter: "bicubic"}})
}

// files are pictures of several sizes and formats.
func files(t testing.TB) (all [][]byte) {
	t.Helper()
	for _, name := range []string{"large.png", "grey.png", "photo.jpg", "small.png"} {
		content, err := os.ReadFile(filepath.Join("picture", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content)
	}
	return all
}

// Files of pictures are answered as the values that the bundle's fit makes of them.
func TestImages(t *testing.T) {
	b := images(t)
	r := open(t, b, first(t))
	var values []float32
	for _, file := range files(t) {
		pixels, err := r.Pixels(file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := b.Fit.Decode(file, []int{16, 24, 3})
		if err != nil || !near(pixels, want, 0) {
			t.Fatalf("the runtime decodes otherwise than the bundle's fit (%v)", err)
		}
		values = append(values, pixels...)
	}
	byFile, byValue := predict(t, r, layarun.Request{Images: files(t)}), predict(t, r, layarun.Request{Values: values})
	if len(byFile) != 4 {
		t.Fatalf("%d answers to 4 images", len(byFile))
	}
	for i := range byFile {
		if byFile[i].ExitDepth != byValue[i].ExitDepth || !near(byFile[i].Logits, byValue[i].Logits, tolerance) {
			t.Errorf("image %d: %+v, its values %+v", i, byFile[i], byValue[i])
		}
	}
}

func TestImagesRefused(t *testing.T) {
	r, v, x := open(t, images(t), first(t)), open(t, vectors(t, everyDepth()), first(t)), open(t, texts(t), first(t))
	good := files(t)[0]
	for _, c := range []struct {
		runtime *layarun.Runtime
		request layarun.Request
		want    string
	}{
		{r, layarun.Request{Images: [][]byte{good, []byte("GIF89a")}}, "image 1: picture: neither PNG nor JPEG"},
		{r, layarun.Request{Images: [][]byte{good[:100]}}, "image 0: picture: png: "},
		{r, layarun.Request{Images: [][]byte{{}}}, "image 0: picture: neither"},
		{r, layarun.Request{Images: [][]byte{good}, Values: make([]float32, 16*24*3)}, "samples of several kinds"},
		{v, layarun.Request{Images: [][]byte{good}}, "image 0: layarun: the network reads samples of dims [5], not images"},
		{x, layarun.Request{Images: [][]byte{good}}, "not images"},
	} {
		answers, err := c.runtime.Predict(t.Context(), c.request)
		if !errors.Is(err, layarun.ErrRequest) || answers != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error is %v, want ErrRequest with %q", err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Predict(cancelled, layarun.Request{Images: files(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
}

package dataset

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // the formats that folders may hold
	_ "image/png"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/image/draw"
)

// maxPixels bounds one image before it is decoded: 256 MiB as RGBA.
const maxPixels = 1 << 26

// readFolder reads a folder with one folder of images per class, or of images without labels. Names that begin with a dot
// are left out. Images are brought to one size and to one or three channels: to options.Dims, else to what the first has.
func readFolder(ctx context.Context, root string, options Options) (*Set, error) {
	names, err := list(root)
	if err != nil {
		return nil, err
	}
	s := &Set{Name: root, Dims: slices.Clone(options.Dims), Classes: options.Classes}
	folders := slices.DeleteFunc(slices.Clone(names), isImage)
	if len(folders) > 0 && len(folders) < len(names) {
		return nil, fmt.Errorf("dataset: %s: holds images and also %q: want a folder per class, or images alone", root, folders[0])
	}
	if len(folders) == 0 {
		return s, s.addImages(ctx, root, names, Unknown)
	}
	if s.Classes == nil {
		sortClasses(folders)
		s.Classes = folders
	}
	for _, folder := range folders {
		files, err := list(filepath.Join(root, folder))
		if err != nil {
			return nil, err
		}
		label, err := classIndex(folder, s.Classes)
		if err != nil {
			return nil, fmt.Errorf("dataset: %s: %w", filepath.Join(root, folder), err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("dataset: %s: no images", filepath.Join(root, folder))
		}
		if err := s.addImages(ctx, filepath.Join(root, folder), files, label); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readImage reads one image, without a label.
func readImage(ctx context.Context, file string, options Options) (*Set, error) {
	s := &Set{Name: file, Dims: slices.Clone(options.Dims), Classes: options.Classes}
	return s, s.addImages(ctx, filepath.Dir(file), []string{filepath.Base(file)}, Unknown)
}

// list gives the sorted names in a folder but for those that begin with a dot.
func list(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

func isImage(name string) bool {
	return slices.Contains([]string{".png", ".jpg", ".jpeg"}, strings.ToLower(path.Ext(name)))
}

func (s *Set) addImages(ctx context.Context, folder string, names []string, label int) error {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := filepath.Join(folder, name)
		if !isImage(name) {
			return fmt.Errorf("dataset: %s: want .png, .jpg or .jpeg", file)
		}
		content, err := readFile(file)
		if err != nil {
			return err
		}
		if s.Dims == nil {
			if s.Dims, err = imageDims(content); err != nil {
				return fmt.Errorf("dataset: %s: %w", file, err)
			}
		}
		values, err := decodeImage(content, s.Dims)
		if err != nil {
			return fmt.Errorf("dataset: %s: %w", file, err)
		}
		if len(s.Values) > maxValues-len(values) {
			return fmt.Errorf("dataset: %s: more than %d values: name a smaller size", file, maxValues)
		}
		s.Values, s.Labels = append(s.Values, values...), append(s.Labels, label)
	}
	return nil
}

// imageDims reads an image's header; grey images have one channel.
func imageDims(content []byte) ([]int, error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	channels := 3
	if config.ColorModel == color.GrayModel || config.ColorModel == color.Gray16Model {
		channels = 1
	}
	return []int{config.Height, config.Width, channels}, nil
}

// decodeImage gives an image's values in [0, 1], [height, width, channels], scaled bilinearly where it has another size.
// What is transparent is black. Images of more than maxPixels are refused before they are decoded.
func decodeImage(content []byte, dims []int) ([]float32, error) {
	if len(dims) != 3 || slices.Min(dims) < 1 || dims[2] != 1 && dims[2] != 3 || dims[0] > maxPixels/dims[1] {
		return nil, fmt.Errorf("dims are %v, want [height, width, 1 or 3] of at most %d pixels", dims, maxPixels)
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if config.Width < 1 || config.Height < 1 || config.Width > maxPixels/config.Height {
		return nil, fmt.Errorf("image is %d x %d, want 1 to %d pixels", config.Width, config.Height, maxPixels)
	}
	picture, _, err := image.Decode(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	target := image.NewRGBA(image.Rect(0, 0, dims[1], dims[0]))
	if picture.Bounds().Size() == target.Bounds().Size() {
		draw.Draw(target, target.Bounds(), picture, picture.Bounds().Min, draw.Over)
	} else {
		draw.BiLinear.Scale(target, target.Bounds(), picture, picture.Bounds(), draw.Over, nil)
	}
	values := make([]float32, 0, product(dims))
	for at := 0; at < len(target.Pix); at += 4 {
		rgb := target.Pix[at : at+3]
		if dims[2] == 3 {
			values = append(values, unit(rgb)...)
			continue
		}
		grey := color.GrayModel.Convert(color.RGBA{rgb[0], rgb[1], rgb[2], 255}).(color.Gray)
		values = append(values, float32(grey.Y)/255)
	}
	return values, nil
}

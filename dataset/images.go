package dataset

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/layarun/layarun/picture"
)

// readFolder reads a folder with one folder of images per class, or of images without labels. Names that begin with a dot
// are left out. Images are brought to one size and to one or three channels, to options.Dims, by options.Fit; else to what
// the first has.
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
		return s, s.addImages(ctx, root, names, Unknown, options.Fit)
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
		if err := s.addImages(ctx, filepath.Join(root, folder), files, label, options.Fit); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// readImage reads one image, without a label.
func readImage(ctx context.Context, file string, options Options) (*Set, error) {
	s := &Set{Name: file, Dims: slices.Clone(options.Dims), Classes: options.Classes}
	return s, s.addImages(ctx, filepath.Dir(file), []string{filepath.Base(file)}, Unknown, options.Fit)
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

func (s *Set) addImages(ctx context.Context, folder string, names []string, label int, fit picture.Fit) error {
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
			if s.Dims, err = picture.Dims(content); err != nil {
				return fmt.Errorf("dataset: %s: %w", file, err)
			}
		}
		values, err := fit.Decode(content, s.Dims)
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

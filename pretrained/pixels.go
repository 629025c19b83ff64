package pretrained

import (
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/layarun/layarun/picture"
)

// processors are the classes that preprocessor_config.json may be of, without their endings FeatureExtractor, ImageProcessor
// and ImageProcessorFast, and what each does where the file does not say.
var processors = map[string]struct {
	crops   bool // what is not of the network's size after scaling
	square  bool // a size that is one number is height and width, else the shortest edge
	bicubic bool
}{
	"ViT": {square: true}, "DeiT": {crops: true, square: true, bicubic: true},
	"CLIP": {crops: true, bicubic: true}, "Bit": {crops: true, bicubic: true},
}

// harmlessPixels are fields of preprocessor_config.json that change nothing about the values of a picture.
var harmlessPixels = []string{
	"_processor_class", "_valid_processor_keys", "data_format", "device", "disable_grouping", "do_convert_rgb", "input_data_format",
	"processor_class", "return_tensors",
}

// readPixels makes what preprocessor_config.json says about pictures part of the plan: how they are brought to the
// network's size, dims, and the mean and deviation of each channel, for values in [0, 1]. Where there is no such file,
// mean and deviation are the given ones; nil makes the file a must.
func (p *plan) readPixels(dir *folder, dims []int, mean, std []float32) error {
	text, err := dir.readIfThere(preprocessorFile)
	if err != nil {
		return err
	}
	if text == nil && mean == nil {
		return fmt.Errorf("%s: %w, and mean and deviation of the pixels stand nowhere else", preprocessorFile, fs.ErrNotExist)
	}
	if text != nil {
		c, err := parseConfig(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", preprocessorFile, err)
		}
		mean, std = c.moments(dims[2])
		p.fit = c.fit(dims)
		c.refuseUnknown(harmlessPixels)
		if err := c.err(); err != nil {
			return fmt.Errorf("%s: %w", preprocessorFile, err)
		}
		if err := p.fit.Validate(dims); err != nil {
			return fmt.Errorf("%s: %w", preprocessorFile, err)
		}
	}
	if p.given == nil {
		p.given = map[string]*tensors.Tensor{}
	}
	p.given["stem.mean"], p.given["stem.std"] = tensors.FromValue(mean), tensors.FromValue(std)
	return nil
}

// moments are mean and deviation of each channel.
func (c *config) moments(channels int) (mean, std []float32) {
	normalise, factor := true, 1./255
	c.only("do_rescale", "true")
	if c.get("rescale_factor", "a number", &factor); !(math.Abs(factor*255-1) <= 1e-6) {
		c.fault("rescale_factor is %v, want 1/255, for pixels from 0 to 1", factor)
	}
	c.get("do_normalize", "true or false", &normalise)
	c.get("image_mean", "a list of numbers", &mean)
	c.get("image_std", "a list of numbers", &std)
	if !normalise {
		return make([]float32, channels), slices.Repeat([]float32{1}, channels)
	}
	if len(mean) != channels || len(std) != channels || !(slices.Min(std) > 0) {
		c.fault("image_mean is %v and image_std %v, want %d numbers each, those of image_std > 0", mean, std, channels)
	}
	return mean, std
}

// fit is how a picture is brought to the network's size.
func (c *config) fit(dims []int) (f picture.Fit) {
	name := c.text("image_processor_type", c.text("feature_extractor_type", "ViTImageProcessor"))
	kind := name
	for _, ending := range []string{"FeatureExtractor", "ImageProcessor", "ImageProcessorFast"} {
		kind = strings.TrimSuffix(kind, ending)
	}
	usual, known := processors[kind]
	if !known || kind == name {
		c.fault("image_processor_type is %q, want the ImageProcessor of %s", name, list(sortedKeys(processors)))
	}
	c.only("do_resize", "true")
	c.only("do_pad", "false")
	c.get("default_to_square", "true or false", &usual.square)
	if usual.crops {
		c.get("do_center_crop", "true or false", &usual.crops)
	} else {
		c.only("do_center_crop", "false")
	}
	if edges := c.edges("crop_size"); usual.crops && edges != nil && !slices.Equal(edges.of(true), dims[:2]) {
		c.fault("crop_size is %s, want %v, the image_size of %s", short(c.fields["crop_size"]), dims[:2], configFile)
	}
	if edges := c.edges("size"); edges != nil {
		f.Size, f.ShortestEdge = edges.of(usual.square), edges.shortest(usual.square)
	}
	if slices.Equal(f.Size, dims[:2]) {
		f.Size = nil
	}
	if !usual.crops && (f.Size != nil || f.ShortestEdge != 0) {
		c.fault("size is %s, want %v, the image_size of %s, where nothing is cropped", short(c.fields["size"]), dims[:2], configFile)
	}
	if c.bicubic(usual.bicubic) {
		f.Filter = "bicubic"
	}
	return f
}

// bicubic tells the filter from resample, Pillow's number of it.
func (c *config) bicubic(usual bool) bool {
	number := 2
	if usual {
		number = 3
	}
	if c.get("resample", "a whole number", &number); number != 2 && number != 3 {
		c.fault("resample is %d, want 2, bilinear, or 3, bicubic", number)
	}
	return number == 3
}

// edges is a size as preprocessor_config.json has it, a number or an object.
type edges struct {
	number                  int
	Height, Width, Shortest int
}

// edges reads a size; nil where there is none or it is wrong.
func (c *config) edges(name string) *edges {
	e := &edges{}
	var object map[string]int
	raw := c.fields[name]
	if len(raw) > 0 && raw[0] != '{' {
		if !c.get(name, "a whole number or an object of them", &e.number) {
			return nil
		}
		return e
	}
	if !c.get(name, "a whole number or an object of them", &object) {
		return nil
	}
	e.Height, e.Width, e.Shortest = object["height"], object["width"], object["shortest_edge"]
	keys := sortedKeys(object)
	if !slices.Equal(keys, []string{"height", "width"}) && !slices.Equal(keys, []string{"shortest_edge"}) {
		c.fault("%s is %s, want height and width, or shortest_edge alone", name, short(raw))
		return nil
	}
	return e
}

// of is [height, width]; nil for a shortest edge.
func (e *edges) of(square bool) []int {
	switch {
	case e.number != 0 && square:
		return []int{e.number, e.number}
	case e.number != 0 || e.Shortest != 0:
		return nil
	}
	return []int{e.Height, e.Width}
}

// shortest is the shortest edge; 0 for height and width.
func (e *edges) shortest(square bool) int {
	if square {
		return e.Shortest
	}
	return e.Shortest + e.number // one of them is 0
}

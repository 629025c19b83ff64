package dataset

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"path"
	"strconv"

	"github.com/layarun/layarun/picture"
)

const side, plane = 32, 32 * 32 // of CIFAR's images

// parseRecords reads CIFAR's binary format: a label byte, then 32x32 red, green and blue bytes, for every image.
func parseRecords(name, path string, data []byte, classes []string) (*Set, error) {
	const size = 1 + 3*plane
	if len(data) == 0 || len(data)%size != 0 {
		return nil, fmt.Errorf("dataset: %s: %d bytes are no whole number of records of %d", path, len(data), size)
	}
	n := len(data) / size
	s := &Set{Name: name, Dims: []int{side, side, 3}, Classes: classes, Values: make([]float32, n*3*plane)}
	for i := range n {
		record := data[i*size : (i+1)*size]
		if int(record[0]) >= len(classes) {
			return nil, fmt.Errorf("dataset: %s: label of record %d is %d, want 0 to %d", path, i, record[0], len(classes)-1)
		}
		s.Labels = append(s.Labels, int(record[0]))
		row := s.Row(i)
		for at, v := range record[1:] {
			row[at%plane*3+at/plane] = float32(v) / 255
		}
	}
	return s, nil
}

// readRecordPair reads two files: training and test records.
func readRecordPair(s *source, classes []string) (*parts, error) {
	var sets [2]*Set
	for i := range sets {
		data, err := s.open(i)
		if err != nil {
			return nil, err
		}
		if sets[i], err = parseRecords(s.known.Name, s.path(i), data, classes); err != nil {
			return nil, err
		}
	}
	return &parts{pool: sets[0], test: sets[1]}, nil
}

func readTracks(s *source) (*parts, error) {
	var signs []string
	for sign := range 43 {
		signs = append(signs, strconv.Itoa(sign))
	}
	p, err := readRecordPair(s, signs)
	if err != nil {
		return nil, err
	}
	for i := range p.pool.Len() {
		p.pool.Groups = append(p.pool.Groups, i/6)
	}
	return p, nil
}

// readCIFARJPEG reads archives of JPEG files named folder/<index>_<label>.jpg.
func readCIFARJPEG(s *source) (*parts, error) {
	var sets [2]*Set
	for i := range sets {
		data, err := s.open(i)
		if err != nil {
			return nil, err
		}
		if sets[i], err = parseJPEGs(s, s.path(i), data); err != nil {
			return nil, err
		}
	}
	return &parts{pool: sets[0], test: sets[1]}, nil
}

func parseJPEGs(s *source, file string, data []byte) (*Set, error) {
	set := &Set{Name: s.known.Name, Dims: []int{side, side, 3}, Classes: cifarNames}
	archive := tar.NewReader(bytes.NewReader(data))
	for {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return set, nil
		}
		if err != nil {
			return nil, fmt.Errorf("dataset: %s: %w", file, err)
		}
		var index, label int
		if _, err := fmt.Sscanf(path.Base(header.Name), "%05d_%d.jpg", &index, &label); err != nil || index != set.Len() {
			return nil, fmt.Errorf("dataset: %s: %q is out of order, want image %05d", file, header.Name, set.Len())
		}
		content, err := io.ReadAll(io.LimitReader(archive, maxFile))
		if err != nil {
			return nil, fmt.Errorf("dataset: %s: %s: %w", file, header.Name, err)
		}
		config, _, err := image.DecodeConfig(bytes.NewReader(content))
		if err != nil || config.Width != side || config.Height != side {
			return nil, fmt.Errorf("dataset: %s: %s is %dx%d, want a JPEG of %dx%d", file, header.Name, config.Width, config.Height, side, side)
		}
		values, err := picture.Fit{}.Decode(content, set.Dims)
		if err != nil {
			return nil, fmt.Errorf("dataset: %s: %s: %w", file, header.Name, err)
		}
		set.Values, set.Labels = append(set.Values, values...), append(set.Labels, label)
	}
}

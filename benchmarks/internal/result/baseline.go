package result

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/internal/strict"
)

// Baseline is what baselines/tfidf.py reports of a text set. It lies in results/<name>.json.
type Baseline struct {
	Schema      string            `json:"schema"`
	Name        string            `json:"name"`
	Data        string            `json:"data"`
	Split       string            `json:"split"` // digest of the test split
	Environment map[string]string `json:"environment"`
	Features    string            `json:"features"`
	C           float64           `json:"c"`
	Tried       []struct {
		Features   string  `json:"features"`
		C          float64 `json:"c"`
		Validation float64 `json:"validation_accuracy"`
	} `json:"tried"`
	Validation float64 `json:"validation_accuracy"`
	N          int     `json:"n"`
	Accuracy   float64 `json:"accuracy"`
	Labels     []int   `json:"labels"`  // of the test split
	Answers    []int   `json:"answers"` // to it
}

// BaselineSchema is the version of a baseline's result file.
const BaselineSchema = "layarun.baseline/1"

// verify recomputes the accuracy from the answers. Where one of the networks was tested on the same split, its labels
// must be the baseline's.
func (b *Baseline) verify(networks map[string]Tables) error {
	accuracy, err := eval.Accuracy(b.Answers, b.Labels)
	if err != nil {
		return fmt.Errorf("%s: %w", b.Name, err)
	}
	if accuracy != b.Accuracy || len(b.Labels) != b.N {
		return fmt.Errorf("%s: accuracy %v of %d, recorded %v of %d", b.Name, accuracy, len(b.Labels), b.Accuracy, b.N)
	}
	for name, t := range networks {
		if t.Test.Split == b.Split && !slices.Equal(t.Test.Labels, b.Labels) {
			return fmt.Errorf("%s: labels differ from those of %s, which names the same test split", b.Name, name)
		}
	}
	return nil
}

// Collection is everything in the folder of results.
type Collection struct {
	Results   map[string]*Result // by name
	Baselines map[string]*Baseline
	Footprint *Footprint // nil if it was not measured, as are those below
	Kept      *Kept
	Overhead  *Overhead
	Scheduler *Scheduler
	Peers     *Peers
}

// Collect reads the result files below the folder of the benchmarks. Files of other schemas belong to other programs and
// are passed over.
func Collect(folder string) (*Collection, error) {
	c := &Collection{Results: map[string]*Result{}, Baselines: map[string]*Baseline{}}
	paths, err := filepath.Glob(filepath.Join(folder, "results", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := c.add(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, nil
}

func (c *Collection) add(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var head struct{ Schema, Name string }
	if err := json.Unmarshal(text, &head); err != nil {
		return err
	}
	name := filepath.Base(path)
	name = name[:len(name)-len(".json")]
	if (head.Schema == Schema || head.Schema == BaselineSchema) && head.Name != name {
		return fmt.Errorf("name is %q, want that of the file, %q", head.Name, name)
	}
	switch head.Schema {
	case Schema:
		c.Results[name], err = Load(path)
	case BaselineSchema:
		c.Baselines[name] = new(Baseline)
		err = strict.Decode(text, c.Baselines[name])
	case FootprintSchema:
		c.Footprint = new(Footprint)
		err = strict.Decode(text, c.Footprint)
	case PeersSchema:
		c.Peers, err = LoadPeers(path)
	case KeptSchema:
		c.Kept = new(Kept)
		err = strict.Decode(text, c.Kept)
	case OverheadSchema:
		c.Overhead = new(Overhead)
		err = strict.Decode(text, c.Overhead)
	case SchedulerSchema:
		c.Scheduler = new(Scheduler)
		err = strict.Decode(text, c.Scheduler)
	}
	return err
}

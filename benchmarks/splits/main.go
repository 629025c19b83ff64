// Command splits writes the four splits of a text data set as JSON lines, so that programs in other languages train and
// report on exactly the samples that layarun does.
//
//	go run ./benchmarks/splits clinc150 folder
//
// Each line of train.jsonl, validation.jsonl, calibration.jsonl and test.jsonl is {"text": …, "label": …} with the label as
// an index into the classes; splits.json holds the classes and the digest of each split.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/layarun/layarun/benchmarks/internal/result"
	"github.com/layarun/layarun/dataset"
)

func main() {
	dataDir := flag.String("data-dir", result.DataDir(), "folder of the known data sets")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: splits [-data-dir folder] name folder")
		os.Exit(2)
	}
	if err := export(context.Background(), *dataDir, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "splits:", err)
		os.Exit(1)
	}
}

// index is splits.json.
type index struct {
	Name    string            `json:"name"`
	Classes []string          `json:"classes"`
	Digests map[string]string `json:"digests"`
}

func export(ctx context.Context, dataDir, name, folder string) error {
	splits, err := dataset.Load(ctx, name, dataset.Options{Dir: dataDir})
	if err != nil {
		return err
	}
	if !splits.Train.IsText() {
		return fmt.Errorf("%s is not a text set", name)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	all := index{Name: name, Classes: splits.Train.Classes, Digests: map[string]string{}}
	for part, set := range map[string]*dataset.Set{
		"train": splits.Train, "validation": splits.Validation, "calibration": splits.Calibration, "test": splits.Test,
	} {
		if err := writeLines(filepath.Join(folder, part+".jsonl"), set); err != nil {
			return err
		}
		all.Digests[part] = set.Digest()
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(folder, "splits.json"), append(text, '\n'), 0o644)
}

func writeLines(path string, set *dataset.Set) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer file.Cleanup() // nothing left to do once the file has taken its place
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	for i, text := range set.Texts {
		line := struct {
			Text  string `json:"text"`
			Label int    `json:"label"`
		}{text, set.Labels[i]}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.CloseAtomicallyReplace()
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/pretrained"
	"github.com/layarun/layarun/train"
)

// importOptions are the flags of import.
type importOptions struct {
	out       string
	precision string
	data      string
	fields    fieldFlags
}

func newImportCmd(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import MODEL",
		Short: "Make a bundle of a pretrained network, with exits if it is given data",
		Long: `Read a checkpoint in the layout of the Hugging Face hub and write a bundle with its backbone, its tokenizer or how it scales
images, and, where it has one, its own classifier. MODEL is a folder with config.json and model.safetensors, or the name
of a model on the hub such as org/name, which is fetched into the cache that Hugging Face's programs share.

A checkpoint with a classifier makes a bundle that answers as the checkpoint does, at full depth.

With --data it gets exits as well: --out is then a run folder, as train writes it, with the checkpoint's own bundle in
imported and one with a head at every depth in bundle. The backbone stays as it is and is read once; only the head learns.
What it costs in accuracy to change the checkpoint's classifier for that head is said. DATA is what train takes, and so are
the fields --data.…, --head.… and --train.…; --train.backbone_rate 0.1 trains the backbone on, too. A run that was
interrupted goes on where it stopped when the same command is given again.

Whatever the backbone would not follow exactly is refused by name: a field of config.json or preprocessor_config.json,
or a tensor.`,
		Example: "  layarun import models/my-bert --data tickets.csv --data.text_column body --data.label_column team\n" +
			"  layarun import models/my-bert --out bundles/my-bert\n" +
			"  layarun import sentence-transformers/all-MiniLM-L6-v2 --precision float16",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.data != "" {
				return a.importWithExits(cmd.Context(), args[0], o)
			}
			if o.fields.given() {
				return usageError("--data.…, --head.… and --train.… do nothing without --data")
			}
			v, err := importModel(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			return a.showImported(v)
		},
	}
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "bundle to write (default the model's name, here); with --data the run folder (default runs/<model's name>)")
	cmd.Flags().StringVar(&o.data, "data", "", "data to train a head with exits on")
	o.fields.add(cmd.Flags(), "train", train.Default())
	o.fields.add(cmd.Flags(), "data", train.Data{})
	o.fields.addHead(cmd.Flags())
	a.addBackendFlag(cmd)
	a.addDataFlag(cmd)
	cmd.Flags().StringVar(&o.precision, "precision", "float32", "of the weights on disk: float32, float16 or bfloat16")
	return cmd
}

// imported is what import reports.
type imported struct {
	Bundle    string   `json:"bundle"`
	Digest    string   `json:"digest"`
	Family    string   `json:"family"`
	Blocks    int      `json:"blocks"`
	MaxLength int      `json:"max_length,omitempty"` // tokens
	Classes   []string `json:"classes"`              // none without a classifier
	Unused    []string `json:"unused"`               // tensors of the checkpoint that the network does not need
}

func importModel(ctx context.Context, model string, o importOptions) (*imported, error) {
	if o.precision != "float32" && o.precision != bundle.Float16 && o.precision != bundle.BFloat16 {
		return nil, usageError("--precision is %q, want float32, %s or %s", o.precision, bundle.Float16, bundle.BFloat16)
	}
	dir, err := findModel(ctx, model)
	if err != nil {
		return nil, err
	}
	m, err := pretrained.Open(dir)
	if err != nil {
		return nil, err
	}
	name := filepath.Base(filepath.Clean(model))
	if o.out == "" {
		o.out = name
	}
	b := m.Bundle(name, "layarun "+readVersion().Version)
	if o.precision != "float32" {
		if b, err = b.Round(o.precision); err != nil {
			return nil, err
		}
	}
	if !holds(o.out, b) {
		if err := os.MkdirAll(filepath.Dir(filepath.Clean(o.out)), 0o777); err != nil {
			return nil, err
		}
		if err := b.Save(o.out); err != nil {
			return nil, err
		}
	}
	return &imported{Bundle: o.out, Digest: b.Digest(), Family: m.Family, Blocks: m.Backbone.Depth(), MaxLength: m.MaxLength,
		Classes: append([]string{}, m.Classes...), Unused: append([]string{}, m.Unused...)}, nil
}

// holds reports whether dir is the given bundle already: a command that is given again finds its own.
func holds(dir string, b *bundle.Bundle) bool {
	there, err := bundle.Open(dir)
	return err == nil && there.Digest() == b.Digest()
}

var hubName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)

// findModel is the folder of a model: model itself, or where it lies once it has been fetched from the hub.
func findModel(ctx context.Context, model string) (string, error) {
	info, err := os.Stat(model)
	switch {
	case err == nil && info.IsDir():
		return model, nil
	case err == nil:
		return "", fmt.Errorf("%s is a file, want the folder that holds config.json and the weights", model)
	case !hubName.MatchString(model):
		return "", fmt.Errorf("%s is neither a folder nor the name of a model on the hub, such as org/name", model)
	}
	return pretrained.Fetch(ctx, model)
}

func (a *app) showImported(v *imported) error {
	if a.json {
		return a.emit("import/1", v)
	}
	fmt.Fprintf(a.out, "%s: %s of %d blocks\n", v.Bundle, v.Family, v.Blocks)
	if len(v.Classes) > 0 {
		fmt.Fprintf(a.out, "%d classes: %s\n", len(v.Classes), shortList(v.Classes, 8))
	}
	if len(v.Unused) > 0 {
		a.say("left out, as the network does not need them: %s", shortList(v.Unused, 8))
	}
	if len(v.Classes) == 0 {
		a.say("the checkpoint has no classifier; next: layarun train DATA --start %s", v.Bundle)
	} else {
		a.say("it answers at full depth; for exits: the same with --data DATA, or layarun train DATA --start %s --head.kind prefix", v.Bundle)
	}
	return nil
}

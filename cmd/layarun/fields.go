package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/layarun/layarun/laya"
)

// fieldFlags are the fields of a configuration file as flags, named by their path: --train.epochs.
type fieldFlags struct {
	backbone string
	flags    []fieldFlag
}

type fieldFlag struct {
	section, name string
	flag          *pflag.Flag
}

// add makes a flag of every field of defaults, a struct with JSON names.
func (ff *fieldFlags) add(f *pflag.FlagSet, section string, defaults any) {
	ff.addFields(f, section, reflect.ValueOf(defaults), nil)
}

// addHead does so for the head, whose classes follow from the data.
func (ff *fieldFlags) addHead(f *pflag.FlagSet) {
	ff.addFields(f, "head", reflect.ValueOf(laya.Default(nil, 0)), []string{"classes"})
}

func (ff *fieldFlags) addFields(f *pflag.FlagSet, section string, v reflect.Value, skip []string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			ff.addFields(f, section, v.Field(i), skip)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || strings.Contains(strings.Join(skip, ","), name) {
			continue
		}
		path := section + "." + name
		f.String(path, "", fmt.Sprintf("%s of the recipe's %s%s", name, section, defaultText(v.Field(i))))
		flag := f.Lookup(path)
		flag.Hidden = true // forty of them would bury the rest; the long help names the rule
		ff.flags = append(ff.flags, fieldFlag{section, name, flag})
	}
}

func defaultText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (default %v)", v)
}

// merge writes the flags that were given over the fields of a recipe in YAML.
func (ff *fieldFlags) merge(recipe []byte) ([]byte, error) {
	tree := map[string]any{}
	if err := yaml.Unmarshal(recipe, &tree); err != nil {
		return nil, usageError("recipe: %w", err)
	}
	for _, flag := range ff.flags {
		if !flag.flag.Changed {
			continue
		}
		var value any
		if err := yaml.Unmarshal([]byte(flag.flag.Value.String()), &value); err != nil {
			return nil, usageError("--%s.%s: %w", flag.section, flag.name, err)
		}
		section, ok := tree[flag.section].(map[string]any)
		if !ok {
			section = map[string]any{}
			tree[flag.section] = section
		}
		section[flag.name] = value
	}
	if ff.backbone != "" {
		var value map[string]any
		if err := yaml.Unmarshal([]byte(ff.backbone), &value); err != nil {
			return nil, usageError("--backbone: %w", err)
		}
		tree["backbone"] = value
	}
	return yaml.Marshal(tree)
}

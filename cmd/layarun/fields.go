package main

import (
	"fmt"
	"reflect"
	"slices"
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
	text          bool // the field is a string, to be taken as it is typed
	list          bool // the field is a list, which may be typed without brackets
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
		if name == "" || slices.Contains(skip, name) {
			continue
		}
		path := section + "." + name
		f.String(path, "", fmt.Sprintf("%s of the recipe's %s%s", name, section, defaultText(v.Field(i))))
		flag := f.Lookup(path)
		flag.Hidden = true // forty of them would bury the rest; the long help names the rule
		ff.flags = append(ff.flags, fieldFlag{section, name, field.Type.Kind() == reflect.String, field.Type.Kind() == reflect.Slice, flag})
	}
}

func defaultText(v reflect.Value) string {
	if v.IsZero() {
		return ""
	}
	return fmt.Sprintf(" (default %v)", v)
}

// given reports whether any of the flags was.
func (ff *fieldFlags) given() bool {
	return ff.backbone != "" || slices.ContainsFunc(ff.flags, func(f fieldFlag) bool { return f.flag.Changed })
}

// merge writes the flags that were given over the fields of a valid recipe in YAML.
func (ff *fieldFlags) merge(recipe []byte) ([]byte, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(recipe, &tree); err != nil {
		return nil, usageError("recipe: %w", err)
	}
	if tree == nil {
		tree = map[string]any{}
	}
	given := false
	for _, flag := range ff.flags {
		if !flag.flag.Changed {
			continue
		}
		given = true
		section, ok := tree[flag.section].(map[string]any)
		if !ok {
			section = map[string]any{}
			tree[flag.section] = section
		}
		value, err := flag.value()
		if err != nil {
			return nil, err
		}
		section[flag.name] = value
	}
	if ff.backbone != "" {
		given = true
		var value any
		if err := yaml.Unmarshal([]byte(ff.backbone), &value); err != nil {
			return nil, usageError("--backbone: %w", err)
		}
		if _, ok := value.(map[string]any); !ok {
			return nil, usageError("--backbone is %q, want fields such as {kind: mlp, widths: [64, 64]}", ff.backbone)
		}
		tree["backbone"] = value
	}
	if !given {
		return recipe, nil
	}
	return yaml.Marshal(tree)
}

// value is what was typed: a string as it is, anything else as YAML.
func (f fieldFlag) value() (any, error) {
	typed := f.flag.Value.String()
	if f.text {
		return typed, nil
	}
	if f.list && !strings.HasPrefix(typed, "[") {
		typed = "[" + typed + "]"
	}
	var value any
	if err := yaml.Unmarshal([]byte(typed), &value); err != nil {
		return nil, usageError("--%s.%s: %w", f.section, f.name, err)
	}
	return value, nil
}

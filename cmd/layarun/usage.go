package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says which value of a flag cannot be, and what can, without the words of the parser behind it.
func flagError(_ *cobra.Command, err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	flag := invalid.GetFlag()
	return usageError("--%s is %q, want %s", flag.Name, invalid.GetValue(), wanted(flag.Value.Type()))
}

// wanted describes the values of a flag's type, as pflag names it.
func wanted(kind string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int", "int64":
		return "a whole number"
	case "intSlice":
		return "whole numbers with commas between"
	case "uintSlice":
		return "whole numbers of at least 0 with commas between"
	case "float64Slice":
		return "numbers with commas between"
	case "float64":
		return "a number"
	case "duration":
		return "a duration such as 5s or 1m30s"
	}
	return "a " + kind
}

// argsError says which arguments were given and which the command takes. err is what the command's own check says.
func argsError(cmd *cobra.Command, args []string, err error) error {
	if i := slices.Index(args, ""); i >= 0 {
		return usageError("argument %d is empty", i+1)
	}
	if err == nil {
		return nil
	}
	usage := cmd.Use
	if cmd.HasParent() {
		usage = cmd.Parent().CommandPath() + " " + usage
	}
	if len(args) == 0 {
		return usageError("there is no argument, want %s", usage)
	}
	noun := "arguments are"
	if len(args) == 1 {
		noun = "argument is"
	}
	return usageError("the %s %s, want %s", noun, strings.Join(args, " "), usage)
}

// sink is stdout. It keeps the first error of writing, so that output that did not arrive is never taken for success.
type sink struct {
	w     io.Writer
	fault error
}

// Write writes p, or repeats the first error.
func (s *sink) Write(p []byte) (int, error) {
	if s.fault != nil {
		return 0, s.fault
	}
	n, err := s.w.Write(p)
	s.fault = err
	return n, err
}

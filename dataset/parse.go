package dataset

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// eachLine calls do for every line of data that is not empty, numbered from 1, without its end (LF or CR LF).
func eachLine(data []byte, do func(line int, text string) error) error {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			continue
		}
		if err := do(number, text); err != nil {
			return err
		}
	}
	return nil
}

// parseNumber reads a finite float32.
func parseNumber(cell string) (float32, error) {
	v, err := strconv.ParseFloat(strings.TrimSpace(cell), 32)
	if err != nil || !finite(v) {
		return 0, fmt.Errorf("%q is not a finite number", clip(cell))
	}
	return float32(v), nil
}

// classIndex is the index of a class by its name.
func classIndex(name string, classes []string) (int, error) {
	i := slices.Index(classes, name)
	if i < 0 {
		return 0, fmt.Errorf("class %q is none of %d: %s", clip(name), len(classes), clip(strings.Join(classes, ", ")))
	}
	return i, nil
}

// sortClasses orders class names: by value if all are integers, else as strings.
func sortClasses(names []string) {
	numbers := make(map[string]int, len(names))
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil {
			slices.Sort(names)
			return
		}
		numbers[name] = n
	}
	// "1" and "01" are different names of equal value.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(numbers[a], numbers[b]), cmp.Compare(a, b))
	})
}

// clip shortens text for an error.
func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

package result

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
)

// tolerance is the largest relative difference between a recorded figure and the same figure computed again: processors
// differ in how they fuse a product with a sum.
const tolerance = 1e-9

// Diff lists where two values of one type differ as JSON, each place by its path, as "forced[3].accuracy: 0.92, recorded
// 0.93". Numbers may differ by rounding.
func Diff(computed, recorded any) ([]string, error) {
	a, err := tree(computed)
	if err != nil {
		return nil, err
	}
	b, err := tree(recorded)
	if err != nil {
		return nil, err
	}
	var found []string
	walk("", a, b, func(path string, a, b any) {
		found = append(found, fmt.Sprintf("%s: %v, recorded %v", path, orAbsent(a), orAbsent(b)))
	})
	return found, nil
}

func tree(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var t any
	return t, json.Unmarshal(text, &t)
}

func orAbsent(v any) any {
	if v == nil {
		return "nothing"
	}
	return v
}

// walk calls report for every place where a and b differ.
func walk(path string, a, b any, report func(path string, a, b any)) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			names := slices.Sorted(maps.Keys(x))
			for _, name := range slices.Sorted(maps.Keys(y)) {
				if _, both := x[name]; !both {
					names = append(names, name)
				}
			}
			for _, name := range names {
				inner := name
				if path != "" {
					inner = path + "." + name
				}
				walk(inner, x[name], y[name], report)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], report)
			}
			return
		}
	case float64:
		if y, ok := b.(float64); ok && math.Abs(x-y) <= tolerance*max(1, math.Abs(x), math.Abs(y)) {
			return
		}
	default:
		if a == b {
			return
		}
	}
	report(path, a, b)
}

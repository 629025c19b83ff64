package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/layarun/layarun/prune"
)

const (
	shades     = " .:-=+*#%@"
	mapClasses = 40 // rows of the map; more do not fit a screen
	mapName    = 24 // characters of a class name
)

// heatMap draws alpha of the full-depth answer, a row for each class and a column for each depth read.
func heatMap(p *prune.Profile) string {
	top, width := 0.0, len("all")
	shown := p.Full.ByClass[:min(len(p.Full.ByClass), mapClasses)]
	for c, attention := range shown {
		width = max(width, min(mapName, len([]rune(p.Classes[c]))))
		top = slices.Max(slices.Concat(attention.Mean, []float64{top}))
	}
	top = slices.Max(slices.Concat(p.Full.Global.Mean, []float64{top}))
	var s strings.Builder
	grouped := "class"
	if p.Predicted {
		grouped = "predicted class"
	}
	fmt.Fprintf(&s, "alpha by %s (rows) and depth (columns), from blank (0) to @@ (%.3f)\n%*s ", grouped, top, width, "")
	for _, depth := range p.Reads {
		fmt.Fprintf(&s, " %2d", depth)
	}
	s.WriteByte('\n')
	row := func(name string, attention prune.Attention) {
		fmt.Fprintf(&s, "%-*.*s ", width, mapName, name)
		for _, mean := range attention.Mean {
			shade := shades[min(len(shades)-1, int(mean/top*float64(len(shades))))]
			fmt.Fprintf(&s, " %c%c", shade, shade)
		}
		if attention.N == 0 {
			s.WriteString(" no samples")
		}
		s.WriteByte('\n')
	}
	row("all", p.Full.Global)
	for c, attention := range shown {
		row(p.Classes[c], attention)
	}
	if hidden := len(p.Full.ByClass) - len(shown); hidden > 0 {
		fmt.Fprintf(&s, "and %d more classes, in profile.json\n", hidden)
	}
	return s.String()
}

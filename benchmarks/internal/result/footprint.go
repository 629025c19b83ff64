package result

import (
	"fmt"
	"strings"
)

const mebibyte = 1 << 20

// footprintSection is what the program itself takes; "" if it was not measured.
func (c *Collection) footprintSection() string {
	f := c.Footprint
	if f == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "## The program\n\nThe binary has %.1f MiB. `layarun predict` on one sample, from the start of the process to its end:\n\n", float64(f.Binary)/mebibyte)
	var rows [][]string
	for _, s := range f.Starts {
		rows = append(rows, []string{s.Name, s.Backend, fmt.Sprintf("%.1f", float64(s.Weights)/mebibyte), median("%.0f", s.Millis),
			fmt.Sprintf("%.0f", s.Peak.Median/mebibyte), fmt.Sprint(s.Millis.N)})
	}
	b.WriteString(grid([]string{"bundle", "backend", "weights, MiB", "ms", "peak memory, MiB", "n"}, rows))
	x := f.Executables
	fmt.Fprintf(&b, "\nServing %s with batch buckets %v and lengths %v compiles %d executables, in %.1f s.\n", x.Network, x.Buckets, x.Lengths, x.Count, x.Seconds)
	return b.String()
}

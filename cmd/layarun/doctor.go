package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/compile"
)

func newDoctorCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what was found on this machine, and check each backend",
		Long: `Prints versions, where XLA plugins were looked for, and what became of each backend. On each backend that opens, a
matrix product and a convolution are compared with plain loops and timed. Put the output into bug reports.

The exit code is 1 where a backend that is there does not work.`,
		Example: "  layarun doctor\n  layarun doctor --json > doctor.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := compile.Examine(cmd.Context(), true)
			if err != nil {
				return err
			}
			if err := a.printReport(report); err != nil {
				return err
			}
			for _, b := range report.Backends {
				if b.Status == compile.StatusFailed {
					return fmt.Errorf("backend %s does not work: %s", b.Name, b.Detail)
				}
			}
			return nil
		},
	}
}

func (a *app) printReport(r *compile.Report) error {
	if a.json {
		return a.emit("doctor/1", r)
	}
	xla := "yes"
	if !r.XLA {
		xla = "no (built without cgo)"
	}
	lines := [][2]string{
		{"layarun", readVersion().Version},
		{"go", fmt.Sprintf("%s %s/%s, %d CPUs, %s", r.Go, r.OS, r.Arch, r.CPUs, simd(r.SIMD))},
		{"xla", xla},
		{"searched", strings.Join(r.Searched, "\n"+strings.Repeat(" ", 16))},
		{"installs to", r.Installed},
		{"auto runs on", r.Auto},
		{"auto trains on", r.Trains},
	}
	for _, path := range slices.Sorted(maps.Keys(r.Modules)) {
		if name, found := strings.CutPrefix(path, "github.com/gomlx/"); found {
			lines = append(lines, [2]string{name, r.Modules[path]})
		}
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(a.out, "%-16s%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	if err := a.table(backendHeader, backendRows(r)); err != nil {
		return err
	}
	if r.AutoNote != "" {
		a.say("%s", r.AutoNote)
	}
	return a.table([]string{"backend", "check", "right", "median ms", "first ms", "GFLOP/s"}, checkRows(r))
}

func checkRows(r *compile.Report) (rows [][]string) {
	for _, b := range r.Backends {
		for _, c := range b.Checks {
			right := "yes"
			if !c.OK {
				right = "no: " + c.Error
			}
			rows = append(rows, []string{b.Name, c.Name, right,
				fmt.Sprintf("%.2f", c.MedianMS), fmt.Sprintf("%.1f", c.FirstMS), fmt.Sprintf("%.1f", c.GFLOPS)})
		}
	}
	return rows
}

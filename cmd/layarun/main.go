// Command layarun trains, prunes, certifies, measures and serves networks that run only as deep as each input needs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// verbs is the verb table, in the order in which a project uses them and the help lists them. A new verb is one file
// with a func newXCmd(*app) *cobra.Command, and one line here.
func verbs() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		newImportCmd,
		newTrainCmd,
		newProfileCmd,
		newPruneCmd,
		newCalibrateCmd,
		newEvalCmd,
		newPredictCmd,
		newServeCmd,
		newBenchCmd,
		newInspectCmd,
		newBackendCmd,
		newDoctorCmd,
		newDemoCmd,
		newVersionCmd,
	}
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns the exit code.
func run(args []string, out, err io.Writer) int {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // go-xla logs the errors that it also returns
	sink := &sink{w: out}
	a := &app{out: sink, err: err}
	ctx, stop := interruptible()
	defer stop()

	root := newRootCmd(a)
	root.SetArgs(args)
	cmd, fault := root.ExecuteContextC(ctx)
	if fault == nil && sink.fault == nil {
		return codeOK
	}
	if fault == nil {
		a.understood, fault = true, sink.fault
	}
	return a.report(cmd, fault, ctx)
}

// interruptible returns a context that ends at the first SIGINT or SIGTERM. The second one ends the program.
func interruptible() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		os.Exit(codeInterrupted)
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

var errInterrupted = errors.New("interrupted")

func newRootCmd(a *app) *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:   "layarun",
		Short: "Run neural networks only as deep as each input needs",
		Long: `layarun runs a neural network only as deep as each input needs: a head reads the hidden state of every block with
learned attention over depth, confident samples leave early under a certificate, and the same attention says which
blocks to prune.`,
		Args:          cobra.ArbitraryArgs, // so that an unknown verb arrives below
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(flagError)
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print the result as JSON, with a versioned schema")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress and no remarks on stderr")
	for _, verb := range verbs() {
		root.AddCommand(verb(a))
	}
	a.mark(root)
	return root
}

// mark lets a know when a command line has been understood: what fails before is the user's usage. Wrong arguments are
// said in the words of the command's usage line.
func (a *app) mark(cmd *cobra.Command) {
	if inner := cmd.Args; inner != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return argsError(cmd, args, inner(cmd, args)) }
	}
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.understood = true
			return inner(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.mark(sub)
	}
}

// unknownVerb is the usage error for a word that is no subcommand of cmd.
func unknownVerb(cmd *cobra.Command, word string) error {
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets too late
	}
	near := cmd.SuggestionsFor(word)
	if len(near) == 0 {
		return usageError("unknown command %q", word)
	}
	for i, name := range near {
		near[i] = fmt.Sprintf("`%s %s`", cmd.CommandPath(), name)
	}
	return usageError("unknown command %q, did you mean %s?", word, strings.Join(near, " or "))
}

// group is the RunE of a command that only holds others.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownVerb(cmd, args[0])
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usageError("say which: %s", strings.Join(names, ", "))
}

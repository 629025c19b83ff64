package main

// The rules of output, for every verb:
//
//   - Data goes to stdout, talk to stderr. Nothing else is ever written to stdout, so a pipe sees data only.
//   - --json prints one JSON object on stdout in place of the text: app.emit, with "schema": "layarun.<verb>/1". Adding
//     a field keeps the number; renaming or removing one, or changing a meaning, raises it.
//   - Long work shows a progress bar (app.progress) on stderr, and only where stderr is a terminal. -q silences bars
//     and remarks (app.say), never errors. Nothing is ever asked.
//   - Errors are lower case and one line, name the field, file or value, and are followed by the command that would
//     help where there is one (withHint).
//   - Exit codes: 0 ok; 1 failed; 2 the command line is wrong (usageError, and whatever cobra refuses); 3 a target that
//     the user stated was not met (targetError), the data being printed all the same; 130 interrupted. The first
//     SIGINT or SIGTERM ends the command's context: a verb saves what it has and says how to resume. The second ends
//     the program at once.
//   - No colours, so NO_COLOR has nothing to switch off.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	codeOK          = 0
	codeFailed      = 1
	codeUsage       = 2
	codeTarget      = 3
	codeInterrupted = 130
)

// app is what the verbs share: where output goes and the flags that all of them have.
type app struct {
	out, err io.Writer
	json     bool
	quiet    bool
	backend  string // see addBackendFlag
	dataDir  string // see addDataFlag

	understood bool // the command line was accepted and the verb runs
}

// exitError is an error with an exit code of its own, or with a hint.
type exitError struct {
	error
	code int
	hint string // the command to type next; "" for none
}

func (e *exitError) Unwrap() error { return e.error }

// usageError says what is wrong with the command line: exit code 2.
func usageError(format string, args ...any) error {
	return &exitError{error: fmt.Errorf(format, args...), code: codeUsage}
}

// targetError says which stated target was missed, and by how much: exit code 3.
func targetError(format string, args ...any) error {
	return &exitError{error: fmt.Errorf(format, args...), code: codeTarget}
}

// withHint adds the command that would help. nil stays nil.
func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	code := codeFailed
	if inner, ok := errors.AsType[*exitError](err); ok {
		code = inner.code
	}
	return &exitError{error: err, code: code, hint: hint}
}

// report prints the error that ended cmd and returns the exit code.
func (a *app) report(cmd *cobra.Command, err error, ctx context.Context) int {
	code, hint := codeFailed, ""
	if e, ok := errors.AsType[*exitError](err); ok {
		code, hint = e.code, e.hint
	}
	switch {
	case !a.understood:
		code = codeUsage
	case context.Cause(ctx) == errInterrupted && errors.Is(err, context.Canceled):
		code, err = codeInterrupted, errInterrupted
	}
	if code == codeUsage && hint == "" {
		hint = cmd.CommandPath() + " --help"
	}
	fmt.Fprintf(a.err, "layarun: %s\n", oneLine(err.Error()))
	if hint != "" {
		fmt.Fprintf(a.err, "try: %s\n", hint)
	}
	return code
}

// oneLine joins the lines of a message, such as those of several errors or of a YAML parser.
func oneLine(text string) string {
	joined := ""
	for line := range strings.Lines(text) {
		if joined != "" && !strings.HasSuffix(joined, ":") {
			joined += ";"
		}
		joined += " " + strings.TrimSpace(line)
	}
	return strings.TrimSpace(joined)
}

// say writes a remark to stderr unless -q was given.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// emit prints v, which must encode as a JSON object, with its schema as the first field. Version 1 of the verb "eval"
// is "eval/1". Values that JSON cannot hold (NaN, infinities) are an error.
func (a *app) emit(schema string, v any) error {
	fields, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	head := fmt.Sprintf(`{"schema":%q`, "layarun."+schema)
	if rest := fields[1:]; !bytes.Equal(rest, []byte("}")) {
		head += ","
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, append([]byte(head), fields[1:]...), "", "  "); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	_, err = fmt.Fprintln(a.out, pretty.String())
	return err
}

// table prints rows under a header. A column whose cells all begin as numbers do is set to the right.
func (a *app) table(header []string, rows [][]string) error {
	align := tw.MakeAlign(len(header), tw.AlignLeft)
	for column := range header {
		if numeric(rows, column) {
			align[column] = tw.AlignRight
		}
	}
	style := tw.StyleASCII
	if utf8Locale() {
		style = tw.StyleLight
	}
	t := tablewriter.NewTable(a.out,
		tablewriter.WithHeaderAutoFormat(tw.Off), // else "p50_ms" becomes "P 50 MS"
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithAlignment(align),
		tablewriter.WithSymbols(tw.NewSymbols(style)),
	)
	t.Header(header)
	for _, row := range rows {
		if err := t.Append(row); err != nil {
			return err
		}
	}
	return t.Render()
}

// number is how a numeric cell begins; a lone dash stands for no value.
var number = regexp.MustCompile(`^(?:[-+−±<>≤≥~]?\.?[0-9]|[-–—]$|$)`)

func numeric(rows [][]string, column int) bool {
	some := false
	for _, row := range rows {
		if column >= len(row) {
			continue
		}
		if !number.MatchString(row[column]) {
			return false
		}
		some = some || row[column] != ""
	}
	return some
}

// utf8Locale follows POSIX: the first of the three that is set decides.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// bar shows how far long work has come. The zero value shows nothing.
type bar struct{ shown *progressbar.ProgressBar }

// progress starts a bar on stderr; one that shows nothing where stderr is no terminal or -q was given. inBytes counts
// bytes. A total of 0 in Set makes it a spinner.
func (a *app) progress(what string, inBytes bool) *bar {
	file, isFile := a.err.(*os.File)
	if a.quiet || !isFile || !term.IsTerminal(int(file.Fd())) {
		return &bar{}
	}
	return &bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(inBytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(),
	)}
}

// Set moves the bar to done of total; total 0 where it is not known.
func (b *bar) Set(done, total int64) {
	if b.shown == nil {
		return
	}
	if total > 0 && b.shown.GetMax64() != total {
		b.shown.ChangeMax64(total)
	}
	if total > 0 {
		done = min(done, total)
	}
	_ = b.shown.Set64(done) // a bar that cannot be drawn is no reason to stop
}

// Describe changes what the bar says it does.
func (b *bar) Describe(what string) {
	if b.shown != nil {
		b.shown.Describe(what)
	}
}

// Clear wipes the bar until it is set again, to make room for a line.
func (b *bar) Clear() {
	if b.shown != nil {
		_ = b.shown.Clear()
	}
}

// Finish clears the bar. It may be called more than once.
func (b *bar) Finish() {
	if b.shown != nil {
		_ = b.shown.Finish()
	}
}

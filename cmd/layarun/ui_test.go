package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestReportGivesTheExitCode(t *testing.T) {
	plain := errors.New("plain")
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		code int
		text string
	}{
		{"failed", t.Context(), plain, codeFailed, "layarun: plain\n"},
		{"usage", t.Context(), usageError("no %s", "file"), codeUsage, "layarun: no file\ntry: eval --help\n"},
		{"target", t.Context(), targetError("missed"), codeTarget, "layarun: missed\n"},
		{"wrapped", t.Context(), fmt.Errorf("outer: %w", targetError("missed")), codeTarget, "layarun: outer: missed\n"},
		{"hint", t.Context(), withHint(plain, "layarun doctor"), codeFailed, "layarun: plain\ntry: layarun doctor\n"},
		{"hint keeps the code", t.Context(), withHint(targetError("missed"), "x"), codeTarget, "layarun: missed\ntry: x\n"},
		{"several lines", t.Context(), errors.Join(plain, errors.New("yaml: errors:\n  line 1: a\n  line 2: b")), codeFailed,
			"layarun: plain; yaml: errors: line 1: a; line 2: b\n"},
		{"interrupted", interrupted, withHint(context.Canceled, "layarun train --resume r"), codeInterrupted,
			"layarun: interrupted\ntry: layarun train --resume r\n"},
		{"cancelled by ourselves", t.Context(), context.Canceled, codeFailed, "layarun: context canceled\n"},
		{"failed while interrupted", interrupted, plain, codeFailed, "layarun: plain\n"},
	}
	for _, test := range tests {
		var talk bytes.Buffer
		a := &app{out: io.Discard, err: &talk, understood: true}
		if code := a.report(&cobra.Command{Use: "eval"}, test.err, test.ctx); code != test.code || talk.String() != test.text {
			t.Errorf("%s: %d %q, want %d %q", test.name, code, talk.String(), test.code, test.text)
		}
	}
	if withHint(nil, "x") != nil {
		t.Error("a hint made an error of nil")
	}
}

func TestEmitPutsTheSchemaFirst(t *testing.T) {
	for value, want := range map[any]string{
		struct{}{}:                       "{\n  \"schema\": \"layarun.eval/1\"\n}\n",
		struct{ A int }{3}:               "{\n  \"schema\": \"layarun.eval/1\",\n  \"A\": 3\n}\n",
		struct{ B string }{"<> \"q\" é"}: "",
	} {
		var out bytes.Buffer
		a := &app{out: &out}
		if err := a.emit("eval/1", value); err != nil {
			t.Fatal(err)
		}
		if want != "" && out.String() != want {
			t.Errorf("%+v: %q, want %q", value, out.String(), want)
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("%+v: %q is not JSON", value, out.String())
		}
	}
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.emit("eval/1", struct{ A float64 }{math.NaN()}); err == nil || out.Len() > 0 {
		t.Errorf("NaN: %v, %q written", err, out.String())
	}
}

func TestTableSetsNumbersToTheRight(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	var out bytes.Buffer
	a := &app{out: &out}
	err := a.table([]string{"exit_depth", "p50_ms", "note"}, [][]string{{"0", "12.25 ± 0.5", "1st"}, {"12", "–", "x"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| exit_depth |", "|          0 |", "| 12.25 ± 0.5 |", "|           – |", "| 1st  |"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

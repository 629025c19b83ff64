// Command verify recomputes every figure that follows from the committed score tables and compares it with the committed
// results, without any weights. Then it writes RESULTS.md and the README's headline table.
//
//	go run ./benchmarks/verify          # recompute, compare, write
//	go run ./benchmarks/verify -check   # recompute, compare, and fail where a written table is out of date
//
// It runs in the root of the repository.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/layarun/layarun/benchmarks/internal/result"
)

func main() {
	check := flag.Bool("check", false, "change no file, fail where one would change")
	flag.Parse()
	if err := verify(".", *check, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

// verify does all of it for the repository at root and reports every fault.
func verify(root string, check bool, log io.Writer) error {
	folder := filepath.Join(root, "benchmarks")
	c, err := result.Collect(folder)
	if err != nil {
		return err
	}
	if err := c.Verify(folder, func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }); err != nil {
		return err
	}
	readme := filepath.Join(root, "README.md")
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	text, err := c.InsertHeadline(string(old))
	if err != nil {
		return fmt.Errorf("%s: %w", readme, err)
	}
	write := bring
	if check {
		write = compare
	}
	return errors.Join(write(filepath.Join(folder, "RESULTS.md"), c.Markdown()), write(readme, text))
}

// bring brings a file up to date.
func bring(path, text string) error { return renameio.WriteFile(path, []byte(text), 0o644) }

// compare fails unless a file is up to date.
func compare(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, []byte(text)) {
		return fmt.Errorf("%s is out of date: go run ./benchmarks/verify brings it up to date", path)
	}
	return nil
}

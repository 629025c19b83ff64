package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/layarun/layarun"
	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/dataset"
	"github.com/layarun/layarun/eval"
	"github.com/layarun/layarun/exit"
)

// wantedExits are the early exits at which samples may leave: all of them, those that earn their time, or the depths.
type wantedExits struct {
	all, auto bool
	depths    []int
	batch     int // for auto
}

// wanted translates --exits and --batch.
func (o calibrateOptions) wanted(batchGiven bool) (wantedExits, error) {
	w := wantedExits{all: o.exits == "all", auto: o.exits == "auto", batch: o.batch}
	if batchGiven && !w.auto {
		return w, usageError("--batch does nothing without --exits auto")
	}
	if largest := slices.Max(layarun.DefaultBuckets); o.batch < 1 || o.batch > largest {
		return w, usageError("--batch is %d, want 1 to %d", o.batch, largest)
	}
	if w.all || w.auto {
		return w, nil
	}
	for _, part := range strings.Split(o.exits, ",") {
		depth, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return w, usageError("--exits is %q, want all, auto or depths as 2,4,6", o.exits)
		}
		w.depths = append(w.depths, depth)
	}
	return w, nil
}

// check compares the depths asked for with those at which the network can answer, the last of which always is an exit.
func (w wantedExits) check(exits []int) error {
	early := exits[:len(exits)-1]
	for _, depth := range w.depths {
		if !slices.Contains(early, depth) {
			return usageError("--exits names depth %d, want some of %v, where samples of this network can leave early", depth, early)
		}
	}
	return nil
}

// scoreBoth makes the score tables of validation and calibration, with the exits that are wanted. It notes backend and
// choice in c.
func (a *app) scoreBoth(ctx context.Context, b *bundle.Bundle, splits *dataset.Splits, o exit.Options, w wantedExits, c *calibrated) ([]*exit.Table, error) {
	device, err := a.openDevice()
	if err != nil {
		return nil, err
	}
	defer device.Close()
	runtime, err := layarun.New(b, device, layarun.Options{})
	if err != nil {
		return nil, err
	}
	defer runtime.Close()
	c.Backend = runtime.Backend()
	a.sayBackend(runtime)
	if err := w.check(runtime.Exits()); err != nil {
		return nil, err
	}
	var tables []*exit.Table
	for _, set := range []*dataset.Set{splits.Validation, splits.Calibration} {
		table, err := a.score(ctx, runtime, set)
		if err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	if w.all {
		return tables, nil
	}
	if w.auto {
		if c.Choice, err = a.chooseExits(ctx, runtime, splits.Validation, tables[0], o, w.batch); err != nil {
			return nil, err
		}
		w.depths = c.Choice.Exits
	}
	for i, t := range tables {
		if tables[i], err = t.Restrict(func(depth int) bool { return slices.Contains(w.depths, depth) }); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

// chooseExits times the segments on the validation samples and decides which exits to keep.
func (a *app) chooseExits(ctx context.Context, r *layarun.Runtime, validation *dataset.Set, t *exit.Table, o exit.Options, batch int) (*exit.Choice, error) {
	inputs, err := eval.NewInputs(r, validation)
	if err != nil {
		return nil, err
	}
	bar := a.progress("timing the segments of "+r.Name(), false)
	defer bar.Finish()
	stages, err := eval.StageTimes(ctx, inputs, eval.StageOptions{
		Batch: batch, Progress: func(done, total int) { bar.Set(int64(done), int64(total)) },
	})
	if err != nil {
		return nil, err
	}
	choice, err := exit.ChooseExits(t, stages, o)
	return &choice, err
}

// showChoice prints what every exit is worth. Times are per sample.
func (a *app) showChoice(c exit.Choice, backend string) error {
	var rows [][]string
	for _, v := range c.Verdicts {
		state := "off"
		if v.Kept {
			state = "kept"
		}
		rows = append(rows, []string{
			fmt.Sprint(v.Depth), fmt.Sprintf("%.2f", 100*v.Share), fmt.Sprintf("%.2f", v.Gain), fmt.Sprintf("%.2f", v.Cost),
			fmt.Sprintf("%+.2f", v.Net), state + ": " + v.Reason,
		})
	}
	if err := a.table([]string{"exit", "leave %", "saves µs", "costs µs", "utility µs", "verdict"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "µs per validation sample on %s at batch %d (medians of %d): %.1f with exits off, %.1f with all exits, %.1f with those kept%s\n",
		backend, c.Stages.Batch, c.Stages.Repetitions, c.Off, c.All, c.Kept, asFlag(c.Exits))
	return err
}

// asFlag is the option that makes the same choice again.
func asFlag(exits []int) string {
	if len(exits) == 0 {
		return ""
	}
	return " (--exits " + strings.ReplaceAll(strings.Trim(fmt.Sprint(exits), "[]"), " ", ",") + ")"
}

// noExitEarns says that the network is fastest as it is.
func noExitEarns(dir string, c calibrated) error {
	err := targetError("no exit earns its time on %s at batch %d: answers and scores cost more than leaving early saves; the bundle is as it was",
		c.Backend, c.Choice.Stages.Batch)
	return withHint(err, "layarun calibrate "+dir+" --max-drop 2, where more samples leave")
}

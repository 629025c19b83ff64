package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/layarun/layarun/bundle"
	"github.com/layarun/layarun/compile"
	"github.com/layarun/layarun/exit"
	"github.com/layarun/layarun/prune"
)

func newInspectCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect BUNDLE",
		Short: "Say what a bundle holds",
		Long: `Verify a bundle, as everything that opens it does, and print what it holds: the network block by block with parameters
and costs, its exits, the policies with what their certificates promise, the data, profile, plan and files.

A block is removable if the network is still defined without it. MACs are multiply-accumulates for one sample, at the
longest input where inputs are texts.`,
		Example: "  layarun inspect runs/digits/bundle\n  layarun inspect runs/digits/bundle --json | jq .policies",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			v, err := inspect(args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.emit("inspect/1", v)
			}
			return a.showInspected(v)
		},
	}
}

// inspected is what inspect reports.
type inspected struct {
	Name       string             `json:"name"`
	Digest     string             `json:"digest"`
	CreatedBy  string             `json:"created_by"`
	Format     int                `json:"format"`
	Backbone   json.RawMessage    `json:"backbone"`       // these three as in the manifest
	Head       json.RawMessage    `json:"head,omitempty"` // missing where there is none yet
	Input      json.RawMessage    `json:"input"`
	Classes    []string           `json:"classes"`
	Parameters int64              `json:"parameters"`
	Blocks     []inspectedBlock   `json:"blocks"`
	Policies   []exit.Policy      `json:"policies"` // the first is the default
	Data       *bundle.Data       `json:"data,omitempty"`
	Train      map[string]float64 `json:"train,omitempty"`
	Profile    *prune.Profile     `json:"profile,omitempty"`
	Plan       *prune.Plan        `json:"plan,omitempty"`
	Files      map[string]int64   `json:"files"` // bytes
}

// inspectedBlock is what takes the network to one depth: the stem to depth 0, a block to each other.
type inspectedBlock struct {
	Depth      int   `json:"depth"`
	State      []int `json:"state"` // dimensions of the hidden state; -1 is the length of a sequence
	Parameters int64 `json:"parameters"`
	MACs       int64 `json:"macs"`
	Removable  bool  `json:"removable"`
	Read       bool  `json:"read"` // by the head
	Exit       bool  `json:"exit"`
	Leaving    int64 `json:"macs_leaving,omitempty"` // cost of leaving here, all exits before evaluated on the way
}

func inspect(dir string) (*inspected, error) {
	b, err := openBundle(dir)
	if err != nil {
		return nil, err
	}
	var network *compile.Network // stays nil without a head
	if b.HasHead() {
		if network, err = compile.NewNetwork(b.Backbone, b.Head); err != nil {
			return nil, err
		}
	}
	params, err := b.Params()
	if err != nil {
		return nil, err
	}
	v := &inspected{Name: b.Name, Digest: b.Digest(), CreatedBy: b.CreatedBy, Classes: b.Classes, Blocks: inspectBlocks(b, network),
		Policies: b.Policies, Data: b.Data, Train: b.Train, Profile: b.Profile, Plan: b.Plan}
	for _, p := range params {
		v.Parameters += int64(product(p.Dims))
	}
	return v, v.readManifest(dir)
}

// readManifest takes over what the manifest says better than the opened bundle.
func (v *inspected) readManifest(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return err
	}
	var m struct {
		Format                int
		Backbone, Head, Input json.RawMessage
		Files                 map[string]struct{ Size int64 }
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return err
	}
	v.Format, v.Backbone, v.Head, v.Input = m.Format, m.Backbone, m.Head, m.Input
	v.Files = map[string]int64{"manifest.json": int64(len(text))}
	for name, file := range m.Files {
		v.Files[name] = file.Size
	}
	return nil
}

func inspectBlocks(b *bundle.Bundle, network *compile.Network) []inspectedBlock {
	var all []inspectedBlock
	for k := range b.Backbone.Depth() + 1 {
		op, removable := b.Backbone.Stem(), false
		if k > 0 {
			block := b.Backbone.Block(k)
			op, removable = block.Op, block.Removable
		}
		v := inspectedBlock{Depth: k, State: b.Backbone.State(k)[0].Dims, MACs: op.MACs(b.MaxLength), Removable: removable,
			Read: slices.Contains(b.Head.Reads, k), Exit: network != nil && slices.Contains(network.Exits(), k)}
		for _, p := range op.Params {
			v.Parameters += int64(product(p.Dims))
		}
		if v.Exit {
			v.Leaving = network.MACs(k, b.MaxLength, true)
		}
		all = append(all, v)
	}
	return all
}

func (a *app) showInspected(v *inspected) error {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(a.out, "%-12s%s\n", what, fmt.Sprintf(format, args...))
	}
	line("name", "%s", v.Name)
	line("digest", "%s", v.Digest)
	line("made by", "%s, format %d", v.CreatedBy, v.Format)
	for _, part := range []struct {
		name string
		text json.RawMessage
	}{{"backbone", v.Backbone}, {"head", v.Head}} {
		if part.text == nil {
			line(part.name, "none yet; layarun train --start gives it one")
			continue
		}
		var short bytes.Buffer
		if err := json.Compact(&short, part.text); err != nil {
			return err
		}
		line(part.name, "%s", &short)
	}
	if len(v.Classes) > 0 {
		line("classes", "%d: %s", len(v.Classes), shortList(v.Classes, 8))
	}
	line("parameters", "%s", grouped(v.Parameters))
	if v.Data != nil {
		line("data", "%s, seed %d; splits train %.8s, validation %.8s, calibration %.8s, test %.8s", v.Data.Name, v.Data.Seed,
			v.Data.Train, v.Data.Validation, v.Data.Calibration, v.Data.Test)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Train)) {
		line("training", "%s %.6g", strings.ReplaceAll(name, "_", " "), v.Train[name])
	}
	for _, name := range slices.Sorted(maps.Keys(v.Files)) {
		line("file", "%-20s %13s bytes", name, grouped(v.Files[name]))
	}
	if err := a.showBlocks(v); err != nil {
		return err
	}
	return a.showPolicies(v)
}

func (a *app) showBlocks(v *inspected) error {
	yes := map[bool]string{true: "yes", false: "–"}
	profile := v.Profile != nil
	header := []string{"depth", "state", "parameters", "MACs", "removable", "read", "exit", "MACs leaving here"}
	if profile {
		header = append(header, "attention", "at the start")
	}
	var rows [][]string
	for _, b := range v.Blocks {
		state := strings.ReplaceAll(fmt.Sprint(b.State), "-1", "length")
		leaving := "–"
		if b.Exit {
			leaving = grouped(b.Leaving)
		}
		row := []string{fmt.Sprint(b.Depth), state, grouped(b.Parameters), grouped(b.MACs), yes[b.Removable], yes[b.Read], yes[b.Exit], leaving}
		if profile {
			row = append(row, attentionAt(v.Profile.Reads, v.Profile.Full.Global.Mean, b.Depth), attentionAt(v.Profile.Reads, v.Profile.Initial, b.Depth))
		}
		rows = append(rows, row)
	}
	if err := a.table(header, rows); err != nil {
		return err
	}
	if v.Plan != nil {
		accepted := 0
		for _, s := range v.Plan.Steps {
			if s.Accepted {
				accepted++
			}
		}
		fmt.Fprintf(a.out, "pruned: blocks %v and branches %v of bundle %.8s stay; %d of %d removals accepted\n",
			v.Plan.Keep, v.Plan.Reads, v.Plan.Bundle, accepted, len(v.Plan.Steps))
	}
	return nil
}

// attentionAt is the mean attention to a depth; a dash where the head does not read it.
func attentionAt(reads []int, mean []float64, depth int) string {
	if i := slices.Index(reads, depth); i >= 0 && i < len(mean) {
		return fmt.Sprintf("%.3f", mean[i])
	}
	return "–"
}

func (a *app) showPolicies(v *inspected) error {
	if len(v.Policies) == 0 {
		fmt.Fprintln(a.out, "policies: none, so samples never leave early")
		return nil
	}
	for i, p := range v.Policies {
		var thresholds []string
		for j, depth := range p.Exits {
			text, err := json.Marshal(p.Thresholds[j])
			if err != nil {
				return err
			}
			thresholds = append(thresholds, fmt.Sprintf("%d: %s", depth, strings.Trim(string(text), `"`)))
		}
		which := ""
		if i == 0 {
			which = " (default)"
		}
		fmt.Fprintf(a.out, "policy %s%s: leave where %s reaches, at depth %s\n  %s\n", p.Name, which, p.Gate, strings.Join(thresholds, ", "), promise(p.Certificate))
	}
	return nil
}

// promise says in words what a certificate holds, and for what.
func promise(c *exit.Certificate) string {
	if c == nil {
		return "no certificate: it promises nothing"
	}
	what := map[string]string{
		exit.AccuracyDrop: "it costs at most %g points of accuracy against the full network",
		exit.Consistency:  "at most %g %% of its answers differ from the full network's",
	}[c.Risk]
	return fmt.Sprintf("certified: with probability %g %%, "+what+", for samples like the %d that calibrated it (upper bound %.3g %%, split %.8s)",
		100*(1-c.Delta), 100*c.Eps, c.N, 100*c.Bound, c.Split)
}

// shortList is the first of some words.
func shortList(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return strings.Join(words[:most], ", ") + ", …"
}

// grouped writes a number with its thousands apart.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

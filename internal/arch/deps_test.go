// Package arch holds no code, only tests of the shape of the repository: who may import whom, and the house rules that
// a search of the source can check.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/layarun/layarun"

// allowed lists, for each package, the packages of this module that it may import. An edge is added together with an
// ADR or a sentence in the commit that says why, not to make a build pass. Anything may import internal/strict.
var allowed = map[string][]string{
	// Values and graph functions. Heads know no backbone: they take nodes and widths.
	"layer":                 {},
	"backbone":              {"internal/kernel", "layer"},
	"backbone/backbonetest": {"backbone", "layer"},
	"laya":                  {"internal/kernel", "layer"},

	// Plain Go: decisions, queues, numbers. None of them knows an executable.
	"exit":     {},
	"schedule": {"exit"},
	"prune":    {"backbone", "laya", "layer"},
	"picture":  {},
	"dataset":  {"picture"}, // so that what trains is scaled as what is asked

	// From model to executables. Segments return exit.Scores, which exit's graph computes (ADR 0008). Blocks that run on the
	// host share its cores out (ADR 0016).
	"compile": {"backbone", "exit", "internal/kernel", "laya", "layer"},

	// What is on disk.
	"bundle": {"backbone", "exit", "internal/safetensors", "laya", "layer", "picture", "prune"},

	// Networks of other programs become bundles; it knows files and weights, and runs nothing.
	"pretrained": {"backbone", "bundle", "internal/safetensors", "internal/token", "laya", "layer", "picture"},

	// The only place where rule meets executable, and what serves it.
	".":     {"bundle", "compile", "exit", "internal/token", "laya", "picture", "schedule"},
	"serve": {".", "exit", "picture"},

	// Makes score tables with the runtime; all that is computed from them is plain Go.
	"eval": {".", "dataset", "exit"},

	// Training writes bundles; nothing that serves them may see it (forbidden, below).
	"train": {"backbone", "bundle", "compile", "dataset", "internal/safetensors", "internal/token", "laya", "layer", "picture"},

	"cmd/layarun": {".", "bundle", "compile", "dataset", "eval", "exit", "laya", "pretrained", "prune", "serve", "train"},

	"internal/arch":        {},
	"internal/docs":        {},
	"internal/kernel":      {},
	"internal/reftest":     {"laya", "layer"},
	"internal/safetensors": {"layer"},
	"internal/strict":      {},
	"internal/testbackend": {"compile"},
	"internal/token":       {},
}

// forbidden says what a package must not link, however many packages lie between, and why.
var forbidden = []struct {
	from, to []string
	why      string
}{
	{[]string{".", "serve"}, []string{"train", "dataset", "eval"},
		"a service must not be able to change the weights that its certificate names, nor carry readers of training data"},
	{[]string{"exit", "schedule"}, []string{"compile", "backbone", "laya"},
		"policies and the scheduler are plain Go, so that they are tested without a backend"},
	{[]string{"eval"}, []string{"train"},
		"measuring must not be able to change what is measured"},
}

// tensorful lists what may import GoMLX. The rest of the module decides and holds no tensors.
var tensorful = []string{"layer", "backbone", "backbone/backbonetest", "laya", "compile", "bundle", "pretrained", "prune", "train",
	"internal/safetensors", "internal/reftest", "internal/testbackend", "exit/score.go"}

func TestImportsAreAllowed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range source(t) {
		if f.test || strings.HasPrefix(f.dir, "benchmarks") { // programs that measure may use everything
			continue
		}
		seen[f.dir] = true
		edges, known := allowed[f.dir]
		if !known {
			t.Errorf("%s: package %s has no line in the import table of internal/arch", f.path, f.dir)
			continue
		}
		for _, to := range f.imports {
			if inside, ok := local(to); ok && inside != "internal/strict" && !slices.Contains(edges, inside) {
				t.Errorf("%s imports %s; %s may import %v", f.path, inside, f.dir, edges)
			}
			if strings.HasPrefix(to, "github.com/gomlx/") && !mayHoldTensors(f) {
				t.Errorf("%s imports %s; only %v may", f.path, to, tensorful)
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(allowed)) {
		if !seen[dir] && dir != "internal/arch" && dir != "internal/docs" { // these two hold only tests
			t.Errorf("the import table has a line for %s, which is no package", dir)
		}
	}
}

func mayHoldTensors(f file) bool {
	return slices.Contains(tensorful, f.dir) || slices.Contains(tensorful, f.path)
}

func TestNothingThatServesLinksTraining(t *testing.T) {
	edges := map[string]map[string]bool{}
	for _, f := range source(t) {
		if f.test {
			continue
		}
		if edges[f.dir] == nil {
			edges[f.dir] = map[string]bool{}
		}
		for _, to := range f.imports {
			if inside, ok := local(to); ok {
				edges[f.dir][inside] = true
			}
		}
	}
	for _, rule := range forbidden {
		for _, from := range rule.from {
			for _, to := range rule.to {
				if way := wayTo(edges, from, to, nil); way != nil {
					t.Errorf("%s links %s: %s; %s", from, to, strings.Join(way, " → "), rule.why)
				}
			}
		}
	}
}

// wayTo is a chain of imports from one package to another, nil if there is none.
func wayTo(edges map[string]map[string]bool, from, to string, so []string) []string {
	so = append(slices.Clone(so), from)
	if from == to {
		return so
	}
	for _, next := range slices.Sorted(maps.Keys(edges[from])) {
		if way := wayTo(edges, next, to, so); way != nil {
			return way
		}
	}
	return nil
}

// file is one parsed Go file of the module.
type file struct {
	path, dir string // relative to the module, with slashes; the root's dir is "."
	test      bool
	imports   []string
	syntax    *ast.File
	positions *token.FileSet
	lines     int
}

// local cuts the module's path off an import of one of its own packages.
func local(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// source returns every Go file of the module, whatever its build constraints.
func source(t *testing.T) []file {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var parsed = sync.OnceValues(func() (all []file, err error) {
	root := filepath.Join("..", "..")
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != root && (entry.Name() == "testdata" || strings.HasPrefix(entry.Name(), ".")) {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		f := file{path: relative, dir: path.Dir(relative), test: strings.HasSuffix(name, "_test.go"), positions: token.NewFileSet()}
		if f.syntax, err = parser.ParseFile(f.positions, name, nil, parser.ParseComments); err != nil {
			return err
		}
		for _, spec := range f.syntax.Imports {
			f.imports = append(f.imports, strings.Trim(spec.Path.Value, `"`))
		}
		f.lines = f.positions.File(f.syntax.Pos()).LineCount()
		all = append(all, f)
		return nil
	})
	return all, err
})

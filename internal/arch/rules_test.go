package arch

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rule forbids a call or an import in the files for which in is true. instead is what the message tells to do.
type rule struct {
	name    string // "time.Sleep", or an import path in quotes
	in      func(file) bool
	instead string
}

var rules = []rule{
	{"recover", outside("compile/guard.go", "layer/panics.go", "dataset/parquet.go", "eval/table.go",
		"internal/kernel/team.go", "internal/kernel/team_test.go", "internal/kernel/rows_test.go", "schedule/scheduler.go", "schedule/scheduler_test.go"),
		"panics of graph building become errors in compile/guard.go; others guard a Parquet library that panics on damaged files, hand a " +
			"helper's panic to its caller, and let that of a caller who works end the process"},
	{"time.Sleep", func(f file) bool { return !slices.Contains(f.imports, "testing/synctest") },
		"wait for the event itself, or use the virtual clock of testing/synctest"},
	{"os.Exit", outside("cmd/layarun/main.go", "benchmarks/"), "return an error; only the command ends the process"},
	{"log.Fatal", func(f file) bool {
		return path.Base(f.path) != "example_test.go" && !strings.HasPrefix(f.path, "benchmarks/")
	},
		"return an error; only the command ends the process"},
	{"graph.Rsqrt", everywhere, "it has no gradient in GoMLX: graph.Div(x, graph.Sqrt(y))"},
	{"graph.ConstTensor", production, "weights are parameters of the graph, never constants (ADR 0003)"},
	{"graph.ConstCachedTensor", production, "weights are parameters of the graph, never constants (ADR 0003)"},
	{"t.Skip", withoutGenerator, "a test that needs something names it, in a build tag or in testbackend, and fails without it"},
	{"t.Skipf", withoutGenerator, "see t.Skip"},
	{"t.SkipNow", withoutGenerator, "see t.Skip"},
	{`"math/rand"`, everywhere, "math/rand/v2 with a source and a seed"},
	{`"io/ioutil"`, everywhere, "io and os"},
}

func everywhere(file) bool   { return true }
func production(f file) bool { return !f.test }

// withoutGenerator holds where no input is generated: fuzz and property tests skip inputs, not tests.
func withoutGenerator(f file) bool {
	return !slices.Contains(f.imports, "pgregory.net/rapid") && path.Base(f.path) != "fuzz_test.go"
}

// outside holds for every file but those of the given prefixes.
func outside(prefixes ...string) func(file) bool {
	return func(f file) bool {
		return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.path, p) })
	}
}

func TestRules(t *testing.T) {
	for _, f := range source(t) {
		used := map[string]token.Pos{}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				used[n.Path.Value] = n.Pos()
				if n.Name != nil && n.Name.Name == "." {
					t.Errorf("%s: dot import of %s: name the package where it is used", f.path, n.Path.Value)
				}
			case *ast.CallExpr:
				used[callee(n)] = n.Pos()
			}
			return true
		})
		for _, r := range rules {
			if at, ok := used[r.name]; ok && r.in(f) {
				t.Errorf("%s:%d: %s; instead: %s", f.path, f.positions.Position(at).Line, r.name, r.instead)
			}
		}
	}
}

// callee is "f" or "x.f" as written; "" for anything longer.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
	}
	return ""
}

const (
	longestFile     = 500 // lines
	longestFunction = 80
)

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

func TestSizes(t *testing.T) {
	for _, f := range source(t) {
		if f.lines > longestFile {
			t.Errorf("%s has %d lines, want at most %d: divide it by what it is about", f.path, f.lines, longestFile)
		}
		for _, d := range f.syntax.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := f.positions.Position(function.End()).Line - f.positions.Position(function.Pos()).Line + 1
			if lines > longestFunction && !f.test { // a table of cases may be long
				t.Errorf("%s: %s has %d lines, want at most %d", f.path, function.Name.Name, lines, longestFunction)
			}
		}
		for _, group := range f.syntax.Comments {
			if word := unfinished.FindString(group.Text()); word != "" && f.dir != "internal/arch" {
				t.Errorf("%s: %s in a comment: do it, or say in docs/experiments.md why not", f.path, word)
			}
		}
	}
}

// Names that say nothing about what is inside.
var drawers = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "core", "manager", "types"}

func TestEverythingExportedIsDocumented(t *testing.T) {
	comment := map[string]bool{} // package directory: has a package comment
	for _, f := range source(t) {
		if f.test || strings.HasPrefix(f.dir, "benchmarks") {
			continue
		}
		comment[f.dir] = comment[f.dir] || f.syntax.Doc != nil
		if name := f.syntax.Name.Name; slices.Contains(drawers, name) {
			t.Errorf("%s: package %s: name it after what it holds", f.path, name)
		}
		for _, d := range f.syntax.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", f.path, name)
			}
		}
	}
	for dir, ok := range comment {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// undocumented lists the exported names of a declaration that have no comment. Methods that implement an interface
// take theirs from it: those of unexported types are not asked for.
func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	kind := d.Recv.List[0].Type
	for {
		switch x := kind.(type) {
		case *ast.StarExpr:
			kind = x.X
		case *ast.IndexExpr:
			kind = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

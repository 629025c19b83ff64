// Package docs holds no code, only tests of the documents: links lead somewhere, words and packages exist, decisions have
// their form. The commands of README.md are run by cmd/layarun's tests.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// walk calls visit with every file of the repository of the given extension; its path is relative to the repository.
func walk(t *testing.T, extension string, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && path != root
		if entry.IsDir() && (hidden || entry.Name() == "testdata" || entry.Name() == "runs") {
			return fs.SkipDir
		}
		if entry.IsDir() || filepath.Ext(path) != extension {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		visit(filepath.ToSlash(relative), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	block   = regexp.MustCompile("(?ms)^```.*?^```$")
)

// anchor is the name that a heading has in a link: lower case, spaces as hyphens, nothing but letters, digits and these.
func anchor(heading string) string {
	keep := func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_':
			return r
		}
		return -1
	}
	return strings.Map(keep, heading)
}

func TestLinksLeadSomewhere(t *testing.T) {
	walk(t, ".md", func(path, text string) {
		for _, m := range link.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			name, part, _ := strings.Cut(m[1], "#")
			target := filepath.Join(root, filepath.Dir(path), name)
			if name == "" {
				target = filepath.Join(root, path)
			}
			data, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr != nil || err != nil && !info.IsDir() {
				t.Errorf("%s: link to %s, which does not exist", path, m[1])
				continue
			}
			named := slices.ContainsFunc(heading.FindAllStringSubmatch(string(data), -1), func(h []string) bool { return anchor(h[1]) == part })
			if part != "" && !named {
				t.Errorf("%s: link to %s: no such heading", path, m[1])
			}
		}
	})
}

// Blocks that are filled in by a program begin with <!-- table:name --> and end with <!-- /table:name -->.
func TestGeneratedBlocksAreClosed(t *testing.T) {
	mark := regexp.MustCompile(`<!-- (/?)(table:[a-z0-9-]+) -->`)
	walk(t, ".md", func(path, text string) {
		marks := mark.FindAllStringSubmatch(text, -1)
		for i := 0; i < len(marks); i += 2 {
			closed := i+1 < len(marks) && marks[i][1] == "" && marks[i+1][1] == "/" && marks[i+1][2] == marks[i][2]
			if !closed {
				t.Errorf("%s: %s is not followed by <!-- /%s -->", path, marks[i][0], marks[i][2])
				break
			}
		}
	})
}

// Every word of the glossary is an identifier, or a part of one, as in Certificate, NewPath or PaddingID.
func TestGlossaryWordsAreInUse(t *testing.T) {
	parts := map[string]bool{}
	word := regexp.MustCompile(`[A-Z]?[a-z]+`)
	walk(t, ".go", func(path, text string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				for _, p := range word.FindAllString(id.Name, -1) {
					parts[strings.TrimSuffix(strings.ToLower(p), "s")] = true
				}
			}
			return true
		})
	})
	text, err := os.ReadFile(filepath.Join(root, "docs", "glossary.md"))
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`(?m)^\| \*\*(.+?)\*\*`).FindAllStringSubmatch(string(text), -1)
	if len(words) == 0 {
		t.Fatal("docs/glossary.md has no words")
	}
	for i, w := range words {
		if !parts[w[1]] {
			t.Errorf("%q is in the glossary, but no identifier uses it", w[1])
		}
		if i > 0 && words[i-1][1] >= w[1] {
			t.Errorf("glossary: %q comes after %q", w[1], words[i-1][1])
		}
	}
}

// docs/architecture.md names every package, and every file that it names exists.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	walk(t, ".go", func(path, _ string) {
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." || strings.HasPrefix(dir, "benchmarks/") {
			return
		}
		if !strings.Contains(text, "`"+dir+"`") {
			t.Errorf("docs/architecture.md does not name package %s", dir)
		}
	})
	for _, m := range regexp.MustCompile("`([a-z/_]+\\.go)`").FindAllStringSubmatch(text, -1) {
		if strings.Contains(m[1], "/") {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("docs/architecture.md names %s: %v", m[1], err)
			}
		}
	}
}

// A decision has a number in its name and title, a status, and four parts in this order; the list names it.
func TestDecisionsHaveTheirForm(t *testing.T) {
	list, err := os.ReadFile(filepath.Join(root, "docs", "adr", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"## Context", "## Decision", "## Refused", "## Consequences"}
	status := regexp.MustCompile(`(?m)^Status: (accepted|superseded by \d{4})$`)
	walk(t, ".md", func(path, text string) {
		name, isDecision := strings.CutPrefix(path, "docs/adr/")
		if !isDecision || name == "README.md" {
			return
		}
		number, _, _ := strings.Cut(name, "-")
		title, _, _ := strings.Cut(strings.TrimPrefix(text, "# "+number+": "), "\n")
		if !strings.HasPrefix(text, "# "+number+": ") {
			t.Errorf("%s: its title does not begin with %q", path, "# "+number+": ")
		}
		if !strings.Contains(string(list), "["+number+"]("+name+") | "+title+" |") {
			t.Errorf("docs/adr/README.md does not list %s as %q", name, title)
		}
		if !status.MatchString(text) {
			t.Errorf("%s has no line %q", path, "Status: accepted")
		}
		if parts := regexp.MustCompile(`(?m)^## .+$`).FindAllString(text, -1); !slices.Equal(parts, want) {
			t.Errorf("%s has the parts %q, want %q", path, parts, want)
		}
	})
}

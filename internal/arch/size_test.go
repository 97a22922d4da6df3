package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

const (
	fileLinesMax        = 600
	funcLinesMax        = 70
	interfaceMethodsMax = 12
)

// emptyNames are package names that say nothing about what is inside.
var emptyNames = []string{"util", "utils", "common", "helpers", "helper", "misc", "base"}

// Rule 5: what a reader has to hold in the head at once has a limit. Tests and
// generated files are exempt.
func sizeRules(t *tree) []violation {
	var found []violation
	dirs, files := t.packages()
	for _, dir := range dirs {
		for _, f := range files[dir] {
			if name := f.ast.Name.Name; slices.Contains(emptyNames, name) {
				found = append(found, violation{"package-name", f.path, 1, name,
					"package " + name + " says nothing: name it after what it does"})
			}
			if f.test || f.generated || isSuite(dir) {
				continue
			}
			found = append(found, fileSize(f.path, f.lines)...)
			found = append(found, funcSizes(t, f)...)
		}
		found = append(found, interfaceSizes(t, files[dir])...)
	}
	for _, name := range t.sortedTexts(".ts", ".vue") {
		test := strings.Contains(name, ".test.") || strings.Contains(name, ".spec.")
		if !test && !strings.Contains(firstLine(t.texts[name]), "Code generated") {
			found = append(found, fileSize(name, strings.Count(t.texts[name], "\n"))...)
		}
	}
	return found
}

// isSuite reports that a package is a domain's suite, "batchtest": it is tests, only
// not in files that the go tool calls so.
func isSuite(dir string) bool {
	domain, ok := strings.CutSuffix(path.Base(dir), "test")
	return ok && domain != "" && path.Base(path.Dir(dir)) == domain
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func fileSize(name string, lines int) []violation {
	if lines <= fileLinesMax {
		return nil
	}
	return []violation{{"file-lines", name, 0, path.Base(name),
		fmt.Sprintf("%d lines, at most %d", lines, fileLinesMax)}}
}

func funcSizes(t *tree, f *goFile) []violation {
	var found []violation
	for _, decl := range f.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := t.line(fn.End()) - t.line(fn.Pos()) + 1; lines > funcLinesMax {
			found = append(found, violation{"func-lines", f.path, t.line(fn.Pos()), fn.Name.Name,
				fmt.Sprintf("%s has %d lines, at most %d", fn.Name.Name, lines, funcLinesMax)})
		}
	}
	return found
}

func interfaceSizes(t *tree, files []*goFile) []violation {
	named := map[string]*ast.InterfaceType{}
	for _, f := range files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if it, ok := spec.Type.(*ast.InterfaceType); ok {
					named[spec.Name.Name] = it
				}
			}
			return true
		})
	}
	var found []violation
	for _, f := range files {
		if f.test || f.generated {
			continue
		}
		for name, it := range named {
			if it.Pos() < f.ast.FileStart || it.End() > f.ast.FileEnd {
				continue
			}
			if n := countMethods(it, named, 0); n > interfaceMethodsMax {
				found = append(found, violation{"interface-methods", f.path, t.line(it.Pos()), name,
					fmt.Sprintf("%s has %d methods, at most %d", name, n, interfaceMethodsMax)})
			}
		}
	}
	slices.SortFunc(found, func(a, b violation) int { return strings.Compare(a.String(), b.String()) })
	return found
}

// countMethods counts embedded interfaces of the same package by what they hold.
func countMethods(it *ast.InterfaceType, named map[string]*ast.InterfaceType, depth int) int {
	n := 0
	for _, field := range it.Methods.List {
		embedded, ok := field.Type.(*ast.Ident)
		if ok && len(field.Names) == 0 && named[embedded.Name] != nil && depth < 8 {
			n += countMethods(named[embedded.Name], named, depth+1)
			continue
		}
		n += max(1, len(field.Names))
	}
	return n
}

package arch

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// Rule 3: one contract, every engine. An engine that never ran the suite is a
// guess, and a contract with one engine may be that engine's habits.
func engineRules(t *tree) []violation {
	var found []violation
	dirs, files := t.packages()
	engines := map[string][]string{}
	for _, dir := range dirs {
		at := placeOf(dir)
		if at.kind != engine || strings.Count(dir, "/") != 2 {
			continue
		}
		engines[at.domain] = append(engines[at.domain], dir)
		suiteDir := "internal/" + at.domain + "/" + at.domain + "test"
		if !runsInTest(files[dir], path.Join(t.module, suiteDir)) {
			found = append(found, violation{"engine-suite", dir, 0, suiteDir,
				"no test of this engine runs " + suiteDir})
		}
	}
	for domain, list := range engines {
		if len(list) == 1 && !saysWhyAlone(files[list[0]]) {
			found = append(found, violation{"one-engine", list[0], 0, domain,
				"the only engine of " + domain + ": its package comment must say why (a line that begins with `One engine:`)"})
		}
	}
	slices.SortFunc(found, func(a, b violation) int { return strings.Compare(a.at, b.at) })
	return found
}

// runsInTest reports that a test file calls something of the suite's package.
func runsInTest(files []*goFile, suitePath string) bool {
	return slices.ContainsFunc(files, func(f *goFile) bool {
		name := f.imported(suitePath)
		if !f.test || name == "" {
			return false
		}
		called := false
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
					pkg, isName := sel.X.(*ast.Ident)
					called = called || isName && pkg.Name == name
				}
			}
			return !called
		})
		return called
	})
}

func saysWhyAlone(files []*goFile) bool {
	for _, f := range files {
		if f.test || f.ast.Doc == nil {
			continue
		}
		for line := range strings.Lines(f.ast.Doc.Text()) {
			if why, ok := strings.CutPrefix(line, "One engine:"); ok && strings.TrimSpace(why) != "" {
				return true
			}
		}
	}
	return false
}

package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// clockHomes may read the wall clock. The clock package is the door; cmd and test
// are outside the product's rules about time. What only measures how long
// something took is an exception with its reason.
var clockHomes = []string{"internal/platform/clock", "cmd", "test"}

// Rule 7: nothing happens on import, nothing changes behind a package's back, and
// neither time nor chance comes in by a side door.
func globalRules(t *tree) []violation {
	var found []violation
	for _, f := range t.files {
		if f.test || f.generated || within(f.dir, "test") {
			continue
		}
		found = append(found, initFuncs(t, f)...)
		found = append(found, weakRandom(f)...)
		found = append(found, wallClock(t, f)...)
	}
	dirs, files := t.packages()
	for _, dir := range dirs {
		if !within(dir, "test") {
			found = append(found, mutableVars(t, files[dir])...)
		}
	}
	return found
}

func initFuncs(t *tree, f *goFile) []violation {
	var found []violation
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			found = append(found, violation{"init-func", f.path, t.line(fn.Pos()), "init",
				"importing a package must do nothing: make it a call from internal/app"})
		}
	}
	return found
}

func weakRandom(f *goFile) []violation {
	var found []violation
	for _, imp := range f.imports {
		if imp.path == "math/rand" || imp.path == "math/rand/v2" {
			found = append(found, violation{"weak-random", f.path, imp.line, imp.path,
				"a stranger can guess it: use crypto/rand"})
		}
	}
	return found
}

func wallClock(t *tree, f *goFile) []violation {
	name := f.imported("time")
	if name == "" || slices.ContainsFunc(clockHomes, func(h string) bool { return within(f.dir, h) }) {
		return nil
	}
	var found []violation
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !slices.Contains([]string{"Now", "Since", "Until"}, sel.Sel.Name) {
			return true
		}
		if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == name && pkg.Obj == nil {
			found = append(found, violation{"wall-clock", f.path, t.line(sel.Pos()), "time." + sel.Sel.Name,
				"take a clock.Clock, so that a test can set the time"})
		}
		return true
	})
	return found
}

// mutableVars finds package variables that something can change after start:
// written to anywhere in the package, tests included, or of a kind that is only
// useful when it changes.
func mutableVars(t *tree, files []*goFile) []violation {
	declared := map[string]*ast.ValueSpec{}
	var found []violation
	for _, f := range files {
		if f.test || f.generated {
			continue
		}
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for i, name := range v.Names {
					if name.Name == "_" {
						continue // an assertion of the compiler's
					}
					declared[name.Name] = v
					if why := bornMutable(v, i); why != "" {
						found = append(found, violation{"mutable-var", f.path, t.line(name.Pos()), name.Name, name.Name + " " + why})
					}
				}
			}
		}
	}
	for _, f := range files {
		found = append(found, writes(t, f, declared)...)
	}
	return found
}

// bornMutable says why a variable's type or first value makes it changing state.
// sync.Pool is let through: what it keeps can never be observed.
func bornMutable(v *ast.ValueSpec, i int) string {
	if typ := typeText(v.Type); strings.HasPrefix(typ, "sync.") && typ != "sync.Pool" || strings.HasPrefix(typ, "atomic.") {
		return "is shared state: put it into a struct that internal/app builds"
	}
	if _, ok := v.Type.(*ast.ChanType); ok {
		return "is a global channel"
	}
	if i >= len(v.Values) {
		return ""
	}
	switch value := v.Values[i].(type) {
	case *ast.CallExpr:
		if fn, ok := value.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
			return "starts empty, so something fills it later"
		}
	case *ast.CompositeLit:
		if typ := typeText(value.Type); strings.HasPrefix(typ, "sync.") && typ != "sync.Pool" {
			return "is shared state: put it into a struct that internal/app builds"
		}
		if _, isMap := value.Type.(*ast.MapType); isMap && len(value.Elts) == 0 {
			return "starts empty, so something fills it later"
		}
	}
	return ""
}

func typeText(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return typeText(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return typeText(e.X)
	case *ast.IndexExpr:
		return typeText(e.X)
	}
	return ""
}

// writes finds assignments to, deletions from and addresses of package variables.
func writes(t *tree, f *goFile, declared map[string]*ast.ValueSpec) []violation {
	var found []violation
	flag := func(target ast.Expr, how string) {
		id := rootName(target)
		if id == nil || declared[id.Name] == nil {
			return
		}
		if id.Obj != nil && id.Obj.Decl != any(declared[id.Name]) {
			return // a local variable or parameter of the same name
		}
		found = append(found, violation{"mutable-var", f.path, t.line(target.Pos()), id.Name,
			"package variable " + id.Name + " is " + how})
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, lhs := range n.Lhs {
				if n.Tok != token.DEFINE {
					flag(lhs, "assigned to")
				}
			}
		case *ast.IncDecStmt:
			flag(n.X, "counted up or down")
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				flag(n.X, "handed out by address")
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "delete" || fn.Name == "clear") && len(n.Args) > 0 {
				flag(n.Args[0], "emptied")
			}
		}
		return true
	})
	return found
}

// rootName is the variable below fields, indexes and dereferences.
func rootName(expr ast.Expr) *ast.Ident {
	for {
		switch e := expr.(type) {
		case *ast.Ident:
			return e
		case *ast.SelectorExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.StarExpr:
			expr = e.X
		case *ast.ParenExpr:
			expr = e.X
		default:
			return nil
		}
	}
}

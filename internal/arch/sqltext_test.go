package arch

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const sqldbDir = "internal/platform/sqldb"

// sqlPackage is a package that speaks SQL, with what its statements are made of.
type sqlPackage struct {
	dir    string
	files  []*goFile // without tests
	consts constants
	takers map[string]int  // functions with a parameter `query string` → its index
	stmts  map[string]bool // names of prepared statements, which take parameters only
}

// sqlPackages are those that import database/sql or sqldb. The wiring is among them
// and owns no table, so a statement over one is foreign there.
func sqlPackages(t *tree) []sqlPackage {
	dirs, files := t.packages()
	shared := queryTakers(files[sqldbDir])
	var all []sqlPackage
	for _, dir := range dirs {
		own := slices.DeleteFunc(slices.Clone(files[dir]), func(f *goFile) bool { return f.test || f.generated })
		speaks := slices.ContainsFunc(own, func(f *goFile) bool {
			return f.imported("database/sql") != "" || f.imported(t.module+"/"+sqldbDir) != ""
		})
		if !speaks || within(dir, "test") {
			continue
		}
		p := sqlPackage{dir: dir, files: own, consts: constantsOf(own), takers: queryTakers(own), stmts: preparedNames(own)}
		maps.Copy(p.takers, shared)
		all = append(all, p)
	}
	return all
}

// standardTakers are database/sql's own methods and where they take the statement.
var standardTakers = map[string]int{
	"ExecContext": 1, "QueryContext": 1, "QueryRowContext": 1, "PrepareContext": 1,
	"Exec": 0, "Query": 0, "QueryRow": 0, "Prepare": 0,
}

// queryTakers finds functions that take a statement: a string by the name of query.
// Passing such a parameter on is allowed, since each caller is held to the rule in turn.
func queryTakers(files []*goFile) map[string]int {
	takers := map[string]int{}
	for _, f := range files {
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if i := slices.Index(textParams(fn.Type), "query"); i >= 0 {
				takers[fn.Name.Name] = i
			}
		}
	}
	return takers
}

// preparedNames are the fields, parameters and variables that hold a *sql.Stmt. What
// prepares one is itself held to constant text.
func preparedNames(files []*goFile) map[string]bool {
	names := map[string]bool{}
	for _, f := range files {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					if typeText(n.Type) == "sql.Stmt" {
						names[name.Name] = true
					}
				}
			case *ast.AssignStmt:
				if call, ok := n.Rhs[0].(*ast.CallExpr); ok && strings.HasPrefix(lastName(call.Fun), "Prepare") {
					names[lastName(n.Lhs[0])] = true
				}
			}
			return true
		})
	}
	delete(names, "")
	return names
}

// lastName is the b of a.b, and the a of a.
func lastName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// textParams names the parameters in order, those that are no strings as "_".
func textParams(ft *ast.FuncType) []string {
	var names []string
	for _, field := range ft.Params.List {
		isText := typeText(field.Type) == "string"
		for _, name := range field.Names {
			if !isText {
				name = ast.NewIdent("_")
			}
			names = append(names, name.Name)
		}
		if len(field.Names) == 0 {
			names = append(names, "_")
		}
	}
	return names
}

// Rule 4, third part: a statement is constant text with bound parameters. Text
// that came from outside can then never become a statement.
func sqlTextRules(t *tree) []violation {
	var found []violation
	for _, p := range sqlPackages(t) {
		for _, f := range p.files {
			for _, decl := range f.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				found = append(found, p.builtIn(t, f, fn)...)
			}
		}
	}
	return found
}

func (p sqlPackage) builtIn(t *tree, f *goFile, fn *ast.FuncDecl) []violation {
	var found []violation
	sqldbName := f.imported(t.module + "/" + sqldbDir)
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		query := p.queryArg(call)
		if query == nil || p.constant(query, fn, sqldbName, 0) {
			return true
		}
		found = append(found, violation{"sql-built", f.path, t.line(query.Pos()), fn.Name.Name,
			"this statement is not a constant: bind parameters, or add a helper to platform/sqldb"})
		return true
	})
	return found
}

// queryArg is the statement in a call that takes one, or nil.
func (p sqlPackage) queryArg(call *ast.CallExpr) ast.Expr {
	fun := call.Fun
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	name := ""
	switch fun := fun.(type) {
	case *ast.Ident:
		name = fun.Name
	case *ast.SelectorExpr:
		name = fun.Sel.Name
		if p.stmts[lastName(fun.X)] {
			return nil
		}
	}
	index, ok := p.takers[name]
	if !ok {
		index, ok = standardTakers[name]
	}
	if !ok || index >= len(call.Args) {
		return nil
	}
	return call.Args[index]
}

// constant reports whether expr is text that the program's source alone decides.
// Steps bounds how far a local variable is followed.
func (p sqlPackage) constant(expr ast.Expr, fn *ast.FuncDecl, sqldbName string, steps int) bool {
	if _, ok := p.consts.fold(expr); ok {
		return true
	}
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return p.constant(e.X, fn, sqldbName, steps)
	case *ast.BinaryExpr:
		return e.Op == token.ADD && p.constant(e.X, fn, sqldbName, steps) && p.constant(e.Y, fn, sqldbName, steps)
	case *ast.CallExpr:
		return p.constantCall(e, sqldbName)
	case *ast.Ident:
		if e.Name == "query" && slices.Contains(textParams(fn.Type), "query") {
			return true
		}
		return steps < 4 && p.constantLocal(e, fn, sqldbName, steps+1)
	}
	return false
}

// constantCall accepts sqldb's own helpers and the repetition of constant text.
func (p sqlPackage) constantCall(call *ast.CallExpr, sqldbName string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return false
	}
	if pkg.Name == "strings" && sel.Sel.Name == "Repeat" {
		_, ok := p.consts.fold(call.Args[0])
		return ok
	}
	return sqldbName != "" && pkg.Name == sqldbName
}

// constantLocal accepts a local variable when everything that is ever put into it
// is constant: `query := base; if x { query += " AND y = ?" }`.
func (p sqlPackage) constantLocal(id *ast.Ident, fn *ast.FuncDecl, sqldbName string, steps int) bool {
	if id.Obj == nil || id.Obj.Kind != ast.Var {
		return false
	}
	assigned, safe := false, true
	check := func(names []ast.Expr, values []ast.Expr) {
		for i, name := range names {
			lhs, ok := name.(*ast.Ident)
			if !ok || lhs.Obj != id.Obj {
				continue
			}
			assigned = true
			safe = safe && len(names) == len(values) && p.constant(values[i], fn, sqldbName, steps)
		}
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			check(n.Lhs, n.Rhs)
		case *ast.ValueSpec:
			names := make([]ast.Expr, len(n.Names))
			for i, name := range n.Names {
				names[i] = name
			}
			if len(n.Values) > 0 {
				check(names, n.Values)
			}
		}
		return true
	})
	return assigned && safe
}

// constants are a package's string constants, by name.
type constants map[string]ast.Expr

func constantsOf(files []*goFile) constants {
	c := constants{}
	for _, f := range files {
		for _, decl := range f.ast.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for i := range min(len(v.Names), len(v.Values)) {
						c[v.Names[i].Name] = v.Values[i]
					}
				}
			}
		}
	}
	return c
}

// fold gives the text of a constant string expression.
func (c constants) fold(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.ParenExpr:
		return c.fold(e.X)
	case *ast.BinaryExpr:
		left, ok := c.fold(e.X)
		right, ok2 := c.fold(e.Y)
		return left + right, ok && ok2 && e.Op == token.ADD
	case *ast.Ident:
		return c.foldName(e)
	}
	return "", false
}

// foldName follows a constant to its value: a local one through the parser's own
// resolution, a package's one by name.
func (c constants) foldName(id *ast.Ident) (string, bool) {
	if id.Obj != nil {
		spec, ok := id.Obj.Decl.(*ast.ValueSpec)
		if !ok || id.Obj.Kind != ast.Con {
			return "", false
		}
		i := slices.IndexFunc(spec.Names, func(n *ast.Ident) bool { return n.Name == id.Name })
		if i < 0 || i >= len(spec.Values) {
			return "", false
		}
		return c.fold(spec.Values[i])
	}
	value, ok := c[id.Name]
	if !ok || strings.EqualFold(id.Name, "iota") {
		return "", false
	}
	return c.fold(value)
}

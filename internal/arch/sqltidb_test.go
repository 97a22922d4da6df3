package arch

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // literals
)

// Rule 4, fourth part: every statement, and every migration of the MySQL dialect, is
// also read by TiDB's own parser, since no TiDB runs in our tests. What an engine
// says in SQLite's words only needs its exception, with the reason.
func sqlTiDBRules(t *tree) []violation {
	tidb := parser.New()
	var found []violation
	judge := func(at string, line int, what, text string) {
		if _, _, err := tidb.Parse(text, "", ""); err != nil {
			found = append(found, violation{"sql-tidb", at, line, what, "TiDB does not understand this: " + strings.TrimSpace(err.Error())})
		}
	}
	for _, name := range t.sortedTexts(".sql") {
		if path.Base(path.Dir(name)) == "mysql" {
			judge(name, 0, path.Base(name), t.texts[name])
		}
	}
	for _, p := range sqlPackages(t) {
		for _, f := range p.files {
			for _, decl := range f.ast.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						return true
					}
					query := p.queryArg(call)
					if query != nil && !passedOn(query, fn) && p.constant(query, fn, f.imported(t.module+"/"+sqldbDir), 0) {
						for _, text := range p.forms(query, fn, 0) {
							judge(f.path, t.line(query.Pos()), fn.Name.Name, text)
						}
					}
					return true
				})
			}
		}
	}
	return found
}

// passedOn reports that the statement is the function's own parameter: its callers'.
func passedOn(query ast.Expr, fn *ast.FuncDecl) bool {
	id, ok := query.(*ast.Ident)
	if !ok || id.Name != "query" {
		return false
	}
	return slices.Contains(textParams(fn.Type), id.Name)
}

// unreadable is no SQL: what forms cannot follow is reported, not passed over.
const unreadable = "the checker cannot tell what this statement is"

// forms gives all that a statement may be. sqlTextRules sees to it that the source
// decides that alone.
func (p sqlPackage) forms(expr ast.Expr, fn *ast.FuncDecl, steps int) []string {
	if text, ok := p.consts.fold(expr); ok {
		return []string{text}
	}
	if steps > 8 {
		return []string{unreadable}
	}
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return p.forms(e.X, fn, steps+1)
	case *ast.BinaryExpr:
		return joined(p.forms(e.X, fn, steps+1), p.forms(e.Y, fn, steps+1))
	case *ast.CallExpr:
		if lastName(e.Fun) == "Repeat" { // so often that it shows
			text, _ := p.consts.fold(e.Args[0])
			return []string{text + text}
		}
	case *ast.Ident:
		return p.localForms(e, fn, steps+1)
	}
	return []string{unreadable}
}

func joined(left, right []string) (all []string) {
	for _, a := range left {
		for _, b := range right {
			all = append(all, a+b)
		}
	}
	return all
}

// localForms follows a local variable up to where it is used: through what is put into
// it and added to it, with every branch taken and not.
func (p sqlPackage) localForms(id *ast.Ident, fn *ast.FuncDecl, steps int) []string {
	w := walk{p: p, fn: fn, id: id, steps: steps}
	forms := w.block(fn.Body.List, nil)
	if len(forms) == 0 {
		return []string{unreadable}
	}
	return forms
}

// walk is one way through a function for the sake of one variable.
type walk struct {
	p     sqlPackage
	fn    *ast.FuncDecl
	id    *ast.Ident // where it is used
	steps int
}

func (w *walk) block(list []ast.Stmt, forms []string) []string {
	for _, stmt := range list {
		if stmt.Pos() > w.id.Pos() {
			break
		}
		forms = w.stmt(stmt, forms)
	}
	return forms
}

func (w *walk) stmt(stmt ast.Stmt, forms []string) []string {
	switch s := stmt.(type) {
	case *ast.AssignStmt:
		return w.assign(s, forms)
	case *ast.BlockStmt:
		return w.block(s.List, forms)
	case *ast.IfStmt:
		other := forms
		if s.Else != nil {
			other = w.stmt(s.Else, forms)
		}
		return either(w.block(s.Body.List, forms), other)
	case *ast.ForStmt:
		return either(w.block(s.Body.List, forms), forms)
	case *ast.RangeStmt:
		return either(w.block(s.Body.List, forms), forms)
	case *ast.SwitchStmt:
		all := forms
		for _, c := range s.Body.List {
			if clause, ok := c.(*ast.CaseClause); ok {
				all = either(all, w.block(clause.Body, forms))
			}
		}
		return all
	}
	return forms
}

func (w *walk) assign(s *ast.AssignStmt, forms []string) []string {
	for i, lhs := range s.Lhs {
		name, ok := lhs.(*ast.Ident)
		if !ok || name.Obj == nil || name.Obj != w.id.Obj {
			continue
		}
		if len(s.Lhs) != len(s.Rhs) {
			return []string{unreadable}
		}
		value := w.p.forms(s.Rhs[i], w.fn, w.steps)
		if s.Tok == token.ADD_ASSIGN {
			value = joined(forms, value)
		}
		return value
	}
	return forms
}

func either(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

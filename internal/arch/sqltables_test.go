package arch

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// Rule 4, second half: a domain's SQL touches only the tables that its own
// migrations make. Whoever needs another domain's fact asks that domain.
func sqlTableRules(t *tree) []violation {
	owners := tableOwners(t)
	var found []violation
	for _, name := range t.sortedTexts(".sql") {
		if within(name, "internal") {
			found = append(found, foreignTables(owners, name, ownerOf(name), 0, t.texts[name])...)
		}
	}
	for _, p := range sqlPackages(t) {
		for _, f := range p.files {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				expr, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				if _, named := expr.(*ast.Ident); named {
					return true // judged where the constant is declared
				}
				text, ok := p.consts.fold(expr)
				if !ok {
					return true
				}
				found = append(found, foreignTables(owners, f.path, ownerOf(f.dir), t.line(expr.Pos()), text)...)
				return false
			})
		}
	}
	return found
}

var (
	createTable = regexp.MustCompile(`(?i)\bCREATE\s+(?:VIRTUAL\s+|TEMP(?:ORARY)?\s+)?(?:TABLE|VIEW)\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)|\bRENAME\s+TO\s+(\w+)`)
	startsSQL   = regexp.MustCompile(`^\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|ALTER|DROP)\s`)
	fragmentSQL = regexp.MustCompile(`\b(?:FROM|JOIN|INTO|UPDATE)\s+[a-z_]\w*`)
	proseSQL    = regexp.MustCompile(`(?i)^\s*(?:select|insert|update|delete|replace)\s`)

	// What follows these is no table.
	noTable   = regexp.MustCompile(`(?i)ON\s+DUPLICATE\s+KEY\s+UPDATE|DO\s+UPDATE|FOR\s+UPDATE|DISTINCT\s+FROM|--[^\n]*`)
	tableSpot = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|INTO|UPDATE(?:\s+OR\s+\w+)?|REFERENCES|TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?)\s+((?:\w+(?:\.\w+)?(?:\s+(?:AS\s+)?\w+)?\s*,\s*)*\w+(?:\.\w+)?)`)
	cteName   = regexp.MustCompile(`(?i)(\w+)\s*(?:\([^)]*\)\s*)?AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(`)
)

// systemTables belong to the engine and may be read by everybody.
var systemTables = []string{
	"sqlite_master", "sqlite_schema", "information_schema", "json_each", "json_table", "dual", "excluded", "values",
}

// tableOwners maps every table to the domain or platform package whose migration makes it.
func tableOwners(t *tree) map[string]string {
	owners := map[string]string{}
	for _, name := range t.sortedTexts(".sql") {
		for _, m := range createTable.FindAllStringSubmatch(t.texts[name], -1) {
			owners[strings.ToLower(m[1]+m[2])] = ownerOf(name)
		}
	}
	return owners
}

// ownerOf is the part of the product that a path belongs to: "batch", "platform/outbox".
func ownerOf(name string) string {
	parts := strings.Split(name, "/")
	switch {
	case len(parts) > 2 && parts[1] == "platform":
		return "platform/" + parts[2]
	case len(parts) > 1:
		return parts[1]
	}
	return name
}

func foreignTables(owners map[string]string, at, owner string, line int, text string) []violation {
	text = noTable.ReplaceAllString(text, " ")
	sure := startsSQL.MatchString(text) || fragmentSQL.MatchString(text) || strings.HasSuffix(at, ".sql")
	if !sure && !proseSQL.MatchString(text) {
		return nil
	}
	var found []violation
	for _, table := range tablesIn(text) {
		switch has, known := owners[table]; {
		case known && has != owner:
			found = append(found, violation{"sql-foreign", at, line, table,
				"table " + table + " belongs to " + has + ": ask it through its core"})
		case !known && sure:
			found = append(found, violation{"sql-unknown", at, line, table,
				"no migration of ours makes table " + table})
		}
	}
	return found
}

// tablesIn names the tables that a statement or a piece of one touches.
func tablesIn(text string) []string {
	var ignored []string
	for _, m := range cteName.FindAllStringSubmatch(text, -1) {
		ignored = append(ignored, strings.ToLower(m[1]))
	}
	ignored = append(ignored, systemTables...)
	var tables []string
	for _, m := range tableSpot.FindAllStringSubmatch(text, -1) {
		for item := range strings.SplitSeq(m[1], ",") {
			words := strings.Fields(item)
			if len(words) == 0 {
				continue
			}
			table, _, _ := strings.Cut(strings.ToLower(words[0]), ".")
			if !slices.Contains(ignored, table) && !slices.Contains(tables, table) {
				tables = append(tables, table)
			}
		}
	}
	return tables
}

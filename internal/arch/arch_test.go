package arch

import (
	"os"
	"slices"
	"testing"
)

// rules are all of them. A rule may report several clauses.
var rules = []func(*tree) []violation{
	importRules, engineRules, clientRules, sqlTableRules, sqlTextRules, sqlTiDBRules,
	sizeRules, proseRules, globalRules,
}

// clauses are all that a rule can report; TestPlantedViolations breaks each.
var clauses = []string{
	"unknown-package", "core-imports", "event-imports", "suite-imports", "engine-imports",
	"edge-imports", "outlet-imports", "leaf-imports", "platform-imports", "wiring-imports",
	"engine-suite", "one-engine",
	"client-import", "sql-foreign", "sql-unknown", "sql-built", "sql-tidb",
	"file-lines", "func-lines", "interface-methods", "package-name",
	"path-missing", "test-missing", "nolint-reason", "linter-reason",
	"init-func", "weak-random", "wall-clock", "mutable-var",
	"exception",
}

func judge(t *tree, list []exception) []violation {
	var found []violation
	for _, rule := range rules {
		found = append(found, rule(t)...)
	}
	return excuse(found, list)
}

// TestTree holds the real source to every rule.
func TestTree(t *testing.T) {
	t.Parallel()
	source, err := readTree(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(source.files) == 0 || !source.paths["internal/arch"] {
		t.Fatal("read no source: the rules judged nothing")
	}
	for _, v := range judge(source, exceptions) {
		t.Error(v)
		if !slices.Contains(clauses, v.clause) {
			t.Errorf("clause %s is not in the list, so nothing proves that it can fail", v.clause)
		}
	}
}

package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// sound is a small tree in which every rule is kept, close calls included.
var sound = map[string]string{
	"go.mod":                                "module example.org/m\n\ngo 1.26\n",
	".golangci.yml":                         "linters:\n  disable:\n    - wsl # spacing is gofmt's business\n    # Two lines of reason\n    # above the entry.\n    - lll\n  settings:\n    revive:\n      rules:\n        - name: range\n  exclusions:\n    generated: strict\n    rules:\n      # Said.\n      - path: y\n        linters: [a]\n",
	"README.md":                             "See `internal/pay`, `internal/pay/{paysql,paytest}/*.go`, `go test ./internal/...`,\n[the rules](docs/rules.md#five) and `internal/<domain>`; data is in `./data`.\n\n    go run ./cmd/m --data x\n",
	"docs/rules.md":                         "Back to [the start](../README.md) or https://example.org/docs/none.\n",
	"cmd/m/main.go":                         "package main\n\nimport (\n\t\"time\"\n\n\t\"example.org/m/internal/app\"\n)\n\nvar version = \"dev\"\n\nfunc main() { app.Run(version, time.Now()) }\n",
	"internal/app/app.go":                   "package app\n\nimport (\n\t\"time\"\n\n\t_ \"example.org/m/internal/order\"\n\t_ \"example.org/m/internal/pay/paysql\"\n)\n\nfunc Run(string, time.Time) {}\n",
	"internal/ids/ids.go":                   "package ids\n",
	"internal/platform/fault/f.go":          "package fault\n\nimport _ \"net/http\"\n",
	"internal/platform/clock/c.go":          "package clock\n\nimport \"time\"\n\nfunc Now() time.Time { return time.Now() }\n",
	"internal/platform/h3/e.go":             "package h3\n\nimport _ \"github.com/quic-go/quic-go/http3\"\n",
	"internal/platform/sqldb/db.go":         "package sqldb\n\nimport \"database/sql\"\n\nfunc In(n int) string { return \"?\" }\n\nfunc Get(d *sql.DB, query string) { d.Query(query) }\n",
	"internal/pay/pay.go":                   "// Package pay is held by TestPay.\npackage pay\n\nimport (\n\t_ \"example.org/m/internal/ids\"\n\t_ \"example.org/m/internal/order/orderevent\"\n\t_ \"example.org/m/internal/platform/fault\"\n)\n\nvar kinds = map[string]int{\"a\": 1}\n\nvar _ = kinds\n\nfunc f() int { kinds := 1; kinds++; return kinds }\n",
	"internal/pay/pay_test.go":              "package pay\n\nimport (\n\t\"math/rand\"\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestPay(t *testing.T) { _, _ = rand.Int(), time.Now() }\n",
	"internal/pay/paytest/s.go":             "package paytest\n\nimport _ \"example.org/m/internal/pay\"\n\nfunc Run() int { return 0 }\n",
	"internal/pay/paysql/s.go":              soundSQL,
	"internal/pay/paysql/s_test.go":         "package paysql\n\nimport \"example.org/m/internal/pay/paytest\"\n\nvar _ = paytest.Run()\n",
	"internal/pay/paysql/schema/1.sql":      "CREATE TABLE pay_charges (id INT);\nCREATE TABLE pay_refunds (id INT REFERENCES pay_charges (id));\n",
	"internal/pay/payhttp/get.go":           "package payhttp\n\nimport (\n\t_ \"net/http\"\n\n\t_ \"example.org/m/internal/pay\"\n)\n",
	"internal/order/order.go":               "package order\n",
	"internal/order/orderevent/e.go":        "package orderevent\n",
	"internal/platform/outbox/o.go":         "package outbox\n",
	"internal/platform/outbox/schema/1.sql": "CREATE TABLE outbox (id INT);\n",
	"internal/order/ordersql/schema/1.sql":  "CREATE TABLE order_lines (id INT);\n",
	"web/src/a.ts":                          "// eslint-disable-next-line no-alert -- the user asked for it\nalert(1)\n",
	"test/load.go":                          "package test\n\nimport (\n\t\"math/rand/v2\"\n\t\"time\"\n)\n\nvar last = time.Now()\n\nfunc Draw() int { last = time.Now(); return rand.Int() }\n",
}

const soundSQL = `// Package paysql keeps charges.
//
// One engine: money is only ever in SQL.
package paysql

import (
	"database/sql"
	"errors"
	"strings"

	"example.org/m/internal/pay"
	"example.org/m/internal/platform/sqldb"
)

const columns = "id"

const all = "SELECT " + columns + " FROM pay_charges"

func list(d *sql.DB, open bool, n int) error {
	const one = "WITH mine AS (SELECT 1) SELECT id FROM mine JOIN pay_charges c"
	query := all
	if open {
		query += " WHERE open = ?"
	}
	d.Query(query)
	d.QueryRow(one)
	d.Exec("INSERT INTO pay_charges VALUES (?) ON DUPLICATE KEY UPDATE id = 1")
	d.Exec("DELETE FROM pay_refunds WHERE id IN (?" + strings.Repeat(",?", n) + ")")
	narrow := "SELECT id FROM pay_charges WHERE open = ?"
	switch {
	case n > 1:
		narrow += " AND id > ?"
	default:
		narrow += " AND id = ?"
	}
	for range n {
		narrow += " OR id = ?"
	}
	d.Query(narrow)
	sqldb.Get(d, all)
	paid, err := d.Prepare(all)
	if err != nil {
		return err
	}
	paid.Exec(n)
	return errors.New("update of stock failed")
}
`

// plant adds SQL to the sound engine.
func plantSQL(statements string) map[string]string {
	return map[string]string{"internal/pay/paysql/more.go": "package paysql\n\nimport (\n\t\"database/sql\"\n\t\"fmt\"\n\n\t\"example.org/m/internal/platform/sqldb\"\n)\n\n" +
		"func more(d *sql.DB, name string) {\n\t_ = fmt.Sprint()\n\t" + statements + "\n}\n"}
}

func goFileAt(path, pkg, body string) map[string]string {
	return map[string]string{path: "package " + pkg + "\n\n" + body + "\n"}
}

func importing(path, pkg string, imports ...string) map[string]string {
	return goFileAt(path, pkg, "import _ \""+strings.Join(imports, "\"\n\nimport _ \"")+"\"")
}

// TestPlantedViolations breaks every clause once or more in an otherwise sound
// tree and demands that just this is reported.
func TestPlantedViolations(t *testing.T) {
	t.Parallel()
	if found := judge(load(t, nil), nil); len(found) != 0 {
		t.Fatalf("the sound tree is refused: %v", found)
	}
	proven := map[string]bool{}
	for _, c := range planted {
		proven[c.clause] = true
		t.Run(c.clause+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			found := judge(load(t, c.files), c.exceptions)
			if len(found) != 1 || found[0].clause != c.clause || found[0].what != c.what {
				t.Errorf("want one %s of %q, got %v", c.clause, c.what, found)
			}
		})
	}
	for _, clause := range clauses {
		if !proven[clause] {
			t.Errorf("nothing proves that clause %s can fail", clause)
		}
	}
}

// TestSoundExceptions shows that an exception takes out just its violation.
func TestSoundExceptions(t *testing.T) {
	t.Parallel()
	files := importing("internal/pay/b.go", "pay", "net/http")
	list := []exception{{"core-imports", "internal/pay", "net/http", "for this test"}}
	if found := judge(load(t, files), list); len(found) != 0 {
		t.Errorf("an excused import is still reported: %v", found)
	}
}

func load(t *testing.T, extra map[string]string) *tree {
	t.Helper()
	all := maps.Clone(sound)
	maps.Copy(all, extra)
	fsys := fstest.MapFS{}
	for name, text := range all {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	source, err := readTree(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

type plantedCase struct {
	clause, name, what string
	files              map[string]string
	exceptions         []exception
}

var planted = slices.Concat(plantedImports, plantedEngines, plantedSQL, plantedSizes, plantedProse, plantedGlobals)

var plantedImports = []plantedCase{
	{clause: "unknown-package", name: "not in the layout", what: "internal/billing",
		files: goFileAt("internal/billing/b.go", "billing", "")},
	{clause: "core-imports", name: "another core", what: "example.org/m/internal/order",
		files: importing("internal/pay/b.go", "pay", "example.org/m/internal/order")},
	{clause: "core-imports", name: "own engine", what: "example.org/m/internal/order/ordersql",
		files: importing("internal/order/b.go", "order", "example.org/m/internal/order/ordersql")},
	{clause: "core-imports", name: "another's engine", what: "example.org/m/internal/pay/paysql",
		files: importing("internal/order/b.go", "order", "example.org/m/internal/pay/paysql")},
	{clause: "core-imports", name: "net/http", what: "net/http",
		files: importing("internal/pay/b.go", "pay", "net/http")},
	{clause: "core-imports", name: "net/http/httptest", what: "net/http/httptest",
		files: importing("internal/pay/b.go", "pay", "net/http/httptest")},
	{clause: "core-imports", name: "platform beyond the leaves", what: "example.org/m/internal/platform/outbox",
		files: importing("internal/pay/b.go", "pay", "example.org/m/internal/platform/outbox")},
	{clause: "core-imports", name: "a part of the core", what: "example.org/m/internal/order",
		files: importing("internal/pay/refund/b.go", "refund", "example.org/m/internal/order")},
	{clause: "core-imports", name: "the wiring", what: "example.org/m/internal/app",
		files: importing("internal/pay/b.go", "pay", "example.org/m/internal/app")},
	{clause: "event-imports", name: "its own core", what: "example.org/m/internal/pay",
		files: importing("internal/pay/payevent/b.go", "payevent", "example.org/m/internal/pay")},
	{clause: "suite-imports", name: "an engine", what: "example.org/m/internal/pay/paysql",
		files: importing("internal/pay/paytest/b.go", "paytest", "example.org/m/internal/pay/paysql")},
	{clause: "engine-imports", name: "another core", what: "example.org/m/internal/order",
		files: importing("internal/pay/paysql/b.go", "paysql", "example.org/m/internal/order")},
	{clause: "engine-imports", name: "how it is served", what: "example.org/m/internal/platform/h3",
		files: importing("internal/pay/paysql/b.go", "paysql", "example.org/m/internal/platform/h3")},
	{clause: "edge-imports", name: "another core", what: "example.org/m/internal/order",
		files: importing("internal/pay/payhttp/b.go", "payhttp", "example.org/m/internal/order")},
	{clause: "edge-imports", name: "own engine", what: "example.org/m/internal/pay/paysql",
		files: importing("internal/pay/payhttp/b.go", "payhttp", "example.org/m/internal/pay/paysql")},
	{clause: "edge-imports", name: "a store", what: "example.org/m/internal/platform/sqldb",
		files: importing("internal/pay/payhttp/b.go", "payhttp", "example.org/m/internal/platform/sqldb")},
	{clause: "edge-imports", name: "an edge by nature", what: "example.org/m/internal/pay",
		files: importing("internal/site/b.go", "site", "example.org/m/internal/pay")},
	{clause: "outlet-imports", name: "own engine", what: "example.org/m/internal/pay/paysql",
		files: importing("internal/pay/paykafka/b.go", "paykafka", "example.org/m/internal/pay/paysql")},
	{clause: "outlet-imports", name: "another core", what: "example.org/m/internal/order",
		files: importing("internal/pay/paykafka/b.go", "paykafka", "example.org/m/internal/order")},
	{clause: "leaf-imports", name: "a domain", what: "example.org/m/internal/pay",
		files: importing("internal/ids/b.go", "ids", "example.org/m/internal/pay")},
	{clause: "platform-imports", name: "a domain", what: "example.org/m/internal/pay",
		files: importing("internal/platform/outbox/b.go", "outbox", "example.org/m/internal/pay")},
	{clause: "wiring-imports", name: "arch imports app", what: "example.org/m/internal/app",
		files: importing("internal/arch/b.go", "arch", "example.org/m/internal/app")},
	{clause: "exception", name: "stale", what: "net/http",
		exceptions: []exception{{"core-imports", "internal/pay", "net/http", "no longer true"}}},
	{clause: "exception", name: "without a reason", what: "net/http",
		files:      importing("internal/pay/b.go", "pay", "net/http"),
		exceptions: []exception{{"core-imports", "internal/pay", "net/http", ""}}},
}

var plantedEngines = []plantedCase{
	{clause: "engine-suite", name: "no test runs the suite", what: "internal/pay/paytest",
		files: goFileAt("internal/pay/paysql/s_test.go", "paysql", "")},
	{clause: "engine-suite", name: "one of two engines", what: "internal/pay/paytest",
		files: goFileAt("internal/pay/paykv/s.go", "paykv", "")},
	{clause: "engine-suite", name: "imported but never called", what: "internal/pay/paytest",
		files: importing("internal/pay/paysql/s_test.go", "paysql", "example.org/m/internal/pay/paytest")},
	{clause: "one-engine", name: "silent", what: "pay",
		files: map[string]string{"internal/pay/paysql/s.go": strings.Replace(soundSQL, "One engine: money", "Money", 1)}},
	{clause: "one-engine", name: "no reason given", what: "pay",
		files: map[string]string{"internal/pay/paysql/s.go": strings.Replace(soundSQL, "One engine: money is only ever in SQL.", "One engine:", 1)}},
	{clause: "client-import", name: "SQL outside an engine", what: "database/sql",
		files: importing("internal/pay/payhttp/b.go", "payhttp", "database/sql")},
	{clause: "client-import", name: "a driver in an engine", what: "modernc.org/sqlite",
		files: importing("internal/pay/paysql/b.go", "paysql", "modernc.org/sqlite")},
	{clause: "client-import", name: "Redis in a SQL engine", what: "github.com/redis/rueidis",
		files: importing("internal/pay/paysql/b.go", "paysql", "github.com/redis/rueidis")},
	{clause: "client-import", name: "Pebble in a core", what: "github.com/cockroachdb/pebble/v2",
		files: importing("internal/pay/b.go", "pay", "github.com/cockroachdb/pebble/v2")},
	{clause: "client-import", name: "Kafka in the wiring", what: "github.com/twmb/franz-go/pkg/kgo",
		files: importing("internal/app/b.go", "app", "github.com/twmb/franz-go/pkg/kgo")},
	{clause: "client-import", name: "Kafka in an outlet", what: "github.com/twmb/franz-go/pkg/kgo",
		files: importing("internal/pay/paykafka/b.go", "paykafka", "github.com/twmb/franz-go/pkg/kgo")},
	{clause: "client-import", name: "QUIC in a page", what: "github.com/quic-go/quic-go",
		files: importing("internal/site/b.go", "site", "github.com/quic-go/quic-go")},
	{clause: "client-import", name: "OpenTelemetry in the wiring", what: "go.opentelemetry.io/otel/trace",
		files: importing("internal/app/b.go", "app", "go.opentelemetry.io/otel/trace")},
	{clause: "client-import", name: "OpenTelemetry in another platform package", what: "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc",
		files: importing("internal/platform/outbox/b.go", "outbox", "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc")},
	{clause: "client-import", name: "a reader of places in the wiring", what: "github.com/oschwald/maxminddb-golang/v2",
		files: importing("internal/app/b.go", "app", "github.com/oschwald/maxminddb-golang/v2")},
}

var plantedSQL = []plantedCase{
	{clause: "sql-foreign", name: "FROM", what: "order_lines", files: plantSQL(`d.Query("SELECT id FROM order_lines")`)},
	{clause: "sql-foreign", name: "JOIN", what: "order_lines",
		files: plantSQL(`d.Query("SELECT 1 FROM pay_charges p JOIN order_lines l ON p.id = l.id")`)},
	{clause: "sql-foreign", name: "comma", what: "order_lines", files: plantSQL(`d.Query("SELECT 1 FROM pay_charges p, order_lines l")`)},
	{clause: "sql-foreign", name: "UPDATE", what: "order_lines", files: plantSQL(`d.Exec("UPDATE order_lines SET id = ?")`)},
	{clause: "sql-foreign", name: "DELETE", what: "order_lines", files: plantSQL(`d.Exec("DELETE FROM order_lines")`)},
	{clause: "sql-foreign", name: "lower case", what: "order_lines", files: plantSQL(`d.Exec("delete from order_lines")`)},
	{clause: "sql-foreign", name: "the outbox by hand", what: "outbox", files: plantSQL(`d.Exec("INSERT INTO outbox VALUES (?)")`)},
	{clause: "sql-foreign", name: "over two pieces", what: "order_lines",
		files: plantSQL("const table = \"order_lines\"\n\td.Exec(\"DELETE FROM \" + table)")},
	{clause: "sql-foreign", name: "a reference in a migration", what: "order_lines",
		files: map[string]string{"internal/pay/paysql/schema/2.sql": "CREATE TABLE pay_x (id INT REFERENCES order_lines (id));"}},
	{clause: "sql-foreign", name: "in the wiring", what: "pay_charges",
		files: goFileAt("internal/app/b.go", "app", "import \"example.org/m/internal/platform/sqldb\"\n\nfunc g() { sqldb.Get(nil, \"SELECT 1 FROM pay_charges\") }")},
	{clause: "sql-unknown", name: "a table that nobody makes", what: "pay_typo", files: plantSQL(`d.Query("SELECT id FROM pay_typo")`)},
	{clause: "sql-tidb", name: "SQLite's words", what: "more", files: plantSQL(`d.Exec("INSERT INTO pay_charges VALUES (?) ON CONFLICT DO NOTHING")`)},
	{clause: "sql-tidb", name: "a typing error", what: "more", files: plantSQL(`d.Query("SELECT id FORM pay_charges")`)},
	{clause: "sql-tidb", name: "in one branch", what: "more",
		files: plantSQL("q := \"SELECT id FROM pay_charges\"\n\tif name != \"\" {\n\t\tq += \" WHERE\"\n\t}\n\td.Query(q)")},
	{clause: "sql-tidb", name: "what cannot be followed", what: "more",
		files: plantSQL("d.Exec(\"DELETE FROM pay_refunds WHERE id IN (\" + sqldb.In(2) + \")\")")},
	{clause: "sql-tidb", name: "a migration", what: "2.sql",
		files: map[string]string{"internal/pay/paysql/schema/mysql/2.sql": "CREATE TABLE pay_x (id INTEGER PRIMARY KEY) STRICT;"}},
	{clause: "sql-built", name: "Sprintf", what: "more",
		files: plantSQL(`d.Query(fmt.Sprintf("SELECT id FROM pay_charges WHERE n = '%s'", name))`)},
	{clause: "sql-built", name: "concatenation", what: "more",
		files: plantSQL(`d.Query("SELECT id FROM pay_charges WHERE n = " + name)`)},
	{clause: "sql-built", name: "a variable that grows", what: "more",
		files: plantSQL("q := \"SELECT id FROM pay_charges\"\n\tq += name\n\td.Query(q)")},
	{clause: "sql-built", name: "a parameter", what: "more", files: plantSQL(`d.Exec(name)`)},
	{clause: "sql-built", name: "prepared", what: "more", files: plantSQL(`d.Prepare(name)`)},
	{clause: "sql-built", name: "a function literal", what: "more", files: plantSQL(`func() { d.Exec(name) }()`)},
	{clause: "sql-built", name: "through a helper that takes a query", what: "more",
		files: goFileAt("internal/pay/paysql/more.go", "paysql",
			"import \"database/sql\"\n\nfunc get(d *sql.DB, query string) { d.Query(query) }\n\nfunc more(d *sql.DB, name string) { get(d, name) }")},
}

var plantedSizes = []plantedCase{
	{clause: "file-lines", name: "Go", what: "b.go", files: goFileAt("internal/pay/b.go", "pay", strings.Repeat("// line\n", fileLinesMax))},
	{clause: "file-lines", name: "Vue", what: "b.vue", files: map[string]string{"web/src/b.vue": strings.Repeat("<br>\n", fileLinesMax+1)}},
	{clause: "func-lines", name: "one line over", what: "long",
		files: goFileAt("internal/pay/b.go", "pay", "func long() {\n"+strings.Repeat("\t_ = 0\n", funcLinesMax-1)+"}")},
	{clause: "interface-methods", name: "one over", what: "Wide",
		files: goFileAt("internal/pay/b.go", "pay", "type Wide interface {\n"+methods(interfaceMethodsMax+1)+"}")},
	{clause: "interface-methods", name: "through embedding", what: "Wide",
		files: goFileAt("internal/pay/b.go", "pay", "type Half interface {\n"+methods(interfaceMethodsMax)+"}\n\ntype Wide interface {\n\tHalf\n\tMore()\n}")},
	{clause: "package-name", name: "utils", what: "utils", files: goFileAt("internal/pay/utils/b.go", "utils", "")},
}

func methods(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\tM%d()\n", i)
	}
	return b.String()
}

var plantedProse = []plantedCase{
	{clause: "path-missing", name: "in backticks", what: "internal/gone", files: map[string]string{"docs/b.md": "See `internal/gone`."}},
	{clause: "path-missing", name: "with a line", what: "internal/gone.go", files: map[string]string{"docs/b.md": "See `internal/gone.go:12`."}},
	{clause: "path-missing", name: "at the root", what: "GONE.md", files: map[string]string{"docs/b.md": "See `GONE.md`."}},
	{clause: "path-missing", name: "as a link", what: "docs/gone.md", files: map[string]string{"docs/b.md": "See [it](gone.md)."}},
	{clause: "path-missing", name: "in a command", what: "cmd/gone", files: map[string]string{"docs/b.md": "    go run ./cmd/gone -x"}},
	{clause: "path-missing", name: "one of two in braces", what: "internal/gone", files: map[string]string{"docs/b.md": "`internal/{pay,gone}`"}},
	{clause: "path-missing", name: "a pattern without a match", what: "docs/*.txt", files: map[string]string{"docs/b.md": "`docs/*.txt`"}},
	{clause: "path-missing", name: "in a comment", what: "docs/gone.md", files: goFileAt("internal/pay/b.go", "pay", "// See docs/gone.md.")},
	{clause: "test-missing", name: "in a comment", what: "TestGone", files: goFileAt("internal/pay/b.go", "pay", "// Held by TestGone.")},
	{clause: "nolint-reason", name: "bare", what: "nolint", files: goFileAt("internal/pay/b.go", "pay", "//nolint")},
	{clause: "nolint-reason", name: "named, without a reason", what: "nolint", files: goFileAt("internal/pay/b.go", "pay", "//nolint:gosec")},
	{clause: "nolint-reason", name: "nosec", what: "#nosec", files: goFileAt("internal/pay/b.go", "pay", "// #nosec G404")},
	{clause: "nolint-reason", name: "staticcheck's own", what: "lint:ignore", files: goFileAt("internal/pay/b.go", "pay", "//lint:ignore SA1000")},
	{clause: "nolint-reason", name: "eslint", what: "eslint-disable", files: map[string]string{"web/src/b.ts": "// eslint-disable-next-line no-alert\n"}},
	{clause: "nolint-reason", name: "shellcheck", what: "shellcheck disable", files: map[string]string{"test/b.sh": "# shellcheck disable=SC2086\n"}},
	{clause: "linter-reason", name: "a linter", what: "- gosec", files: map[string]string{".golangci.yml": "linters:\n  disable:\n    - gosec\n"}},
	{clause: "linter-reason", name: "an exclusion", what: "- path: x",
		files: map[string]string{".golangci.yml": "linters:\n  exclusions:\n    rules:\n      # Said.\n      - path: y\n        linters: [a]\n      - path: x\n        linters: [a]\n"}},
}

var plantedGlobals = []plantedCase{
	{clause: "init-func", name: "in a core", what: "init", files: goFileAt("internal/pay/b.go", "pay", "func init() {}")},
	{clause: "weak-random", name: "math/rand", what: "math/rand", files: importing("internal/pay/b.go", "pay", "math/rand")},
	{clause: "weak-random", name: "math/rand/v2", what: "math/rand/v2", files: importing("internal/pay/b.go", "pay", "math/rand/v2")},
	{clause: "wall-clock", name: "Now", what: "time.Now", files: goFileAt("internal/pay/b.go", "pay", "import \"time\"\n\nfunc g() { time.Now() }")},
	{clause: "wall-clock", name: "Since, renamed", what: "time.Since",
		files: goFileAt("internal/pay/b.go", "pay", "import tm \"time\"\n\nfunc g(t tm.Time) { tm.Since(t) }")},
	{clause: "wall-clock", name: "passed as a value", what: "time.Now", files: goFileAt("internal/pay/b.go", "pay", "import \"time\"\n\nvar now = time.Now")},
	{clause: "mutable-var", name: "assigned", what: "n", files: goFileAt("internal/pay/b.go", "pay", "var n int\n\nfunc g() { n = 1 }")},
	{clause: "mutable-var", name: "counted", what: "n", files: goFileAt("internal/pay/b.go", "pay", "var n int\n\nfunc g() { n++ }")},
	{clause: "mutable-var", name: "by index from another file", what: "kinds", files: goFileAt("internal/pay/b.go", "pay", "func g() { kinds[\"b\"] = 2 }")},
	{clause: "mutable-var", name: "by a test", what: "kinds", files: goFileAt("internal/pay/b_test.go", "pay", "func g() { kinds = nil }")},
	{clause: "mutable-var", name: "deleted from", what: "kinds", files: goFileAt("internal/pay/b.go", "pay", "func g() { delete(kinds, \"a\") }")},
	{clause: "mutable-var", name: "by address", what: "n", files: goFileAt("internal/pay/b.go", "pay", "var n int\n\nfunc g() *int { return &n }")},
	{clause: "mutable-var", name: "by field", what: "n", files: goFileAt("internal/pay/b.go", "pay", "var n struct{ a int }\n\nfunc g() { n.a = 1 }")},
	{clause: "mutable-var", name: "a lock", what: "mu", files: goFileAt("internal/pay/b.go", "pay", "import \"sync\"\n\nvar mu sync.Mutex")},
	{clause: "mutable-var", name: "a counter", what: "n", files: goFileAt("internal/pay/b.go", "pay", "import \"sync/atomic\"\n\nvar n atomic.Int64")},
	{clause: "mutable-var", name: "an empty map", what: "m", files: goFileAt("internal/pay/b.go", "pay", "var m = make(map[int]int)")},
	{clause: "mutable-var", name: "in the program", what: "n", files: goFileAt("cmd/m/b.go", "main", "var n int\n\nfunc g() { n = 1 }")},
}

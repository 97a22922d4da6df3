package arch

import (
	"path"
	"slices"
	"strings"
)

// client is a library that speaks to another program or reads its files, or a package
// that hands such a library out, and the places that may hold it.
type client struct {
	imports []string // with everything below them
	homes   []string // directories, with everything below them
	engines string   // the suffix of the engines that may use it too
}

var clients = []client{
	{
		imports: []string{"database/sql"},
		homes:   []string{"internal/platform/sqldb", "internal/platform/outbox", "internal/platform/idem", "internal/platform/task", "internal/platform/lease", "internal/platform/translog"},
		engines: "sql",
	},
	{
		imports: []string{"modernc.org/sqlite", "github.com/go-sql-driver/mysql", "github.com/pressly/goose"},
		homes:   []string{"internal/platform/sqldb"},
	},
	{
		imports: []string{"github.com/cockroachdb/pebble"},
		homes:   []string{"internal/platform/kvdb"},
		engines: "kv",
	},
	{
		imports: []string{"github.com/redis/rueidis"},
		homes:   []string{"internal/platform/redisdb"},
		engines: "redis",
	},
	{
		imports: []string{"github.com/twmb/franz-go"},
		homes:   []string{"internal/platform/kafka"},
	},
	{
		imports: []string{"github.com/quic-go/quic-go"},
		homes:   []string{"internal/platform/h3"},
	},
	{
		imports: []string{"go.opentelemetry.io"},
		homes:   []string{"internal/platform/trace"},
	},
	{
		imports: []string{"github.com/oschwald/maxminddb-golang"},
		homes:   []string{"internal/platform/geoip"},
	},
	{
		imports: []string{"github.com/go-ldap/ldap"},
		homes:   []string{"internal/platform/ldap"},
	},
	{
		imports: []string{"github.com/minio/minio-go"},
		homes:   []string{"internal/platform/blob"},
	},
}

// Rule 4, first half: clients of other programs are confined. Suites and anything
// below test/ may hold them: that is where engines are driven from outside.
func clientRules(t *tree) []violation {
	var found []violation
	for _, f := range t.files {
		if f.test || within(f.dir, "test") || placeOf(f.dir).kind == suite {
			continue
		}
		for _, imp := range f.imports {
			c, ok := clientOf(imp.path)
			if ok && !c.mayLive(f.dir) {
				found = append(found, violation{"client-import", f.path, imp.line, imp.path,
					imp.path + " lives in " + strings.Join(c.homes, ", ") + c.enginesText() + " only"})
			}
		}
	}
	return found
}

func clientOf(importPath string) (client, bool) {
	for _, c := range clients {
		if slices.ContainsFunc(c.imports, func(p string) bool { return within(importPath, p) }) {
			return c, true
		}
	}
	return client{}, false
}

func (c client) mayLive(dir string) bool {
	if slices.ContainsFunc(c.homes, func(home string) bool { return within(dir, home) }) {
		return true
	}
	at := placeOf(dir)
	engineDir := "internal/" + at.domain + "/" + at.domain + c.engines
	return c.engines != "" && at.kind == engine && within(dir, path.Clean(engineDir))
}

func (c client) enginesText() string {
	if c.engines == "" {
		return ""
	}
	return " and the *" + c.engines + " engines"
}

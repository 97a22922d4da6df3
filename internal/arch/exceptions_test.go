package arch

// exception lets one place break one clause, and says why. at is a file or a
// package (then everything in it), what is the name that the violation gives.
type exception struct{ clause, at, what, reason string }

// exceptions is the whole list. TestTree fails on a line that excuses nothing.
var exceptions = []exception{
	{"interface-methods", "internal/batch/store.go", "Store", "four contracts of at most twelve methods that one engine keeps in one transaction"},
	{"interface-methods", "internal/identity/store.go", "Store", "seven contracts of at most twelve methods that one engine keeps in one transaction"},
	{"client-import", "internal/platform/stream/streamkv", "github.com/cockroachdb/pebble/v2", "the stream's engine on Pebble; the other engines live beside it"},
	{"client-import", "internal/platform/stream/streamkv", "github.com/cockroachdb/pebble/v2/vfs", "tests give it a file system that crashes"},
	{"platform-imports", "internal/platform/sqldb/sqldbtest", "github.com/chopmark/chopmark/test/servers", "it gives suites the real servers, and is in no program"},
	{"sql-tidb", "internal/platform/sqldb/sqlite.go", "check", "asks SQLite about its file"},
	{"sql-tidb", "internal/platform/sqldb/sqlite.go", "CopyTo", "copies SQLite's file"},
	{"sql-tidb", "internal/platform/idem/together.go", "insert", "one of its two forms, keepOthers, is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/dialect.go", "secureDelete", "SQLite's file keeps what was deleted; asked of SQLite only"},
	{"sql-tidb", "internal/scan/scansql/dialect.go", "emptyLog", "SQLite's log keeps what was deleted; asked of SQLite only"},
	{"sql-tidb", "internal/scan/scansql/fold.go", "fold", "the embedded engine: upsertNewest is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/fold.go", "foldItems", "the embedded engine: ignoreDuplicates is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/fold.go", "foldCounts", "the embedded engine: addCounts is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/fold.go", "foldSketches", "the embedded engine: upsertSketch is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/records.go", "note", "the embedded engine: upsertDay is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/records.go", "insert", "the embedded engine: ignoreDuplicates is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/topcodes.go", "foldTops", "the embedded engine: upsertTop is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/vault.go", "SetPolicy", "one of its two forms, upsertPolicy, is in SQLite's words"},
	{"sql-tidb", "internal/scan/scansql/vault.go", "key", "one of its two forms, insertKey, is in SQLite's words"},
	{"sql-tidb", "internal/find/findsql/findsql.go", "through", "MATCH is FTS5's; the file is SQLite's always"},
	{"client-import", "internal/platform/stream/streamredis", "github.com/redis/rueidis", "the stream's engine on Redis; the other engines live beside it"},
	{"client-import", "internal/platform/limit/limitredis", "github.com/redis/rueidis", "what processes share of limits; the engine in memory lies above it"},
	{"wall-clock", "internal/platform/stream/streamredis", "time.Now", "how often it looks is measured; what is kept takes the Clock"},
	{"wall-clock", "internal/platform/stream/streamredis", "time.Since", "how often it looks is measured; what is kept takes the Clock"},
	{"wall-clock", "internal/platform/stream/streamredis", "time.Until", "how often it looks is measured; what is kept takes the Clock"},
	{"wall-clock", "internal/platform/httpx/gate.go", "time.Now", "the rate at which requests go through"},
	{"wall-clock", "internal/platform/httpx/router.go", "time.Now", "how long an answer took is measured, not decided upon"},
	{"wall-clock", "internal/platform/httpx/router.go", "time.Since", "how long an answer took is measured, not decided upon"},
	{"wall-clock", "internal/platform/lane/conn.go", "time.Now", "deadlines of a connection, and the Date header"},
	{"wall-clock", "internal/platform/h3/h3.go", "time.Now", "the deadline of a request"},
	{"wall-clock", "internal/platform/obs/obs.go", "time.Now", "the window of a metric"},
}

// excuse takes out what the list allows and adds a violation for each line that
// is no longer needed.
func excuse(found []violation, list []exception) []violation {
	used := make([]bool, len(list))
	var left []violation
	for _, v := range found {
		excused := false
		for i, e := range list {
			if e.clause == v.clause && within(v.at, e.at) && e.what == v.what {
				used[i], excused = true, true
			}
		}
		if !excused {
			left = append(left, v)
		}
	}
	for i, e := range list {
		switch {
		case e.reason == "":
			left = append(left, violation{"exception", e.at, 0, e.what, "the exception for " + e.clause + " gives no reason"})
		case !used[i]:
			left = append(left, violation{"exception", e.at, 0, e.what,
				"the exception for " + e.clause + " " + e.what + " excuses nothing: delete it"})
		}
	}
	return left
}

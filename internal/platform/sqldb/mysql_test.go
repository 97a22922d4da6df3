package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/test/servers"
)

// TestIdentifiersAreByteExact: case, spaces at the end, look-alikes and two forms of
// one letter are different, in a key and in a comparison.
func TestIdentifiersAreByteExact(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, open func() *DB) {
		db := open()
		schema := fstest.MapFS{
			"sqlite/00001_ids.sql": {Data: []byte("-- +goose Up\nCREATE TABLE ids (id VARCHAR(64) PRIMARY KEY, n INTEGER NOT NULL);\n")},
			"mysql/00001_ids.sql":  {Data: []byte("-- +goose Up\nCREATE TABLE ids (id VARBINARY(64) PRIMARY KEY, n INT NOT NULL);\n")},
		}
		if err := db.Migrate(t.Context(), "ids", schema); err != nil {
			t.Fatal(err)
		}
		all := []string{
			"lot", "LOT", "lot ", "lot  ", " lot", "", " ", "\t", "\u00e9", "e\u0301", "A", "\u0410", "\uff21", "ss", "\u00df",
			"i", "\u0131", "\u0130", "1", "\u2460", "\U0001f600", "\U0001f601", "lo\u200bt", "\xff", "\x00", "\\", "'", "%",
		}
		err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
			for n, id := range all {
				if _, err := tx.ExecContext(ctx, `INSERT INTO ids (id, n) VALUES (?, ?)`, id, n); err != nil {
					return fmt.Errorf("%q: %w", id, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for n, id := range all {
			got, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (s string, err error) {
				var m int
				err = r.Scan(&s, &m)
				if m != n {
					t.Errorf("%q finds row %d, want %d", id, m, n)
				}
				return s, err
			}, `SELECT id, n FROM ids WHERE id = ?`, id)
			if diff := cmp.Diff([]string{id}, got); err != nil || diff != "" {
				t.Errorf("%q: %v (-want +got):\n%s", id, err, diff)
			}
		}
	})
}

func TestSessionsHaveOurSettings(t *testing.T) {
	t.Parallel()
	db := mariadb(t)()
	for _, pool := range []*sql.DB{db.write, db.read, db.mig.open()} {
		var mode, isolation, zone, charset string
		var wait int
		err := pool.QueryRowContext(t.Context(), `SELECT @@sql_mode, @@tx_isolation, @@time_zone, @@character_set_connection, @@innodb_lock_wait_timeout`).
			Scan(&mode, &isolation, &zone, &charset, &wait)
		if err != nil || !strings.Contains(mode, "STRICT_ALL_TABLES") || !strings.Contains(mode, "NO_ENGINE_SUBSTITUTION") ||
			isolation != "READ-COMMITTED" || zone != "+00:00" || charset != "utf8mb4" || wait != 5 {
			t.Errorf("%v: mode %s, isolation %s, zone %s, charset %s, lock wait %d s", err, mode, isolation, zone, charset, wait)
		}
		if pool != db.write && pool != db.read {
			_ = pool.Close()
		}
	}
	write, read := db.Pools()
	if n := write.MaxOpenConnections + read.MaxOpenConnections; n != 100 {
		t.Errorf("%d connections at most, want 100", n)
	}
}

// TestTooLongIsRefused: a server that is not strict would cut it.
func TestTooLongIsRefused(t *testing.T) {
	t.Parallel()
	db := things(t, mariadb(t))
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error { return add(ctx, tx, 1, strings.Repeat("x", 65)) })
	if err == nil || count(t, db.Reader()) != 0 {
		t.Errorf("%v, %d things", err, count(t, db.Reader()))
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mysql://me:secret@db.example:3307/shop":                 "mysql://me@db.example:3307/shop",
		"mysql://me:se%2Fcr%40et@db.example/shop?tls=true":       "mysql://me@db.example:3306/shop",
		"mysql://db.example/shop?tls=skip-verify":                "mysql://db.example:3306/shop",
		"mysql://me:secret@[2001:db8::1]:3306/shop?tls=false":    "mysql://me@[2001:db8::1]:3306/shop",
		"mysql://me:secret@db.example:3307":                      "",
		"mysql://me:secret@db.example:3307/":                     "",
		"mysql://me:secret@db.example:3307/a/b":                  "",
		"mysql://me:secret@/shop":                                "",
		"mysql://me:secret@db.example:port/shop":                 "",
		"mysql://me:secret@db.example/shop?tls=maybe":            "",
		"mysql://me:secret@db.example/shop?tls=true&tls=false":   "",
		"mysql://me:secret@db.example/shop?multiStatements=true": "",
		"mysql://me:secret@db.example/shop#x":                    "",
		"postgres://me:secret@db.example/shop":                   "",
		"me:secret@tcp(db.example)/shop":                         "",
		"mysql://me:secret@db.example/%zz":                       "",
		"":                                                       "",
	} {
		cfg, name, err := mysqlConfig(url)
		if name != want || (err == nil) != (want != "") {
			t.Errorf("%s: name %q, %v; want %q", url, name, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || !errors.Is(err, ErrMySQLURL)) {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil && (cfg.InterpolateParams || cfg.MultiStatements || cfg.ReadTimeout != ioTimeout) {
			t.Errorf("%s: %+v", url, cfg)
		}
	}
	cfg, _, err := mysqlConfig("mysql://m%40e:se%2Fcr%40et@db.example/shop")
	if err != nil || cfg.User != "m@e" || cfg.Passwd != "se/cr@et" {
		t.Errorf("%q, %q, %v", cfg.User, cfg.Passwd, err)
	}
}

func TestPasswordIsInNoMessage(t *testing.T) {
	t.Parallel()
	good := servers.MariaDB(t)
	db := closing(t)(OpenMySQL(t.Context(), good, MySQLOptions{}))
	texts := []string{db.Name(), fmt.Sprint(db.Migrate(t.Context(), "bad", of("00001_bad.sql", "-- +goose Up\nNONSENSE;\n")))}
	for _, url := range []string{
		strings.Replace(good, "chopmark:", "nobody:", 1),
		strings.Replace(good, "/t_", "/none_", 1),
		"mysql://chopmark:" + servers.MariaDBPassword + "@127.0.0.1:1/shop",
	} {
		var logged bytes.Buffer
		db, err := OpenMySQL(t.Context(), url, MySQLOptions{Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err == nil {
			_ = db.Close()
			t.Errorf("%s was opened", url)
		}
		texts = append(texts, fmt.Sprint(err), logged.String())
	}
	for _, text := range texts {
		if text == "" || strings.Contains(text, servers.MariaDBPassword) {
			if text != "" {
				t.Errorf("it tells the password: %s", text)
			}
		}
	}
}

func TestUnsafeServersAreRefused(t *testing.T) {
	t.Parallel()
	server := servers.StartMariaDB(t, "--log-bin", "--sync-binlog=0", "--binlog-format=MIXED", "--innodb-flush-log-at-trx-commit=2")
	url := server.Database(t)
	db, err := OpenMySQL(t.Context(), url, MySQLOptions{})
	if !errors.Is(err, ErrUnsafeServer) {
		_ = db.Close()
		t.Fatalf("opened: %v", err)
	}
	flaws := []string{"innodb_flush_log_at_trx_commit = 2", "sync_binlog = 0", "binlog_format = MIXED"}
	for _, part := range append(flaws, "set it to 1", "set it to ROW", "--allow-unsafe") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\ndoes not say %s", err, part)
		}
	}
	var logged bytes.Buffer
	closing(t)(OpenMySQL(t.Context(), url, MySQLOptions{AllowUnsafe: true, Log: slog.New(slog.NewTextHandler(&logged, nil))}))
	for _, flaw := range flaws {
		if !strings.Contains(logged.String(), flaw) || !strings.Contains(logged.String(), "level=WARN") {
			t.Errorf("allowed, the log does not say %s:\n%s", flaw, logged.String())
		}
	}
}

func TestSettingsAreJudged(t *testing.T) {
	t.Parallel()
	safe := map[string]string{"innodb_flush_log_at_trx_commit": "1", "log_bin": "ON", "sync_binlog": "1", "binlog_format": "ROW", "wsrep_on": "OFF"}
	tidb := map[string]string{"innodb_flush_log_at_trx_commit": "2", "log_bin": "OFF", "tidb_disable_txn_auto_retry": "ON", "tidb_txn_mode": "PESSIMISTIC"}
	with := func(base map[string]string, name, value string) map[string]string {
		out := map[string]string{name: value}
		for k, v := range base {
			if k != name {
				out[k] = v
			}
		}
		return out
	}
	for _, c := range []struct {
		kind     serverKind
		settings map[string]string
		want     string // the flaw begins with; "" = none
	}{
		{kindMySQL, safe, ""}, {kindMariaDB, safe, ""}, {kindTiDB, tidb, ""}, {kindMySQL, nil, ""},
		{kindMySQL, with(safe, "innodb_flush_log_at_trx_commit", "0"), "innodb_flush_log_at_trx_commit = 0"},
		{kindMySQL, with(safe, "sync_binlog", "100"), "sync_binlog = 100"},
		{kindMySQL, with(with(safe, "sync_binlog", "0"), "log_bin", "OFF"), ""},
		{kindMySQL, with(safe, "binlog_format", "STATEMENT"), "binlog_format = STATEMENT"},
		{kindMariaDB, with(safe, "wsrep_on", "ON"), "wsrep_on = ON"},
		{kindTiDB, with(tidb, "tidb_disable_txn_auto_retry", "OFF"), "tidb_disable_txn_auto_retry = OFF"},
		{kindTiDB, with(tidb, "tidb_txn_mode", "OPTIMISTIC"), "tidb_txn_mode = OPTIMISTIC"},
	} {
		flaws := judgeSettings(c.kind, c.settings)
		if c.want == "" && len(flaws) != 0 || c.want != "" && (len(flaws) != 1 || !strings.HasPrefix(flaws[0], c.want)) {
			t.Errorf("%s with %v: %v, want %q", c.kind, c.settings, flaws, c.want)
		}
	}
}

func TestVersionsAreJudged(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]serverKind{
		"8.0.36": kindMySQL, "8.4.0-log": kindMySQL, "9.1.0": kindMySQL, "10.6.0-MariaDB": kindMariaDB,
		"5.5.5-10.11.6-MariaDB-1:10.11.6": kindMariaDB, "11.4.2-MariaDB-log": kindMariaDB, "8.0.11-TiDB-v7.5.0": kindTiDB, "5.7.25-TiDB-v6.5.0": kindTiDB,
		"5.7.44-log": "", "10.5.23-MariaDB": "", "8.0.11-TiDB-v6.1.0": "", "": "", "x.y": "",
	} {
		kind, err := judgeVersion(version)
		if want != "" && (kind != want || err != nil) || want == "" && err == nil {
			t.Errorf("%q: %s, %v; want %q", version, kind, err, want)
		}
	}
}

// TestStartsTakeTurns migrates from several processes at once.
func TestStartsTakeTurns(t *testing.T) {
	t.Parallel()
	open := mariadb(t)
	// slow enough that without turns they would all begin
	schema := of("00001_things.sql", strings.Replace(create, "CREATE", "SELECT SLEEP(0.05);\nCREATE", 1))
	schema["mysql/00002_more.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nALTER TABLE things ADD COLUMN colour VARCHAR(16) NOT NULL DEFAULT '';\nINSERT INTO things (id, name) VALUES (1, 'a');\n")}
	var all sync.WaitGroup
	for range 8 {
		db := open()
		all.Go(func() {
			if err := db.Migrate(t.Context(), "things", schema); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := count(t, open().Reader()); n != 1 {
		t.Errorf("%d things, want one", n)
	}
}

// TestHalfAMigrationIsMadeWhole: where definitions commit at once a crash leaves half.
func TestHalfAMigrationIsMadeWhole(t *testing.T) {
	t.Parallel()
	db := mariadb(t)()
	text := strings.Replace(create, "TABLE", "TABLE IF NOT EXISTS", 1) + "INSERT IGNORE INTO things (id, name) VALUES (1, 'a');\n"
	half := of("00001_things.sql", text+"CREATE NONSENSE;\n")
	if err := db.Migrate(t.Context(), "things", half); err == nil {
		t.Fatal("nonsense was run")
	}
	if err := db.Migrate(t.Context(), "things", of("00001_things.sql", text)); err != nil {
		t.Fatal(err)
	}
	if n := count(t, db.Reader()); n != 1 {
		t.Errorf("%d things", n)
	}
}

// TestCrashAtTheVeryBeginning: the table of versions was made, and nothing put into it.
func TestCrashAtTheVeryBeginning(t *testing.T) {
	t.Parallel()
	db := things(t, mariadb(t))
	for _, query := range []string{`DELETE FROM schema_things`, `DROP TABLE things`} {
		if _, err := db.write.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	migrate(t, db)
	if n := count(t, db.Reader()); n != 0 {
		t.Errorf("%d things", n)
	}
}

// TestDeadlocksAreRunAgain makes two transactions take two rows in opposite order.
func TestDeadlocksAreRunAgain(t *testing.T) {
	t.Parallel()
	open := mariadb(t)
	db := things(t, open)
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		return errors.Join(add(ctx, tx, 1, "a"), add(ctx, tx, 2, "b"))
	})
	if err != nil {
		t.Fatal(err)
	}
	const rename = `UPDATE things SET name = CONCAT(name, 'x') WHERE id = ?`
	met := make(chan struct{})
	var both sync.WaitGroup
	runs := [2]int{}
	var each [2]chan struct{}
	for i := range each {
		each[i] = make(chan struct{})
	}
	for i, order := range [][2]int{{1, 2}, {2, 1}} {
		both.Go(func() {
			err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
				runs[i]++
				if _, err := tx.ExecContext(ctx, rename, order[0]); err != nil {
					return err
				}
				if runs[i] == 1 { // both hold one
					close(each[i])
					<-met
				}
				_, err := tx.ExecContext(ctx, rename, order[1])
				if err != nil { // what follows must not stand alone
					_, again := tx.ExecContext(ctx, `INSERT INTO things (id, name) VALUES (3, 'alone')`)
					if !errors.Is(again, err) {
						t.Errorf("after %v a statement ran on: %v", err, again)
					}
					var n int
					if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM things`).Scan(&n); err == nil {
						t.Error("after a deadlock a row was read")
					}
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-each[0]
	<-each[1]
	close(met)
	both.Wait()
	if runs[0]+runs[1] != 3 {
		t.Errorf("the two ran %v times, want one of them twice", runs)
	}
	names, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (s string, err error) { err = r.Scan(&s); return s, err }, `SELECT name FROM things ORDER BY id`)
	if diff := cmp.Diff([]string{"axx", "bxx"}, names); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestOverlookedDeadlockCommitsNothing: fn hides the error, and half would stay.
func TestOverlookedDeadlockCommitsNothing(t *testing.T) {
	t.Parallel()
	db := things(t, mariadb(t))
	runs := 0
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		if runs++; runs == 1 {
			_ = tx.note(&mysql.MySQLError{Number: myDeadlock, Message: "as if"})
		}
		_ = add(ctx, tx, runs, "a")
		return nil
	})
	if err != nil || runs != 2 || count(t, db.Reader()) != 1 {
		t.Errorf("%v after %d runs, %d things", err, runs, count(t, db.Reader()))
	}
}

func TestWritersThatWaitInVainAreTold(t *testing.T) {
	t.Parallel()
	open := mariadb(t)
	db, other := things(t, open), open()
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		if err := add(ctx, tx, 1, "a"); err != nil {
			return err
		}
		runs := 0
		err := other.Write(ctx, func(ctx context.Context, tx *Tx) error {
			runs++
			return add(ctx, tx, 1, "b")
		})
		if !errors.Is(err, ErrBusy) || fault.KindOf(err) != fault.Unavailable || runs != lockWaitsMax {
			t.Errorf("%v after %d runs", err, runs)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLostConnectionsAreSurvived kills connections of writers while they write: what
// was acknowledged is there, what was refused is not.
func TestLostConnectionsAreSurvived(t *testing.T) {
	t.Parallel()
	server := servers.StartMariaDB(t)
	url := server.Database(t)
	open := func() *DB { return closing(t)(OpenMySQL(t.Context(), url, MySQLOptions{})) }
	db, admin := things(t, open), open()
	const writers, each = 4, 150
	written := make(chan struct{}, writers*each)
	var killer sync.WaitGroup
	killer.Go(func() {
		for n := 0; ; n++ {
			if _, ok := <-written; !ok {
				return
			}
			if n%5 != 0 {
				continue
			}
			ids, err := Collect(t.Context(), admin.Reader(), scanID, `SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() AND user = 'chopmark'`)
			if err != nil {
				t.Error(err)
			}
			for _, id := range ids {
				_, _ = admin.read.ExecContext(t.Context(), `KILL CONNECTION ?`, id)
			}
		}
	})
	var mu sync.Mutex
	outcome := map[int64]error{}
	runs := 0
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := range each {
				id := w*each + n
				err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
					mu.Lock()
					runs++
					mu.Unlock()
					return add(ctx, tx, id, fmt.Sprint(id))
				})
				mu.Lock()
				outcome[int64(id)] = err
				mu.Unlock()
				written <- struct{}{}
			}
		})
	}
	all.Wait()
	close(written)
	killer.Wait()
	there, err := Collect(t.Context(), open().Reader(), scanID, `SELECT id FROM things`)
	if err != nil {
		t.Fatal(err)
	}
	unknown := 0
	for id, err := range outcome {
		switch {
		case errors.Is(err, ErrUnknownOutcome):
			unknown++
		case err != nil && !errors.Is(err, ErrUnavailable):
			t.Error(err)
		case (err == nil) != slices.Contains(there, id):
			t.Errorf("%d was answered %v, and there is %v", id, err, slices.Contains(there, id))
		}
	}
	if runs == writers*each {
		t.Error("no connection was killed in time: the test shows nothing")
	}
	t.Logf("%d transactions ran %d times; %d stand, %d unknown", writers*each, runs, len(there), unknown)
}

func scanID(r *sql.Rows) (id int64, err error) {
	err = r.Scan(&id)
	return id, err
}

func TestFullTableIsFull(t *testing.T) {
	t.Parallel()
	db := mariadb(t)()
	schema := of("00001_small.sql", "-- +goose Up\nCREATE TABLE small (a VARCHAR(1000) NOT NULL) ENGINE=MEMORY MAX_ROWS=10;\n")
	if err := db.Migrate(t.Context(), "small", schema); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(ctx context.Context, tx *Tx) error {
		for range 100_000 {
			if _, err := tx.ExecContext(ctx, `INSERT INTO small (a) VALUES ('a')`); err != nil {
				return err
			}
		}
		return nil
	})
	if !IsFull(err) {
		t.Errorf("a full table: %v", err)
	}
	for text, want := range map[*mysql.MySQLError]bool{
		{Number: myGetErrno, Message: "Got error 28 \"No space left on device\" from storage engine InnoDB"}: true,
		{Number: myWriteFile, Message: "Error writing file '/x' (Errcode: 28 \"No space left on device\")"}:  true,
		{Number: myGetErrno, Message: "Got error 121 from storage engine"}:                                   false,
	} {
		if IsFull(fmt.Errorf("insert: %w", text)) != want {
			t.Errorf("%v: full is %v", text, !want)
		}
	}
}

package sqldb_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/servers"
)

func openMySQL(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenMySQL(t.Context(), url, sqldb.MySQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// pair is a primary with a table of one counter, and what its replicas are read by.
type pair struct {
	t       *testing.T
	primary *servers.MariaDBServer
	replica *servers.MariaDBServer
	url     string
	dbs     *sqldb.Shards
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, primary: servers.StartPrimary(t)}
	p.replica = p.primary.Replica(t)
	p.url = p.primary.Database(t)
	p.dbs = p.join()
	p.must(p.write(t.Context(), `CREATE TABLE counter (id INT PRIMARY KEY, n BIGINT NOT NULL)`))
	p.must(p.write(t.Context(), `INSERT INTO counter (id, n) VALUES (1, 0)`))
	return p
}

func (p *pair) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) join() *sqldb.Shards {
	p.t.Helper()
	dbs, err := sqldb.Join(p.t.Context(), openMySQL(p.t, p.url), [ids.Shards]*sqldb.DB{})
	p.must(err)
	p.t.Cleanup(func() { _ = dbs.Close() })
	return dbs
}

func (p *pair) options() sqldb.ReplicaOptions {
	return sqldb.ReplicaOptions{Clock: clock.System{}, Log: slog.New(slog.DiscardHandler)}
}

func (p *pair) write(ctx context.Context, statement string) error {
	return p.dbs.Home().Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}

// counted is the counter and the server that tells it.
type counted struct{ n, server int64 }

func count(ctx context.Context, q sqldb.Querier) (c counted, err error) {
	err = q.QueryRowContext(ctx, `SELECT n, @@server_id FROM counter WHERE id = 1`).Scan(&c.n, &c.server)
	return c, err
}

func (p *pair) stale() counted {
	p.t.Helper()
	c, err := sqldb.ReadStale(p.t.Context(), p.dbs.Home(), count)
	p.must(err)
	return c
}

func (p *pair) recent() counted {
	p.t.Helper()
	c, err := sqldb.ReadRecent(p.t.Context(), p.dbs.Home(), count)
	p.must(err)
	return c
}

func (p *pair) eventually(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatal("not within a minute: ", what)
		}
	}
}

func (p *pair) replicate() {
	p.t.Helper()
	p.must(p.dbs.Replicate(p.t.Context(), []string{p.replica.Same(p.url)}, p.options()))
	p.eventually("the replica is read", func() bool { return p.recent().server == 2 })
}

const bump = `UPDATE counter SET n = n + 1 WHERE id = 1`

// TestReplicaShowsOwnCommits: ReadRecent goes to the replica and yet always shows what
// this process committed, also while the replica stands still; ReadStale may not.
func TestReplicaShowsOwnCommits(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.replicate()
	for i := range int64(200) {
		p.must(p.write(t.Context(), bump))
		if got := p.recent(); got.n != i+1 {
			t.Fatalf("after %d commits %+v", i+1, got)
		}
	}
	p.eventually("it is read again", func() bool { return p.recent() == counted{200, 2} })

	p.replica.Exec(t, "STOP SLAVE SQL_THREAD")
	p.must(p.write(t.Context(), bump))
	if got := p.recent(); got != (counted{201, 1}) {
		t.Errorf("from a replica that lags: %+v", got)
	}
	if got := p.stale(); got != (counted{200, 2}) {
		t.Errorf("what may be stale: %+v", got)
	}
	p.eventually("its lag is known", func() bool { return p.dbs.StaleBy() > sqldb.RecentMax })
	p.must(p.write(sqldb.Aside(t.Context()), bump))
	if got := p.recent(); got != (counted{202, 1}) {
		t.Errorf("a replica that is more than RecentMax behind: %+v", got)
	}
	p.replica.Exec(t, "START SLAVE SQL_THREAD")
	p.eventually("it has caught up", func() bool { return p.recent() == counted{202, 2} })
}

// TestWritesAsideKeepReplicas: what nobody is answered by does not send reads to the primary.
func TestWritesAsideKeepReplicas(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.replicate()
	p.must(p.write(sqldb.Aside(t.Context()), bump))
	if got := p.recent(); got.server != 2 {
		t.Errorf("read from server %d", got.server)
	}
	p.must(p.write(t.Context(), bump))
	if got := p.recent(); got.n != 2 {
		t.Errorf("after a commit that was answered: %+v", got)
	}
}

// TestReplicaTooFarBehindIsLeftOut moves the clock instead of waiting.
func TestReplicaTooFarBehindIsLeftOut(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var mu sync.Mutex
	var ahead time.Duration
	o := p.options()
	o.Clock = clock.Func(func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	})
	p.must(p.dbs.Replicate(t.Context(), []string{p.replica.Same(p.url)}, o))
	p.eventually("the replica is read", func() bool { return p.stale().server == 2 })
	p.replica.Exec(t, "STOP SLAVE SQL_THREAD")
	mu.Lock()
	ahead = sqldb.StaleMax
	mu.Unlock()
	if got := p.stale(); got.server != 1 {
		t.Error("a replica is read whose lag is above the bound")
	}
	p.replica.Exec(t, "START SLAVE SQL_THREAD")
	p.eventually("it is read again", func() bool { return p.stale().server == 2 })
}

// TestReplicaDiesUnderReads kills it with -9 while many read: nobody sees an error.
func TestReplicaDiesUnderReads(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.replicate()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers sync.WaitGroup
	var mu sync.Mutex
	served := map[int64]int{}
	for range 8 {
		readers.Go(func() {
			for ctx.Err() == nil {
				c, err := sqldb.ReadStale(ctx, p.dbs.Home(), count)
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
				mu.Lock()
				served[c.server]++
				mu.Unlock()
			}
		})
	}
	seen := func(server int64) int {
		mu.Lock()
		defer mu.Unlock()
		return served[server]
	}
	p.eventually("many reads of the replica", func() bool { return seen(2) > 500 })
	p.replica.Kill()
	before := seen(1)
	p.eventually("many reads of the primary", func() bool { return seen(1) > before+500 })
	stop()
	readers.Wait()
	if got := p.recent(); got.server != 1 {
		t.Errorf("a dead replica answers: %+v", got)
	}
}

// TestReplicasThatAreRefused: not read-only, and of another installation. One that does
// not answer is waited for.
func TestReplicasThatAreRefused(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.replicate()
	other := servers.StartMariaDB(t, "--read-only=1")
	foreign := other.Database(t)
	if _, err := sqldb.Join(t.Context(), openMySQL(t, foreign), [ids.Shards]*sqldb.DB{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url  string
		want error
	}{
		"the primary itself":   {p.url, sqldb.ErrWritable},
		"another installation": {foreign, sqldb.ErrOtherInstallation},
		"out of reach":         {"mysql://chopmark:secret@127.0.0.1:1/none", nil},
	} {
		if err := p.join().Replicate(t.Context(), []string{c.url}, p.options()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/keyset/keysetfile"
	"github.com/chopmark/chopmark/internal/keyset/keysetsql"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// EngineConfig names the services that an installation past one machine works with;
// each is optional, and what is not named is embedded under Data.
type EngineConfig struct {
	SQL         string // mysql://user:pass@host:port/db
	SQLRead     string // replicas, by commas
	SQLShard    string // where shards are that are not in SQL: 0-7=mysql://…, by commas
	KEKFile     string // wraps the keys that are kept in SQL
	KEK         string // the same from the environment: the key itself, or its file
	KMS         KMSConfig
	CountWait   time.Duration // how long a scan waits for Redis; 0 = the usual, below 0 = not at all
	Redis       string        // redis://… , redis+sentinel://…, redis+cluster://…
	Kafka       string        // host:port, by commas, or kafka://…, kafkas://…
	Search      string        // of OpenSearch or Elasticsearch
	Blob        string        // s3://… or file:///dir
	AllowUnsafe bool          // start on a server that may lose what it has acknowledged
}

// countWaitMax is longer than anybody holds a phone for.
const countWaitMax = 2 * time.Second

func (c *EngineConfig) check() error {
	if c.SQL == "" && (c.KEKFile != "" || c.KEK != "") {
		return usage("kek", "wraps the keys that are kept in SQL: it needs --sql")
	}
	if c.SQL == "" && c.SQLRead != "" {
		return usage("sql-read", "names replicas of --sql: it needs that")
	}
	if _, err := parseShards(c.SQLShard); err != nil {
		return err
	}
	if c.CountWait > countWaitMax {
		return usage("count-wait", "must be at most %s", countWaitMax)
	}
	if c.SQL == "" && c.SQLShard != "" {
		return usage("sql-shard", "moves shards out of --sql: it needs that")
	}
	return nil
}

// openSQL makes the data directory, locks it and opens the database: the server's that
// was named, or a file. What a backup left behind that was cut off is of no use to anyone.
func (a *App) openSQL(ctx context.Context) error {
	if err := a.lock(); err != nil {
		return err
	}
	err := os.RemoveAll(filepath.Join(a.Data, dirCopies))
	if err != nil {
		return fmt.Errorf("remove an unfinished backup: %w", err)
	}
	if a.SQL != "" {
		return a.openServers(ctx)
	}
	if a.db, err = sqldb.OpenSQLite(ctx, filepath.Join(a.Data, fileSQL)); err != nil {
		return err
	}
	a.dbs = sqldb.One(a.db)
	a.closers = append(a.closers, a.dbs.Close)
	return Migrate(ctx, a.dbs)
}

// parseShards reads --sql-shard: of each shard the URL, "" = in the home.
func parseShards(text string) (urls [ids.Shards]string, _ error) {
	if text == "" {
		return urls, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		span, url, ok := strings.Cut(item, "=")
		low, high, isRange := strings.Cut(span, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if !ok || url == "" || err1 != nil || err2 != nil || from < 0 || to < from || to >= ids.Shards {
			return urls, usage("sql-shard", "must look like 0-7=mysql://…,8-15=mysql://…: shards are 0 to %d", ids.Shards-1)
		}
		for i := from; i <= to; i++ {
			if urls[i] != "" {
				return urls, usage("sql-shard", "names shard %d twice", i)
			}
			urls[i] = url
		}
	}
	return urls, nil
}

// openServers opens the servers' databases and their replicas.
func (a *App) openServers(ctx context.Context) (err error) {
	open := map[string]*sqldb.DB{}
	openOnce := func(url string) (*sqldb.DB, error) {
		if db, ok := open[url]; ok || url == "" {
			return db, nil
		}
		db, err := sqldb.OpenMySQL(ctx, url, sqldb.MySQLOptions{AllowUnsafe: a.AllowUnsafe, Log: a.log})
		if err == nil {
			open[url], a.closers = db, append(a.closers, db.Close)
		}
		return db, err
	}
	if a.db, err = openOnce(a.SQL); err != nil {
		return err
	}
	urls, err := parseShards(a.SQLShard)
	if err != nil {
		return err
	}
	var of [ids.Shards]*sqldb.DB
	for i, url := range urls {
		if of[i], err = openOnce(url); err != nil {
			return err
		}
	}
	if a.dbs, err = sqldb.Join(ctx, a.db, of); err != nil {
		return err
	}
	if err := Migrate(ctx, a.dbs); err != nil || a.SQLRead == "" {
		return err
	}
	a.closers = append(a.closers, a.dbs.Close)
	return a.dbs.Replicate(ctx, strings.Split(a.SQLRead, ","), sqldb.ReplicaOptions{AllowUnsafe: a.AllowUnsafe, Clock: a.clock, Log: a.log})
}

// kek is the key that wraps keys; nil when there is none.
func (a *App) kek(ctx context.Context) (*keyset.KEK, error) {
	switch {
	case a.KEKFile != "":
		text, err := os.ReadFile(a.KEKFile)
		if err != nil {
			return nil, usage("kek", "cannot be read: %v", err)
		}
		return a.parseKEK(ctx, text)
	case a.KEK == "":
		return nil, nil //nolint:nilnil // no key is an answer here
	}
	if key, err := keyset.ParseKEK([]byte(a.KEK)); err == nil {
		return key, nil
	}
	text, err := os.ReadFile(a.KEK)
	if err != nil {
		return nil, keyset.ErrBadKEK // not err: it quotes what may be a key
	}
	return a.parseKEK(ctx, text)
}

// keyOptions is where this installation keeps its keys: beside the records, where
// every process of it finds the same.
func (a *App) keyOptions(ctx context.Context) (keyset.Options, error) {
	has, err := batchsql.Over(a.dbs, a.clock).HasBatches(ctx)
	o := keyset.Options{Store: keysetsql.New(a.db), Clock: a.clock, HasBatches: has}
	if err != nil || a.SQL == "" {
		o.Vault = keysetfile.New(filepath.Join(a.Data, fileKeys))
		return o, err
	}
	kek, err := a.kek(ctx)
	if err != nil {
		return o, err
	}
	if kek == nil {
		a.log.Warn("keys are kept in SQL as they are: whoever reads the database can make codes; name a key that wraps them with --kek")
	}
	o.Vault = keysetsql.NewVault(a.db, kek)
	return o, nil
}

// wrapKeys wraps keys that were stored plain before there was a key to wrap them by.
func wrapKeys(ctx context.Context, o keyset.Options, set *keyset.Set, wrap bool) error {
	vault, ok := o.Vault.(*keysetsql.Vault)
	if !ok || !wrap {
		return nil
	}
	if wrapped, err := vault.Wrapped(ctx); err != nil || wrapped {
		return err
	}
	if err := vault.Replace(ctx, set, set); err != nil {
		return fmt.Errorf("wrap keys: %w", err)
	}
	return nil
}

func (a *App) openKeys(ctx context.Context) error {
	o, err := a.keyOptions(ctx)
	if err != nil {
		return err
	}
	set, err := keyset.Open(ctx, o)
	if err != nil {
		return err
	}
	if err := wrapKeys(ctx, o, set, a.KEK != "" || a.KEKFile != ""); err != nil {
		return err
	}
	a.keys = newKeyring(set, a.clock)
	if a.SQL != "" {
		a.keys.settle(keysSettle)
		a.work.Go(func() { a.reloadKeys(a.background, o.Vault) })
	}
	return nil
}

const (
	keysReload = 10 * time.Second
	// keysSettle is how old a key is before links and batches are made with it: by then
	// every process has it, and knows what it made.
	keysSettle = time.Minute
)

// reloadKeys takes what another process, or the command line, has rotated.
func (a *App) reloadKeys(ctx context.Context, vault keyset.Vault) {
	t := time.NewTicker(keysReload)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		set, err := vault.Load(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.log.Warn("the keyset cannot be read; the one in memory goes on", "error", err)
		case set.Current(keyset.Codebook).ID != a.keys.present().Current(keyset.Codebook).ID:
			a.log.Error("the database holds the keyset of another installation; the one in memory goes on", "database", a.db.Name())
		case !set.Equal(a.keys.present()):
			a.keys.renew(set)
		}
	}
}

// followOthers keeps up with what other processes commit. Alone on its records a process has
// nobody to follow.
func (a *App) followOthers() {
	if a.SQL == "" {
		return
	}
	follower := batch.NewFollower(a.proj, a.clock, a.log)
	a.onCommitOfOthers = append(a.onCommitOfOthers, follower.Wake) // what is committed here is applied here
	a.work.Go(func() { follower.Run(a.background) })
}

package sqldb_test

import (
	"errors"
	"testing"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/servers"
)

// upper gives the shards from 8 on to a database.
func upper(db *sqldb.DB) (of [ids.Shards]*sqldb.DB) {
	for i := 8; i < len(of); i++ {
		of[i] = db
	}
	return of
}

// TestShardsStayWhereTheyWere: the first start decides, later ones are held to it.
func TestShardsStayWhereTheyWere(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	homeURL, upperURL := servers.MariaDB(t), servers.MariaDB(t)
	home, up := openMySQL(t, homeURL), openMySQL(t, upperURL)
	for range 2 {
		dbs, err := sqldb.Join(ctx, home, upper(up))
		if err != nil {
			t.Fatal(err)
		}
		if len(dbs.All()) != 2 || dbs.Of(7) != home || dbs.Of(8) != up || dbs.Named(ids.NewIn(15, "bat")) != up || dbs.Named(ids.New("bat")) != home {
			t.Error("shards are not where they belong")
		}
	}
	moved := upper(up)
	moved[8] = nil
	other := openMySQL(t, servers.MariaDB(t))
	if _, err := sqldb.Join(ctx, other, upper(nil)); err != nil {
		t.Fatal(err)
	}
	old := openMySQL(t, servers.MariaDB(t)) // from before places were noted
	if err := old.Migrate(ctx, "idem", idem.Schema()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		home *sqldb.DB
		of   [ids.Shards]*sqldb.DB
		want error
	}{
		"no shards any more":                 {home, upper(nil), sqldb.ErrMoved},
		"one shard less":                     {home, moved, sqldb.ErrMoved},
		"a database of another installation": {home, upper(other), sqldb.ErrOtherInstallation},
		"records of nobody knows whom":       {home, upper(old), sqldb.ErrOtherInstallation},
		"the home by another address":        {home, upper(openMySQL(t, homeURL)), sqldb.ErrSameDatabase},
		"a shard as the home":                {up, upper(nil), sqldb.ErrMoved},
		"old records are in the home":        {old, upper(openMySQL(t, servers.MariaDB(t))), sqldb.ErrMoved},
	} {
		if _, err := sqldb.Join(ctx, c.home, c.of); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := sqldb.Join(ctx, old, upper(nil)); err != nil {
		t.Errorf("old records without shards: %v", err)
	}
}

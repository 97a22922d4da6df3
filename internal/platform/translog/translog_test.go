package translog

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

const origin = "goods.example/log"

func keys(id string) (seed [ed25519.SeedSize]byte, ok bool) {
	copy(seed[:], "a seed of thirty-two bytes: "+id)
	return seed, strings.HasPrefix(id, "key_")
}

func now() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

func migrated(t *testing.T, db *sqldb.DB) *sqldb.DB {
	t.Helper()
	err := errors.Join(db.Migrate(t.Context(), "translog", Schema()), db.Migrate(t.Context(), "outbox", outbox.Schema()),
		db.Migrate(t.Context(), "lease", lease.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type failer interface {
	Helper()
	Fatal(args ...any)
	Context() context.Context
}

func opened(t failer, db *sqldb.DB) *Log {
	t.Helper()
	l, err := Open(t.Context(), db, clock.Func(now), origin, "key_1", keys)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func statements(from, n int) []Statement {
	all := make([]Statement, n)
	for i := range all {
		name := fmt.Sprint("item-", from+i)
		all[i] = Statement{Kind: "test", Subject: name, Text: fmt.Appendf(nil, `{"subject":%q}`, name)}
	}
	return all
}

func grown(t failer, l *Log, from, n int) {
	t.Helper()
	if size, err := l.Append(t.Context(), statements(from, n), nil); err != nil || size != int64(from+n) {
		t.Fatal("append:", size, err)
	}
}

func signed(t failer, l *Log) Head {
	t.Helper()
	h, err := l.Sign(t.Context())
	if err != nil {
		t.Fatal("sign:", err)
	}
	return h
}

// clear empties the log, for the next round of a property.
func clearLog(t failer, db *sqldb.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, q := range []string{`DELETE FROM translog`, `DELETE FROM translog_leaves`, `DELETE FROM translog_tiles`, `DELETE FROM translog_checkpoints`} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestHeadsAreConsistent grows logs in steps of any size, and checks each head, each
// proof and each tile with the code of Go's checksum database, as a stranger would.
func TestHeadsAreConsistent(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		rapid.Check(t, func(t *rapid.T) {
			clearLog(t, db)
			l := opened(t, db)
			var heads []Head
			size := 0
			for range rapid.IntRange(1, 6).Draw(t, "steps") {
				n := rapid.SampledFrom([]int{1, 2, 3, 7, 100, 255, 256, 257, 600}).Draw(t, "leaves")
				grown(t, l, size, n)
				size += n
				heads = append(heads, signed(t, l))
			}
			last := heads[len(heads)-1]
			for _, h := range heads {
				proof, err := l.Consistency(t.Context(), h.Size, last.Size)
				if err != nil {
					t.Fatal(err)
				}
				if h.Size < last.Size {
					err = tlog.CheckTree(proof, last.Size, last.Root, h.Size, h.Root)
				}
				if err != nil {
					t.Fatalf("head %d in head %d: %v", h.Size, last.Size, err)
				}
			}
			for range 5 {
				proves(t, l, fmt.Sprint("item-", rapid.IntRange(0, size-1).Draw(t, "leaf")))
			}
			readsByTiles(t, l, last, int64(rapid.IntRange(0, size-1).Draw(t, "record")))
			if r, err := l.Check(t.Context(), nil); err != nil || len(r.Faults) > 0 || r.Leaves != last.Size || int(r.Heads) != len(heads) {
				t.Fatalf("check: %+v %v", r, err)
			}
		})
	})
}

func proves(t failer, l *Log, subject string) {
	t.Helper()
	p, err := l.Prove(t.Context(), "test", subject)
	if err != nil {
		t.Fatal(subject, err)
	}
	if err := p.Check(l.VerifierKey()); err != nil {
		t.Fatal(subject, err)
	}
	p.Statement += " "
	if p.Check(l.VerifierKey()) == nil {
		t.Fatal("an altered statement is proven")
	}
}

// published reads the log as C2SP tlog-tiles hands it out.
type published struct{ l *Log }

func (p published) Height() int { return tileHeight }

func (p published) ReadTiles(all []tlog.Tile) (data [][]byte, _ error) {
	for _, t := range all {
		d, err := p.l.Tile(context.Background(), t.L, t.N, t.W)
		if err != nil {
			return nil, err
		}
		data = append(data, d)
	}
	return data, nil
}

func (published) SaveTiles([]tlog.Tile, [][]byte) {}

// readsByTiles finds a record's hash in a tree whose tiles are checked against its head.
func readsByTiles(t failer, l *Log, h Head, n int64) {
	t.Helper()
	got, err := tlog.TileHashReader(tlog.Tree{N: h.Size, Hash: h.Root}, published{l}).ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
	if err != nil {
		t.Fatal("tiles:", err)
	}
	first := n / tileWidth * tileWidth
	entries, err := l.Entries(t.Context(), n/tileWidth, int(min(tileWidth, h.Size-first)))
	if err != nil {
		t.Fatal("entries:", err)
	}
	for range n - first {
		entries = entries[2+binary.BigEndian.Uint16(entries):]
	}
	if tlog.RecordHash(entries[2:2+binary.BigEndian.Uint16(entries)]) != got[0] {
		t.Fatal("entry and tile do not agree:", n)
	}
}

// TestTamperingIsFound plants what somebody with the database could do.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	plants := map[string]struct {
		query string
		args  []any
		stops bool // signing, which looks at roots only
	}{
		"a statement":         {query: `UPDATE translog_leaves SET statement = ? WHERE idx = 3`, args: []any{[]byte(`{"subject":"other"}`)}},
		"a commitment":        {query: `UPDATE translog_leaves SET commitment = salt WHERE idx = 3`},
		"a leaf taken out":    {query: `DELETE FROM translog_leaves WHERE idx = 3`},
		"the last leaf":       {query: `DELETE FROM translog_leaves WHERE idx = 299`},
		"a tile":              {query: `UPDATE translog_tiles SET data = (SELECT data FROM (SELECT data FROM translog_tiles WHERE level = 0 AND n = 1) AS other) WHERE level = 0 AND n = 0`},
		"an upper tile":       {query: `DELETE FROM translog_tiles WHERE level = 1`, stops: true},
		"a head":              {query: `UPDATE translog_checkpoints SET note = ? WHERE size = 300`, args: []any{[]byte("goods.example/log\n300\nAAAA\n\n")}, stops: true},
		"an older, whole log": {query: `UPDATE translog SET size = 256 WHERE one = 1`, stops: true},
	}
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		for name, plant := range plants {
			clearLog(t, db)
			l := opened(t, db)
			grown(t, l, 0, 300)
			signed(t, l)
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.ExecContext(ctx, plant.query, plant.args...)
				return err
			})
			if err != nil {
				t.Fatal(name, err)
			}
			if r, err := l.Check(t.Context(), nil); err != nil || len(r.Faults) == 0 {
				t.Errorf("%s is not found: %+v %v", name, r, err)
			}
			if name != "an older, whole log" { // signing looks when the log has grown
				if _, err := l.Append(t.Context(), statements(300, 5), nil); err != nil {
					continue // or growing stumbles over it already
				}
			}
			if _, err := l.Sign(t.Context()); plant.stops && !errors.Is(err, ErrBroken) {
				t.Errorf("%s: signed all the same: %v", name, err)
			}
		}
	})
}

// TestFollowerLogsOnce lets followers take over from each other at any moment.
func TestFollowerLogsOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		l := opened(t, db)
		box := outbox.New(sqldb.One(db))
		f := &Follower{Log: l, Outbox: box, Statements: func(e *outbox.Event) ([]Statement, error) {
			if e.Type == "quiet" {
				return nil, nil
			}
			return []Statement{{Kind: "event", Subject: e.ID, Text: e.Data}}, nil
		}}
		const events = 40
		for i := range events {
			kind := "told"
			if i%4 == 3 {
				kind = "quiet"
			}
			err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				s, err := outbox.Commit(ctx, tx, ids.Shard(i%3), now())
				if err != nil {
					return err
				}
				return outbox.Append(ctx, tx, s, outbox.Event{ID: fmt.Sprint("evt_", i), Type: kind, Data: []byte(`{}`)})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		stale, err := box.Resume(t.Context(), RelayName, 1)
		if err != nil {
			t.Fatal(err)
		}
		at, err := box.Resume(t.Context(), RelayName, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Step(t.Context(), 1, stale); !errors.Is(err, outbox.ErrFenced) {
			t.Errorf("the one before: %v", err)
		}
		if _, err := f.Step(t.Context(), 2, at); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Step(t.Context(), 2, at); !errors.Is(err, outbox.ErrFenced) {
			t.Errorf("the same events again: %v", err)
		}
		if h := signed(t, l); h.Size != events*3/4 {
			t.Errorf("%d leaves", h.Size)
		}
		for i := range events {
			if i%4 == 3 {
				continue
			}
			p, err := l.Prove(t.Context(), "event", fmt.Sprint("evt_", i))
			if err != nil || p.Check(l.VerifierKey()) != nil {
				t.Errorf("event %d: %v", i, err)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	db := migrated(t, sqldbtest.SQLite(t)())
	if _, err := Open(t.Context(), db, clock.Func(now), origin, "gone", keys); err == nil {
		t.Error("opened without its key")
	}
	clearLog(t, db)
	l := opened(t, db)
	if _, err := l.Head(t.Context()); !errors.Is(err, ErrEmpty) {
		t.Errorf("head of nothing: %v", err)
	}
	if _, err := l.Sign(t.Context()); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing is signed: %v", err)
	}
	if _, err := l.Append(t.Context(), []Statement{{Text: make([]byte, StatementBytesMax+1)}}, nil); err == nil {
		t.Error("a statement without end is taken")
	}
	grown(t, l, 0, 3)
	if _, err := l.Prove(t.Context(), "test", "item-1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("proven under no head: %v", err)
	}
	h := signed(t, l)
	for _, c := range [][2]int64{{0, 3}, {-1, 3}, {2, 1}, {1, 4}} {
		if _, err := l.Consistency(t.Context(), c[0], c[1]); !errors.Is(err, ErrSizes) {
			t.Errorf("from %d to %d: %v", c[0], c[1], err)
		}
	}
	if _, err := l.Tile(t.Context(), 0, 0, 4); !errors.Is(err, ErrUnknown) {
		t.Errorf("a tile of the future: %v", err)
	}
	if _, err := l.Prove(t.Context(), "test", "never"); !errors.Is(err, ErrUnknown) {
		t.Errorf("the unknown: %v", err)
	}
	other, _, err := signer(origin, [ed25519.SeedSize]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCheckpoint(h.Note, other); err == nil {
		t.Error("another key's signature is taken")
	}
	again := opened(t, db) // keeps its name and key whatever is present now
	if again.VerifierKey() != l.VerifierKey() {
		t.Error("opened under another key")
	}
}

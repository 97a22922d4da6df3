package idem

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/test/servers"
)

// migrated has a table for effects: one row for each.
func migrated(t *testing.T, db *sqldb.DB) *sqldb.DB {
	t.Helper()
	create := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE effects (id VARCHAR(64) PRIMARY KEY);\n")}
	effects := fstest.MapFS{"sqlite/00001_effects.sql": create, "mysql/00001_effects.sql": create}
	if err := errors.Join(db.Migrate(t.Context(), "idem", Schema()), db.Migrate(t.Context(), "effects", effects)); err != nil {
		t.Fatal(err)
	}
	return db
}

func now() time.Time { return time.UnixMicro(1) }

// once brings about the effect of that name, and then fails when told so.
func once(t *testing.T, db *sqldb.DB, r ids.Request, effect string, then error) (string, bool, error) {
	t.Helper()
	return Once(t.Context(), db, clock.Func(now), r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO effects (id) VALUES (?)`, effect)
		return effect, errors.Join(err, then)
	})
}

func wantOnce(t *testing.T, db *sqldb.DB, r ids.Request, effect, want string, replayed bool, wantErr error) {
	t.Helper()
	got, again, err := once(t, db, r, effect, nil)
	if got != want || again != replayed || !errors.Is(err, wantErr) {
		t.Errorf("Once = %q, %v, %v; want %q, %v, %v", got, again, err, want, replayed, wantErr)
	}
}

func wantFound(t *testing.T, db *sqldb.DB, r ids.Request, effect string, ok bool, want error) {
	t.Helper()
	got, found, err := Find(t.Context(), db.Reader(), r)
	if got != effect || found != ok || !errors.Is(err, want) {
		t.Errorf("Find = %q, %v, %v; want %q, %v, %v", got, found, err, effect, ok, want)
	}
}

func wantEffects(t *testing.T, db *sqldb.DB, want int) {
	t.Helper()
	var n int
	if err := db.Reader().QueryRowContext(t.Context(), `SELECT COUNT(*) FROM effects`).Scan(&n); err != nil || n != want {
		t.Errorf("%d effects, %v; want %d", n, err, want)
	}
}

func request(key, body byte) ids.Request {
	return ids.Request{Key: [32]byte{31: key}, Body: [32]byte{body}}
}

func TestRequestNamesItsEffect(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		wantFound(t, db, request(1, 1), "", false, nil)
		wantOnce(t, db, request(1, 1), "bat_1", "bat_1", false, nil)
		wantFound(t, db, request(1, 1), "bat_1", true, nil)
		wantFound(t, db, request(1, 2), "", false, ErrMismatch)
		wantFound(t, db, request(2, 1), "", false, nil)
		wantOnce(t, db, request(1, 1), "bat_2", "bat_1", true, nil)
		wantOnce(t, db, request(1, 2), "bat_2", "", false, ErrMismatch)
		wantFound(t, db, request(1, 1), "bat_1", true, nil)
		wantEffects(t, db, 1)
	})
}

func TestRefusalIsNotRemembered(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		refused := errors.New("refused")
		if _, _, err := once(t, db, request(1, 1), "bat_1", refused); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		wantFound(t, db, request(1, 1), "", false, nil)
		wantOnce(t, db, request(1, 2), "bat_2", "bat_2", false, nil)
		wantFound(t, db, request(1, 2), "bat_2", true, nil)
		wantEffects(t, db, 1)
	})
}

func TestNoKeyIsNeverRemembered(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		for i := range 2 {
			effect := fmt.Sprint("bat_", i)
			wantOnce(t, db, ids.Request{Body: [32]byte{1}}, effect, effect, false, nil)
		}
		wantFound(t, db, ids.Request{Body: [32]byte{1}}, "", false, nil)
		wantEffects(t, db, 2)
	})
}

func TestFailedLookUpIsNoAnswer(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok, err := Find(ctx, db.Reader(), request(1, 1)); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("Find = %v, %v: a failed look-up must not pass for \"had no effect\"", ok, err)
		}
	})
}

// TestSameRequestAtOnce: through two processes at the same time, one takes effect and
// all answer the same.
func TestSameRequestAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := fresh(t)
		dbs := []*sqldb.DB{migrated(t, open()), open()}
		for round := range 10 {
			var mu sync.Mutex
			first, answers := 0, map[string]int{}
			var all sync.WaitGroup
			for i := range 16 {
				all.Go(func() {
					effect, replayed, err := once(t, dbs[i%2], request(byte(1+round), 1), fmt.Sprint(round, "_", i), nil)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					answers[effect]++
					if !replayed {
						first++
					}
				})
			}
			all.Wait()
			if first != 1 || len(answers) != 1 {
				t.Fatalf("round %d: %d took effect, answers %v", round, first, answers)
			}
		}
		wantEffects(t, dbs[0], 10)
	})
}

// TestLostAnswersAreSettled cuts the connection at every statement of a request, before
// the server gets it and after it has acted: the effect is there once, and is named.
func TestLostAnswersAreSettled(t *testing.T) {
	t.Parallel()
	url := servers.MariaDB(t)
	proxy := sqldbtest.NewProxy(t, url)
	db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrated(t, db)
	effects := 0
	for _, text := range []string{"START TRANSACTION", "INSERT INTO idempotency", "INSERT INTO effects", "UPDATE idempotency", "COMMIT"} {
		for _, fate := range []sqldbtest.Fate{sqldbtest.RequestLost, sqldbtest.ReplyLost} {
			for twice := range 2 { // and again while it is being settled
				effects++
				proxy.Cut(text, fate)
				if twice == 1 {
					proxy.Cut(text, fate)
				}
				effect := fmt.Sprint("e", effects)
				got, _, err := once(t, db, request(byte(effects), 1), effect, nil)
				if err != nil || got != effect {
					t.Errorf("%s, fate %d: Once = %q, %v", text, fate, got, err)
				}
				if left := proxy.Left(); left != 0 && (text != "COMMIT" || fate != sqldbtest.ReplyLost) {
					t.Errorf("%s, fate %d: %d cuts were not made", text, fate, left)
				}
				proxy.Forget() // the effect was found, so there was no second commit
				wantFound(t, db, request(byte(effects), 1), effect, true, nil)
				wantEffects(t, db, effects)
			}
		}
	}
	proxy.Cut("COMMIT", sqldbtest.ReplyLost)
	if _, _, err := once(t, db, ids.Request{}, "nobody's", nil); !errors.Is(err, sqldb.ErrUnknownOutcome) {
		t.Errorf("without a key: %v, want that it is unknown", err)
	}
	wantEffects(t, db, effects+1)
}

// TestAnotherStillRuns: who waited for the first in vain is told so.
func TestAnotherStillRuns(t *testing.T) {
	t.Parallel()
	open := sqldbtest.MariaDB(t)
	db := migrated(t, open())
	other := open()
	_, _, err := Once(t.Context(), db, clock.Func(now), request(1, 1), func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		_, _, err := once(t, other, request(1, 1), "second", nil)
		if !errors.Is(err, ErrRunning) {
			t.Errorf("the second: %v, want %v", err, ErrRunning)
		}
		return "first", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, db, request(1, 1), "first", true, nil)
}

package idem

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

func open(t *testing.T) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context(), "idem", Schema()); err != nil {
		t.Fatal(err)
	}
	return db
}

func remember(t *testing.T, db *sqldb.DB, r ids.Request, effect string, then error) error {
	t.Helper()
	return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return errors.Join(Remember(ctx, tx, r, effect, time.UnixMicro(1)), then)
	})
}

func wantFound(t *testing.T, db *sqldb.DB, r ids.Request, effect string, ok bool, want error) {
	t.Helper()
	got, found, err := Find(t.Context(), db.Reader(), r)
	if got != effect || found != ok || !errors.Is(err, want) {
		t.Errorf("Find = %q, %v, %v; want %q, %v, %v", got, found, err, effect, ok, want)
	}
}

func request(key, body byte) ids.Request {
	return ids.Request{Key: [32]byte{31: key}, Body: [32]byte{body}}
}

func TestRequestNamesItsEffect(t *testing.T) {
	t.Parallel()
	db := open(t)
	wantFound(t, db, request(1, 1), "", false, nil)
	if err := remember(t, db, request(1, 1), "bat_1", nil); err != nil {
		t.Fatal(err)
	}
	wantFound(t, db, request(1, 1), "bat_1", true, nil)
	wantFound(t, db, request(1, 2), "", false, ErrMismatch)
	wantFound(t, db, request(2, 1), "", false, nil)
	if err := remember(t, db, request(1, 2), "bat_2", nil); !errors.Is(err, ErrRunning) {
		t.Errorf("the same key again: %v", err)
	}
	wantFound(t, db, request(1, 1), "bat_1", true, nil)
}

func TestRefusalIsNotRemembered(t *testing.T) {
	t.Parallel()
	db := open(t)
	refused := errors.New("refused")
	if err := remember(t, db, request(1, 1), "bat_1", refused); !errors.Is(err, refused) {
		t.Fatal(err)
	}
	wantFound(t, db, request(1, 1), "", false, nil)
	if err := remember(t, db, request(1, 2), "bat_2", nil); err != nil {
		t.Fatal(err)
	}
	wantFound(t, db, request(1, 2), "bat_2", true, nil)
}

func TestNoKeyIsNeverRemembered(t *testing.T) {
	t.Parallel()
	db := open(t)
	for range 2 {
		if err := remember(t, db, ids.Request{Body: [32]byte{1}}, "bat_1", nil); err != nil {
			t.Fatal(err)
		}
	}
	wantFound(t, db, ids.Request{Body: [32]byte{1}}, "", false, nil)
}

func TestFailedLookUpIsNoAnswer(t *testing.T) {
	t.Parallel()
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := Find(ctx, db.Reader(), request(1, 1)); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("Find = %v, %v: a failed look-up must not pass for \"had no effect\"", ok, err)
	}
}

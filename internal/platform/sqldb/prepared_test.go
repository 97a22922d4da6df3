package sqldb

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
)

// rowsOf asks for a few things with a LIMIT that is bound.
const rowsOf = `SELECT name FROM things WHERE id >= ? ORDER BY id LIMIT ?`

func someThings(tb testing.TB) *DB {
	tb.Helper()
	db, err := OpenSQLite(tb.Context(), filepath.Join(tb.TempDir(), "chopmark.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	err = db.Migrate(tb.Context(), "things", of("00001_things.sql", create))
	if err == nil {
		err = db.Write(tb.Context(), func(ctx context.Context, tx *Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO things (id, name) VALUES (1, 'one'), (2, 'two'), (3, 'three')`)
			return err
		})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

// TestLimit holds that a LIMIT which is bound bounds, each time anew.
func TestLimit(t *testing.T) {
	t.Parallel()
	db := someThings(t)
	for _, limit := range []int{2, 0, 3, 1, 100} {
		got, err := Collect(t.Context(), db.Reader(), func(r *sql.Rows) (name string, err error) {
			err = r.Scan(&name)
			return name, err
		}, rowsOf, 1, limit)
		if err != nil || len(got) != min(limit, 3) {
			t.Errorf("%d of %d, %v", len(got), limit, err)
		}
	}
}

// BenchmarkLimit shows what hiding a LIMIT from SQLite saves.
func BenchmarkLimit(b *testing.B) {
	db := someThings(b)
	seen, err := db.read.PrepareContext(b.Context(), rowsOf)
	if err != nil {
		b.Fatal(err)
	}
	defer seen.Close()
	for name, ask := range map[string]func(limit int) (*sql.Rows, error){
		"seen":   func(limit int) (*sql.Rows, error) { return seen.QueryContext(b.Context(), 1, limit) },
		"hidden": func(limit int) (*sql.Rows, error) { return db.Reader().QueryContext(b.Context(), rowsOf, 1, limit) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := drain(ask(2)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func drain(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

package scansql

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Copy copies every database in use, one after the other, and gives put each copy
// under the name that it has below the engine's folder. A copy is made in tmp and is
// gone after put.
//
// Keys come last, so that each address that is copied has its own, unless it was
// forgotten meanwhile. The list of days stays behind: a day may be closed between its
// file's copy and the list's, and Open finds days again.
func (e *Engine) Copy(ctx context.Context, tmp string, put func(name, file string) error) error {
	file := filepath.Join(tmp, "scans.db")
	one := func(db *sqldb.DB, name string, change func(string) error) error {
		err := db.CopyTo(ctx, file)
		if err == nil && change != nil {
			err = change(file)
		}
		if err == nil {
			err = put(name, file)
		}
		return errors.Join(err, removed(file))
	}
	days, err := e.Records.files.list()
	if err != nil {
		return err
	}
	for _, day := range days {
		err := e.Records.files.with(ctx, day, false, func(f *dayFile) error {
			return one(f.db, "records/"+day.String()+".db", nil)
		})
		if err != nil && !errors.Is(err, errNoDay) { // it was dropped meanwhile
			return err
		}
	}
	if err := one(e.stat, "statistics.db", nil); err != nil {
		return err
	}
	return one(e.meta, "scans.db", func(file string) error { return withoutDays(ctx, file) })
}

func removed(file string) error {
	if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func withoutDays(ctx context.Context, file string) error {
	db, err := sqldb.OpenSQLite(ctx, file)
	if err != nil {
		return err
	}
	err = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM scan_days`)
		return err
	})
	return errors.Join(err, db.Close())
}

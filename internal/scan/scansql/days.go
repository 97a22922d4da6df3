package scansql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
)

// openMax is how many day files are open at a time while nobody uses more.
const openMax = 6

// dayFile is the file of one day. Its fields are guarded by dayFiles.mu, but for db,
// which is there once ready is closed, and known, which is guarded by Records.settling.
type dayFile struct {
	day   scan.Day
	ready chan struct{}
	db    *sqldb.DB
	err   error
	users int
	used  uint64 // when it was last handed out, in order
	known *texts // of the writer, which is one at a time
}

// dayFiles keeps a handful of day files open, those that were used last.
type dayFiles struct {
	dir string

	mu   sync.Mutex
	open map[scan.Day]*dayFile // guarded by mu
	tick uint64                // guarded by mu
}

func (d *dayFiles) path(day scan.Day) string { return filepath.Join(d.dir, day.String()+".db") }

// errNoDay says that there is no file for the day.
var errNoDay = errors.New("scansql: no records of that day")

// with lends the day's file to fn. create tells whether to make one that is absent.
func (d *dayFiles) with(ctx context.Context, day scan.Day, create bool, fn func(f *dayFile) error) error {
	f, err := d.take(ctx, day, create)
	if err != nil {
		return err
	}
	defer d.put(f)
	return fn(f)
}

func (d *dayFiles) take(ctx context.Context, day scan.Day, create bool) (*dayFile, error) {
	d.mu.Lock()
	f, ok := d.open[day]
	if !ok {
		if _, err := os.Stat(d.path(day)); err != nil && !create {
			d.mu.Unlock()
			if errors.Is(err, os.ErrNotExist) {
				return nil, errNoDay
			}
			return nil, err
		}
		f = &dayFile{day: day, ready: make(chan struct{})}
		d.open[day] = f
	}
	f.users++
	d.tick++
	f.used = d.tick
	d.mu.Unlock()
	if !ok {
		f.db, f.err = openDay(context.WithoutCancel(ctx), d.path(day))
		close(f.ready)
	}
	<-f.ready
	if f.err != nil {
		d.put(f)
		return nil, fmt.Errorf("open scan records of %s: %w", day, f.err)
	}
	return f, nil
}

func openDay(ctx context.Context, path string) (*sqldb.DB, error) {
	db, err := sqldb.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "scan", daySchema()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// put ends a loan, and closes what is open too long.
func (d *dayFiles) put(f *dayFile) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.users--
	if f.err != nil && d.open[f.day] == f {
		delete(d.open, f.day) // the next one tries again
	}
	for len(d.open) > openMax {
		var oldest *dayFile
		for _, o := range d.open {
			if o.users == 0 && (oldest == nil || o.used < oldest.used) {
				oldest = o
			}
		}
		if oldest == nil {
			return // all are in use
		}
		delete(d.open, oldest.day)
		_ = oldest.db.Close() // every commit is on disk already
	}
}

// remove deletes the files of a day that nobody uses; ok is false when somebody does.
func (d *dayFiles) remove(day scan.Day) (ok bool, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.open[day]; f != nil {
		if f.users > 0 {
			return false, nil
		}
		delete(d.open, day)
		if err := f.db.Close(); err != nil {
			return false, err
		}
	}
	for _, suffix := range []string{"-wal", "-shm", ""} { // the file itself last: until then the day is there
		if err := os.Remove(d.path(day) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("delete scan records of %s: %w", day, err)
		}
	}
	return true, nil
}

// list names the days that have a file, the oldest first.
func (d *dayFiles) list() ([]scan.Day, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list scan records: %w", err)
	}
	var days []scan.Day
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".db")
		if day, isDay := scan.ParseDay(name); ok && isDay {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	return days, nil
}

func (d *dayFiles) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for day, f := range d.open {
		<-f.ready
		if f.db != nil {
			errs = append(errs, f.db.Close())
		}
		delete(d.open, day)
	}
	return errors.Join(errs...)
}

// Package kvdb opens the embedded key-value engine (Pebble) with settings for
// small residents: a few MB of write buffers, one bounded cache.
package kvdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options are what an owner may choose.
type Options struct {
	CacheBytes    int64
	MemTableBytes uint64
	NoWAL         bool // what is written is lost in a crash until it is flushed; its order is kept
	// Scattered is for small values that are written all over a large store: large
	// tables, so that few are open, and blocks that need no unpacking.
	Scattered bool
	FS        vfs.FS // nil = the disk; tests give a file system that crashes
	Log       *slog.Logger
}

const (
	scatteredTableBytes = 64 << 20
	scatteredBaseBytes  = 512 << 20
)

// Open opens the database and makes it when it is absent. A damaged one is refused
// with its name.
func Open(path string, o Options) (*pebble.DB, error) {
	cache := pebble.NewCache(o.CacheBytes)
	defer cache.Unref() // the database holds its own reference
	opts := &pebble.Options{
		Cache: cache, MemTableSize: o.MemTableBytes, FS: o.FS, Logger: logger{o.Log},
		FormatMajorVersion: pebble.FormatNewest, DisableWAL: o.NoWAL,
		MaxOpenFiles: 500,
	}
	if o.Scattered {
		for i := range opts.TargetFileSizes {
			opts.TargetFileSizes[i] = scatteredTableBytes
		}
		for i := range opts.Levels {
			opts.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		}
		opts.LBaseMaxBytes = scatteredBaseBytes
	}
	db, err := pebble.Open(path, opts)
	if err != nil {
		return nil, fmt.Errorf("data files in %s are damaged or unreadable: %w", path, err)
	}
	return db, nil
}

// Get reads a key into a copy. ok is false when it is absent.
func Get(db pebble.Reader, key []byte) (value []byte, ok bool, _ error) {
	raw, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read local store: %w", err)
	}
	value = append([]byte(nil), raw...)
	return value, true, closer.Close()
}

// logger gives the engine's own words to the log: errors loud, the rest not.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("kvdb: " + fmt.Sprintf(format, args...))
	}
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("kvdb: " + fmt.Sprintf(format, args...))
}

// Fatalf is called when the engine can no longer keep its promises (it could not
// write its log). Going on would answer what is not durable.
func (l logger) Fatalf(format string, args ...any) {
	l.log.Error("kvdb: " + fmt.Sprintf(format, args...))
	panic("kvdb: " + fmt.Sprintf(format, args...))
}

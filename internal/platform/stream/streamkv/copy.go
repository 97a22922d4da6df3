package streamkv

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
)

// Copy is a copy of a log in use that is under way.
//
// Acknowledgements are taken at its beginning and records at its end. Effects of
// consumers that are copied in between therefore hold all that the copy says was
// consumed, and nothing that its log does not have: whoever opens the copies together
// gives some records again, which have their effect already, and loses none
// (TestCopyUnderLoad).
type Copy struct {
	l      *Log
	groups map[string][]byte
}

const pinCopy = "copy"

// BeginCopy notes how far each group is, and keeps all that the log has until End.
// Only one copy may be under way.
func (l *Log) BeginCopy() (*Copy, error) {
	if err := l.enter(); err != nil {
		return nil, err
	}
	defer l.users.Done()
	l.saveMu.Lock() // no Trim between the pin and the notes
	defer l.saveMu.Unlock()
	trimmed, _ := l.bounds()
	l.Pin(pinCopy, trimmed.at+1, PinMust)
	c := &Copy{l: l, groups: map[string][]byte{}}
	for _, g := range l.list() {
		g.mu.Lock()
		c.groups[g.name] = g.encodedLocked()
		g.mu.Unlock()
	}
	return c, nil
}

// Write makes the copy in a new folder: everything that was appended before.
func (c *Copy) Write(path string) error {
	if err := c.l.enter(); err != nil {
		return err
	}
	defer c.l.users.Done()
	if err := c.l.db.Checkpoint(path, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy %s: %w", c.l.path, err)
	}
	db, err := kvdb.Open(path, kvdb.Options{CacheBytes: cacheBytes, MemTableBytes: usualMemTable, FS: c.l.o.FS, Log: c.l.o.Log})
	if err != nil {
		return err
	}
	b := db.NewBatch()
	for name, noted := range c.groups {
		err = errors.Join(err, b.Set(groupKey(name), noted, nil))
	}
	if err == nil {
		err = b.Commit(pebble.Sync)
	}
	return errors.Join(err, b.Close(), db.Close())
}

// End lets retention go on.
func (c *Copy) End() { c.l.Unpin(pinCopy) }

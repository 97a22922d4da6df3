package verifykv

import (
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
)

// Copy is a copy of a log in use that is under way; see streamkv.Copy.
type Copy struct {
	l       *Log
	records *streamkv.Copy
}

// BeginCopy notes what consumers have acknowledged, and keeps the records that a copy
// of the counts needs.
func (l *Log) BeginCopy() (*Copy, error) {
	records, err := l.stream.BeginCopy()
	return &Copy{l, records}, err
}

// Write makes the copy in a new folder. Counts come first: the records up to their
// watermark are durable, and are pinned, so that the copy of the log that is made
// behind them has all that they lack.
func (c *Copy) Write(path string) error {
	if err := c.counts(filepath.Join(path, dirTallies)); err != nil {
		return fmt.Errorf("copy counts of %s: %w", c.l.path, err)
	}
	return c.records.Write(filepath.Join(path, dirStream))
}

// counts flushes first: without a write-ahead log only tables can be copied. They
// hold a beginning of what was written, so that each count is beside its watermark.
func (c *Copy) counts(path string) error {
	c.l.mu.Lock()
	if c.l.ended {
		c.l.mu.Unlock()
		return ErrEnded
	}
	c.l.read.Add(1)
	c.l.mu.Unlock()
	defer c.l.read.Done()
	if err := c.l.tallies.Flush(); err != nil {
		return err
	}
	return c.l.tallies.Checkpoint(path, pebble.WithFlushedWAL())
}

// End lets retention go on.
func (c *Copy) End() { c.records.End() }

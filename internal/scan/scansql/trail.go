package scansql

import (
	"context"

	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
)

// Highest is the last position of the log that anything here knows of. A log that
// begins again must begin after it: its sightings would be taken for known ones.
func (e *Engine) Highest(ctx context.Context) (stream.Position, error) {
	at, err := inbox.Highest(ctx, e.stat.Reader(), scan.GroupStatistics)
	e.Records.mu.RLock()
	defer e.Records.mu.RUnlock()
	for _, day := range e.Records.days {
		at = max(at, stream.Position(day.high))
	}
	return at, err
}

// OpenFrom is the first position that a day without its indexes has; ok is false when
// there is none. The log should keep what comes after it: the history of a code reads
// open days through the log.
func (r *Records) OpenFrom() (at stream.Position, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, day := range r.days {
		if day.closedAt == 0 && (!ok || day.low < uint64(at)) {
			at, ok = stream.Position(day.low), true
		}
	}
	return at, ok
}

package scansql

import "github.com/chopmark/chopmark/internal/platform/stream"

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

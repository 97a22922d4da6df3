package verify

import (
	"errors"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// ErrNotAsked says that Shared counted nothing, since what it asks did not answer lately.
var ErrNotAsked = errors.New("counts are not asked for: there was no answer lately")

// Sum is what is known of an item's scans, with its places as they are: the form in
// which processes and stores tell each other. The zero Sum is of an item that nobody
// scanned.
type Sum struct {
	Count, Sessions int64
	FirstAt, LastAt int64 // microseconds
	FirstIn, LastIn Place // the zero Place = not known
}

// Raise takes over what another one knows more of: counts only grow, the first scan
// only moves back, the last only forward.
func (s *Sum) Raise(o *Sum) {
	if o.Count == 0 {
		return
	}
	if s.Count == 0 || o.FirstAt < s.FirstAt {
		s.FirstAt, s.FirstIn = o.FirstAt, o.FirstIn
	}
	if s.Count == 0 || o.LastAt > s.LastAt {
		s.LastAt, s.LastIn = o.LastAt, o.LastIn
	}
	s.Count, s.Sessions = max(s.Count, o.Count), max(s.Sessions, o.Sessions)
}

// Seen is the sum in the words of an answer.
func (s *Sum) Seen(what verifyevent.What) Seen {
	if s.Count == 0 {
		return Seen{}
	}
	return Seen{
		Count: s.Count, Sessions: s.Sessions, FirstAt: time.UnixMicro(s.FirstAt).UTC(), LastAt: time.UnixMicro(s.LastAt).UTC(),
		FirstIn: s.FirstIn.String(), LastIn: s.LastIn.String(), What: what,
	}
}

// Shared counts the scans that all processes see. What is told has own in it: what the
// asking process knows by itself, which may be more when the rest was lost.
//
// It must answer soon, whatever happens to what it asks. An error says that it does not
// know; the scan may be counted there all the same, and nobody must count it again. Only after
// ErrNotAsked it is not.
type Shared interface {
	// Count counts a scan and gives the sum with it, and what is particular about it by
	// the rules of Tally.
	Count(s *Sighting, own Sum) (Sum, verifyevent.What, error)
	// Look tells the sum without counting.
	Look(s ids.Serial, own Sum) (Sum, error)
}

// Learned takes over what Shared tells of scans that may be in the tally. Neither says more
// than there were, so it does not either.
func (t *Tally) Learned(s *Sum, firstIn, lastIn uint32) {
	if s.FirstAt < t.FirstAt {
		t.FirstAt, t.FirstIn = s.FirstAt, firstIn
	}
	if s.LastAt > t.LastAt {
		t.LastAt, t.LastIn = s.LastAt, lastIn
	}
	t.Count, t.Sessions = max(t.Count, s.Count), max(t.Sessions, s.Sessions)
}

// Counted takes over what Shared answered for a scan, so that the tally goes on from
// there when Shared cannot be asked.
func (t *Tally) Counted(s *Sum, at int64, device uint64, firstIn, in uint32) {
	t.visit(device, uint32(at/1e6))
	t.FirstAt, t.FirstIn = s.FirstAt, firstIn
	t.LastAt, t.LastIn = max(t.LastAt, at), in
	t.Count, t.Sessions = max(t.Count, s.Count), max(t.Sessions, s.Sessions)
}

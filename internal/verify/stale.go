package verify

import (
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
)

// DefaultStaleAfter is how old what is known of changes may be while it is confirmed.
const DefaultStaleAfter = 60 * time.Second

// aheadMax is how far ahead of the present the feed's moment may lie. More of it
// means that the clock was set back since, and then the age is not known.
const aheadMax = 5 * time.Second

// judgeFeed marks the answer when what is known of changes is too old.
func (s *Service) judgeFeed(a *Answer, now time.Time) {
	asOf := s.cfg.Feed.AsOf()
	if age := now.Sub(asOf); asOf.IsZero() || age > time.Duration(s.staleAfter.Load()) || age < -aheadMax {
		a.Partial, a.AsOf = true, asOf
	}
}

// doubt takes back what rests on something that may have changed since, or that could
// not be asked: what was good, or not yet good. What was bad is said, to be safe.
func (a *Answer) doubt(why []string) {
	if a.Verdict.Valid() || a.Verdict == Inactive {
		a.Verdict, a.Reasons = Unconfirmed, why
	}
}

var (
	reasonsStale   = [1]string{"feed.stale"}
	reasonsUnasked = [1]string{"inner.unchecked"}
)

// unknown answers a code that no batch has: while the feed is stale it may be of one
// that was made since.
func (s *Service) unknown(a *Answer, serial ids.Serial) error {
	if !a.Partial || !s.cfg.Feed.Beyond(serial) {
		return ErrRefused
	}
	a.Verdict, a.Reasons = Unconfirmed, reasonsStale[:]
	return nil
}

// newer answers a token or version that was refused: while the feed is stale the item
// may have been reissued since. Such a scan counts nothing, as a refused one.
func (s *Service) newer(q *Query, a *Answer, refused error) error {
	if !a.Partial {
		return refused
	}
	if q.Token == "" {
		if q.Version <= a.Version || q.Version-a.Version > versionsKept || a.Item.Display {
			return refused
		}
	} else if token, ok := codebook.ParseToken(q.Token); !ok || !s.madeLater(token, &a.Item, a.Version) {
		return refused
	}
	a.Item, a.Version = Item{}, 1
	a.Verdict, a.Reasons = Unconfirmed, reasonsStale[:]
	return nil
}

// madeLater reports that a token is ours, of a version to come.
func (s *Service) madeLater(t codebook.Token, item *Item, version uint16) bool {
	period := uint32(item.RotateEvery / time.Second)
	for _, key := range s.keys.Links() {
		for v := uint32(version) + 1; v <= uint32(version)+versionsKept && v <= maxVersion; v++ {
			if key.Check(t, item.Serial, uint16(v), period) {
				return true
			}
		}
	}
	return false
}

const maxVersion = 1<<16 - 1

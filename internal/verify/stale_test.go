package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// feedOf is a feed as old as it says; what is above the mark may have been issued since.
type feedOf struct {
	asOf time.Time
	mark ids.Serial
}

func (f feedOf) AsOf() time.Time          { return f.asOf }
func (f feedOf) Beyond(s ids.Serial) bool { return s > f.mark }

// askCutOff is one counted scan of a process whose feed is of that age.
func (s *shelf) askCutOff(age time.Duration, q Query) (Answer, error) {
	svc := s.service()
	svc.cfg.Feed = feedOf{s.now.Add(-age), testSerial}
	svc.SetStaleAfter(time.Minute)
	if q.Code == (codebook.Code{}) {
		q.Code = book.Code(testSerial)
	}
	q.Count = true
	var a Answer
	err := svc.Verify(context.Background(), &q, &a)
	return a, err
}

// TestStaleFeedDoesNotGuess: what was good cannot be said while the feed is old, what
// was bad is said.
func TestStaleFeedDoesNotGuess(t *testing.T) {
	t.Parallel()
	for state, want := range map[gs1.Disposition]Verdict{
		gs1.Encoded: Unconfirmed, gs1.Inactive: Unconfirmed, gs1.Active: Unconfirmed, gs1.Returned: Unconfirmed, gs1.RetailSold: Unconfirmed,
		gs1.Recalled: Recalled, gs1.Void: Void, gs1.Stolen: Suspicious, gs1.Expired: Expired,
	} {
		s := newShelf()
		s.item.State = state
		fresh, err := s.askCutOff(time.Minute, Query{})
		if now, _ := judgeState(&s.item, s.now, linkState{}); fresh.Verdict != now || fresh.Partial || err != nil {
			t.Errorf("%s, feed just new enough: %v, partial %v, %v", state, fresh.Verdict, fresh.Partial, err)
		}
		s = newShelf()
		s.item.State = state
		a, err := s.askCutOff(time.Minute+time.Microsecond, Query{})
		if a.Verdict != want || !a.Partial || !a.AsOf.Equal(s.now.Add(-time.Minute-time.Microsecond)) || !a.Counted || err != nil {
			t.Errorf("%s, feed too old: %v, want %v; %+v, %v", state, a.Verdict, want, a, err)
		}
		if s.records != 1 || s.recorded.Verdict != want {
			t.Errorf("%s: %d sightings, the last %v", state, s.records, s.recorded.Verdict)
		}
	}
}

func TestStaleFeedOfNoAge(t *testing.T) {
	t.Parallel()
	s := newShelf()
	svc := s.service()
	svc.cfg.Feed = feedOf{}
	svc.SetStaleAfter(time.Minute)
	var a Answer
	if err := svc.Verify(t.Context(), &Query{Code: book.Code(testSerial)}, &a); a.Verdict != Unconfirmed || !a.AsOf.IsZero() || err != nil {
		t.Errorf("a feed that was never heard: %v as of %v, %v", a.Verdict, a.AsOf, err)
	}
	if a, err := s.askCutOff(-aheadMax, Query{}); a.Verdict != Authentic || err != nil {
		t.Errorf("a clock that was set back a little: %v, %v", a.Verdict, err)
	}
	if a, err := s.askCutOff(-aheadMax-time.Second, Query{}); a.Verdict != Unconfirmed || err != nil {
		t.Errorf("a clock that was set back: %v, %v", a.Verdict, err)
	}
}

// TestStaleFeedAndUnknownCodes: above the high-water mark a code may be new; one
// below was never issued, and with a fresh feed none was.
func TestStaleFeedAndUnknownCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		serial ids.Serial
		age    time.Duration
		want   error
	}{
		{"above, stale", testSerial + 1, time.Hour, nil},
		{"above, fresh", testSerial + 1, time.Second, ErrRefused},
		{"below, stale", testSerial - 1, time.Hour, ErrRefused},
	} {
		s := newShelf()
		a, err := s.askCutOff(c.age, Query{Code: book.Code(c.serial)})
		if !errors.Is(err, c.want) || err == nil && (a.Verdict != Unconfirmed || !a.Partial || a.Counted) || s.records != 0 {
			t.Errorf("%s: %v %+v, %d sightings", c.name, err, a, s.records)
		}
	}
}

// TestStaleFeedAndNewerLinks: an item may have been reissued since, but a token that
// is not ours stays refused.
func TestStaleFeedAndNewerLinks(t *testing.T) {
	t.Parallel()
	s := newShelf()
	const epoch = 10
	for _, c := range []struct {
		name string
		q    Query
		want error
	}{
		{"next version", Query{Token: s.token(newKey, 2, epoch)}, nil},
		{"older key", Query{Token: s.token(oldKey, 1+versionsKept, epoch)}, nil},
		{"said to be of the next", Query{Version: 2}, nil},
		{"said and shown", Query{Version: 2, Token: s.token(newKey, 2, epoch)}, nil},
		{"said, and another's token", Query{Version: 2, Token: s.token(alienKey, 2, epoch)}, ErrRefused},
		{"too far ahead", Query{Token: s.token(newKey, 2+versionsKept, epoch)}, ErrRefused},
		{"said to be far ahead", Query{Version: 2 + versionsKept}, ErrRefused},
		{"another's token", Query{Token: s.token(alienKey, 2, epoch)}, ErrRefused},
		{"no token at all", Query{Token: "x"}, ErrRefused},
	} {
		if a, err := s.askCutOff(time.Hour, c.q); !errors.Is(err, c.want) || err == nil && (a.Verdict != Unconfirmed || a.Item != Item{} || a.Counted) {
			t.Errorf("%s: %v %+v, want %v", c.name, err, a, c.want)
		}
		if _, err := s.askCutOff(time.Second, c.q); !errors.Is(err, ErrRefused) {
			t.Errorf("%s, fresh: %v", c.name, err)
		}
	}
	s.item.Display = true
	if _, err := s.askCutOff(time.Hour, Query{Version: 2}); !errors.Is(err, ErrRefused) {
		t.Errorf("a display mark without a token: %v", err)
	}
}

// TestInnerCodeThatCannotBeAsked: neither right nor wrong is told, since no try counts.
func TestInnerCodeThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	for state, want := range map[gs1.Disposition]Verdict{gs1.Active: Unconfirmed, gs1.Recalled: Recalled} {
		s := newShelf()
		s.item.InnerKeyID, s.item.State, s.failTry = "inner-1", state, ErrUnreachable
		a, err := s.ask(Query{Inner: innerKey.Code(testSerial).String(), Count: true})
		if a.Verdict != want || !a.Partial || a.Inner != nil || !a.Counted || err != nil {
			t.Errorf("%s: %+v, %v", state, a, err)
		}
		if want == Unconfirmed && a.Reasons[0] != "inner.unchecked" {
			t.Errorf("reasons %v", a.Reasons)
		}
	}
}

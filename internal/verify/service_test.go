package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

var (
	created  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	oldKey   = codebook.NewLinks([32]byte{1})
	newKey   = codebook.NewLinks([32]byte{2})
	alienKey = codebook.NewLinks([32]byte{3})
	innerKey = codebook.NewInner([32]byte{4})
	book     = codebook.NewItems([32]byte{5})
	labelKey = codebook.NewLabelSigner([32]byte{6})
	linkKeys = []*codebook.Links{newKey, oldKey}
)

const (
	testSerial = ids.Serial(4711)
	testPeriod = time.Hour
)

// shelf is one item with everything that a scan asks for, and counts what was asked.
type shelf struct {
	item  Item
	extra Extra
	note  *Note
	text  Text
	now   time.Time
	seen  Seen
	tried Tried

	records, looks, attempts int
	recorded                 Sighting
	what                     verifyevent.What // of the next scan
	failText, failRecord     error
	failTry                  error
}

func newShelf() *shelf {
	return &shelf{
		item: Item{
			Serial: testSerial, BrandID: 7, ProductID: 9, BatchNo: "LOT-1", State: gs1.Active,
			RotateEvery: testPeriod, CreatedAt: created,
		},
		text: Text{Name: "Tea", GTIN: "09506000134352"},
		now:  created.Add(10*testPeriod + 30*time.Minute),
	}
}

func (s *shelf) Lookup(serial ids.Serial) (Item, bool) { return s.item, serial == testSerial }
func (s *shelf) Extra(ids.Serial) (Extra, error)       { return s.extra, nil }
func (s *shelf) Links() []*codebook.Links              { return linkKeys }
func (s *shelf) Label(id codebook.LabelKeyID) *codebook.LabelKey {
	if k := labelKey.Key(); k.ID() == id {
		return k
	}
	return nil
}
func (s *shelf) Text(context.Context, *Item) (Text, error) { return s.text, s.failText }
func (s *shelf) Seen(ids.Serial) (Seen, error)             { s.looks++; return s.seen, nil }
func (s *shelf) Inner(id string) (*codebook.Inner, error) {
	if id != "inner-1" {
		return nil, errors.New("no such key")
	}
	return innerKey, nil
}

func (s *shelf) Note(ids.Serial) (Note, bool, error) {
	if s.note == nil {
		return Note{}, false, nil
	}
	return *s.note, true, nil
}

func (s *shelf) Record(g *Sighting) (Seen, error) {
	if s.failRecord != nil {
		return Seen{}, s.failRecord
	}
	if s.seen.Count == 0 {
		s.seen.FirstAt = g.At
	}
	s.seen.Count, s.seen.LastAt = s.seen.Count+1, g.At
	s.records, s.recorded = s.records+1, *g
	seen := s.seen
	seen.What = s.what
	return seen, nil
}

// TryInner keeps the rule that the batch domain keeps: five tries, the first right
// one is remembered, and right ones cost nothing.
func (s *shelf) TryInner(_ context.Context, _ *Item, right bool) (Tried, error) {
	s.attempts++
	if s.failTry != nil {
		return Tried{}, s.failTry
	}
	switch {
	case s.tried.Tries >= InnerTriesMax:
		s.tried.Locked = true
	case !right:
		s.tried.Tries++
	case s.tried.FirstAt.IsZero():
		s.tried.FirstAt = s.now
	}
	return s.tried, nil
}

func (s *shelf) service() *Service {
	return NewService(Config{Grace: DefaultGrace}, book, s, s, s, s, s, clock.Func(func() time.Time { return s.now }))
}

// ask is one counted scan.
func (s *shelf) ask(q Query) (Answer, error) {
	if q.Code == (codebook.Code{}) {
		q.Code = book.Code(testSerial)
	}
	var a Answer
	err := s.service().Verify(context.Background(), &q, &a)
	return a, err
}

// token is a key's token for the item's version and epoch.
func (s *shelf) token(key *codebook.Links, version uint16, epoch uint64) string {
	t, err := key.Token(testSerial, version, uint32(s.item.RotateEvery/time.Second), epoch)
	if err != nil {
		panic(err)
	}
	return t.String()
}

// reissued gives the item a version; version v was ended at endOf(v).
func (s *shelf) reissued(version uint16) *shelf {
	s.item.HasExtra, s.extra.Version = true, version
	for v := uint16(1); v < version; v++ {
		s.extra.Superseded = append(s.extra.Superseded, ended(v))
	}
	return s
}

func ended(version uint16) time.Time { return created.Add(time.Duration(version) * time.Minute) }

func wantRefused(t *testing.T, s *shelf, q Query) {
	t.Helper()
	if _, err := s.ask(q); !errors.Is(err, ErrRefused) {
		t.Errorf("%v, want the one refusal", err)
	}
	if s.records+s.looks+s.attempts != 0 {
		t.Errorf("a refusal recorded %d, looked %d times, tried %d", s.records, s.looks, s.attempts)
	}
}

// The table of states in the design, word for word.
var verdictOfState = map[gs1.Disposition]Verdict{
	gs1.Encoded: Inactive, gs1.Inactive: Inactive,
	gs1.Active: Authentic, gs1.InProgress: Authentic, gs1.InTransit: Authentic,
	gs1.SellableAccessible: Authentic, gs1.SellableNotAccessible: Authentic, gs1.Returned: Authentic,
	gs1.RetailSold: Sold, gs1.Dispensed: Sold,
	gs1.Stolen: Suspicious, gs1.Damaged: Suspicious, gs1.NoPedigreeMatch: Suspicious,
	gs1.Recalled: Recalled,
	gs1.Void:     Void, gs1.Destroyed: Void, gs1.Disposed: Void,
	gs1.Expired: Expired,
}

// The precedence of the design, the strongest first.
var precedence = []Verdict{Recalled, Void, Expired, Superseded, Consumed, Suspicious, Sold, Inactive, Authentic}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	if len(verdictOfState) != gs1.DispositionCount {
		t.Fatalf("the table has %d states of %d", len(verdictOfState), gs1.DispositionCount)
	}
	for state, own := range verdictOfState {
		for _, expired := range []bool{false, true} {
			for _, link := range []string{"", "current", "token.superseded", "version.superseded"} {
				s := newShelf().reissued(3)
				s.item.State = state
				s.item.ExpiresAt = s.now.Add(time.Microsecond)
				q := Query{Count: true}
				holding := []Verdict{own}
				if expired {
					s.item.ExpiresAt = s.now // the last moment is not in it
					holding = append(holding, Expired)
				}
				switch link {
				case "current":
					q.Token = s.token(newKey, 3, 10)
				case "token.superseded":
					q.Token = s.token(newKey, 3, 5)
					holding = append(holding, Superseded)
				case "version.superseded":
					q.Version = 2
					holding = append(holding, Superseded)
				}
				want := precedence[slices.IndexFunc(precedence, func(v Verdict) bool { return slices.Contains(holding, v) })]
				a, err := s.ask(q)
				if err != nil || a.Verdict != want {
					t.Errorf("%v, expired %v, link %q: %v, %v; want %v", state, expired, link, a.Verdict, err, want)
				}
				reason := "state." + state.String()
				switch {
				case want == Expired && state != gs1.Expired:
					reason = "expiry.passed"
				case want == Superseded:
					reason = link
				case want == Authentic:
					reason = "scanned.first"
				}
				if diff := cmp.Diff([]string{reason}, a.Reasons); diff != "" {
					t.Errorf("%v, expired %v, link %q: reasons (-want +got):\n%s", state, expired, link, diff)
				}
				if s.recorded.Verdict != want {
					t.Errorf("%v was recorded as %v", want, s.recorded.Verdict)
				}
				refused := newShelf().reissued(3)
				refused.item = s.item
				wantRefused(t, refused, Query{Token: s.token(alienKey, 3, 10), Count: true})
			}
		}
	}
}

func TestVerdictsAnswer(t *testing.T) {
	t.Parallel()
	for v, want := range map[Verdict]struct {
		name   string
		valid  bool
		status int
	}{
		Unknown: {"unknown", false, 404}, Inactive: {"inactive", false, 200}, Authentic: {"authentic", true, 200},
		AuthenticAgain: {"authentic_again", true, 200}, Sold: {"sold", true, 200}, Suspicious: {"suspicious", false, 200},
		Consumed: {"consumed", false, 200}, Recalled: {"recalled", false, 410}, Void: {"void", false, 410},
		Expired: {"expired", false, 410}, Superseded: {"superseded", false, 410},
		Unconfirmed: {"unconfirmed", false, 200},
	} {
		status := 200
		if v.Kind() != fault.Internal {
			status = v.Kind().HTTPStatus()
		}
		if v.String() != want.name || v.Valid() != want.valid || status != want.status {
			t.Errorf("%v: valid %v, status %d; want %+v", v, v.Valid(), status, want)
		}
	}
	if n := len(Verdicts()); n != 12 {
		t.Errorf("%d verdicts, want 12", n)
	}
}

// A state that this program does not know must not look good.
func TestUnknownStateFailsClosed(t *testing.T) {
	t.Parallel()
	for _, state := range []gs1.Disposition{0, gs1.Void + 1, 255} {
		s := newShelf()
		s.item.State = state
		if a, err := s.ask(Query{Count: true}); a.Verdict != Suspicious || a.Verdict.Valid() || err != nil {
			t.Errorf("state %d: %v, %v", state, a.Verdict, err)
		}
	}
}

func TestTokenEpochs(t *testing.T) {
	t.Parallel()
	const current = 10
	start := created.Add(current * testPeriod)
	const tick = time.Microsecond
	for _, c := range []struct {
		name  string
		at    time.Time
		epoch uint64
		want  string // "" = taken, else "refused" or "superseded"
	}{
		{"the first moment", start, current, ""},
		{"the last moment", start.Add(testPeriod - tick), current, ""},
		{"ended, at once", start.Add(testPeriod), current, ""},
		{"ended, within the grace", start.Add(testPeriod + DefaultGrace - tick), current, ""},
		{"ended, a grace ago", start.Add(testPeriod + DefaultGrace), current, "superseded"},
		{"long ended", start.Add(testPeriod), 0, "superseded"},
		{"the one before the one before", start, current - 2, "superseded"},
		{"to come, beyond the grace", start.Add(-DefaultGrace - tick), current, "refused"},
		{"to come, in a grace", start.Add(-DefaultGrace), current, ""},
		{"to come, at once", start.Add(-tick), current, ""},
		{"far to come", start, codebook.EpochMax, "refused"},
		{"before the batch was made", created.Add(-tick), 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			s.now = c.at
			q := Query{Token: s.token(newKey, 1, c.epoch), Count: true}
			if c.want == "refused" {
				wantRefused(t, s, q)
				return
			}
			a, err := s.ask(q)
			if err != nil {
				t.Fatal(err)
			}
			var since time.Time
			if c.want == "superseded" {
				since = created.Add(time.Duration(c.epoch+1) * testPeriod)
			}
			if (a.Verdict == Superseded) != !since.IsZero() || !a.Since.Equal(since) || a.HasToken != since.IsZero() {
				t.Errorf("%v since %v, token %v; want since %v", a.Verdict, a.Since, a.HasToken, since)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	const present = 12
	for version := uint16(1); version <= present+2; version++ {
		for _, by := range []string{"version", "token", "token of the key before", "both"} {
			t.Run(fmt.Sprint(version, " by ", by), func(t *testing.T) {
				t.Parallel()
				s := newShelf().reissued(present)
				q := Query{Count: true}
				key := newKey
				if by == "token of the key before" {
					key = oldKey
				}
				if by != "version" {
					q.Token = s.token(key, version, 10)
				}
				if by == "version" || by == "both" {
					q.Version = version
				}
				if version > present || present-version > 8 {
					wantRefused(t, s, q)
					return
				}
				a, err := s.ask(q)
				if err != nil {
					t.Fatal(err)
				}
				if a.Version != present {
					t.Errorf("answered version %d", a.Version)
				}
				switch {
				case version == present:
					if a.Verdict != Authentic || !a.Since.IsZero() || a.HasToken != (by != "version") {
						t.Errorf("the present version: %v since %v, token %v", a.Verdict, a.Since, a.HasToken)
					}
				case a.Verdict != Superseded || !a.Since.Equal(ended(version)) || a.HasToken:
					t.Errorf("%v since %v, token %v; want since %v", a.Verdict, a.Since, a.HasToken, ended(version))
				}
			})
		}
	}
}

// Only the ends of the last versions may be kept: an older one is superseded all the
// same, since some time.
func TestVersionWhoseEndIsForgotten(t *testing.T) {
	t.Parallel()
	s := newShelf().reissued(5)
	s.extra.Superseded = s.extra.Superseded[2:] // of versions 3 and 4
	for version, since := range map[uint16]time.Time{4: ended(4), 3: ended(3), 2: time.Unix(0, 0).UTC()} {
		if a, err := s.ask(Query{Version: version}); a.Verdict != Superseded || !a.Since.Equal(since) || err != nil {
			t.Errorf("version %d: %v since %v, %v; want since %v", version, a.Verdict, a.Since, err, since)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := newShelf()
	good := s.token(newKey, 1, 10)
	other, err := newKey.Token(testSerial+1, 1, 3600, 10)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"short": good[:17], "long": good + "0", "another item's": other.String(), "no base 32": strings.Repeat("U", 18),
		"another key's": s.token(alienKey, 1, 10), "another period's": func() string {
			s := newShelf()
			s.item.RotateEvery = 2 * testPeriod
			return s.token(newKey, 1, 10)
		}(),
		"last character": good[:17] + string("01"[strings.IndexByte("10", good[17])&1]),
		"an epoch moved": "00009" + good[5:], "full width": "０" + good[3:],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, newShelf(), Query{Token: token, Count: true})
		})
	}
	for name, token := range map[string]string{
		"ours": good, "lower case": strings.ToLower(good), "the key before": s.token(oldKey, 1, 10),
	} {
		if a, err := newShelf().ask(Query{Token: token, Count: true}); err != nil || !a.HasToken || !a.Verdict.Valid() {
			t.Errorf("%s: %v, token %v, %v", name, a.Verdict, a.HasToken, err)
		}
	}
}

func TestRotationOff(t *testing.T) {
	t.Parallel()
	s := newShelf().reissued(2)
	s.item.RotateEvery = 0
	s.now = created.AddDate(30, 0, 0)
	if a, err := s.ask(Query{Token: s.token(newKey, 2, 0)}); err != nil || !a.HasToken {
		t.Errorf("after thirty years: %v, token %v, %v", a.Verdict, a.HasToken, err)
	}
	if a, err := s.ask(Query{Token: s.token(newKey, 1, 0)}); err != nil || a.Verdict != Superseded || !a.Since.Equal(ended(1)) {
		t.Errorf("the version before: %v since %v, %v", a.Verdict, a.Since, err)
	}
}

func TestDisplayNeedsItsToken(t *testing.T) {
	t.Parallel()
	for _, q := range []Query{{Count: true}, {Version: 1, Count: true}, {Count: false}} {
		s := newShelf()
		s.item.Display = true
		wantRefused(t, s, q)
	}
	s := newShelf()
	s.item.Display = true
	if a, err := s.ask(Query{Token: s.token(newKey, 1, 10), Count: true}); err != nil || a.Verdict != Authentic {
		t.Errorf("with its token: %v, %v", a.Verdict, err)
	}
}

func TestUnknownIsRefusedAndNotCounted(t *testing.T) {
	t.Parallel()
	wantRefused(t, newShelf(), Query{Code: book.Code(testSerial + 1), Count: true})
}

func TestCounting(t *testing.T) {
	t.Parallel()
	s := newShelf()
	a, err := s.ask(Query{Count: false})
	if err != nil || a.Counted || a.Verdict != Authentic || a.Seen.Count != 0 || s.records != 0 {
		t.Errorf("a look before the first scan: %+v, %v, %d recorded", a, err, s.records)
	}
	from := Client{IP: netip.MustParseAddr("203.0.113.7"), Agent: "Mozilla/5.0", Zone: "Asia/Shanghai"}
	s.what = verifyevent.First | verifyevent.NewSession
	a, err = s.ask(Query{Count: true, Source: FromGRPC, Client: from})
	if err != nil || !a.Counted || a.Verdict != Authentic || a.Seen.Count != 1 {
		t.Errorf("the first scan: %+v, %v", a, err)
	}
	device := NewDevices([32]byte{}).Of(&from)
	if r := s.recorded; r.Item.Serial != testSerial || !r.At.Equal(s.now) || r.Verdict != Authentic || r.Source != FromGRPC ||
		*r.Client != from || r.Device != device || device == 0 || r.Place != nil {
		t.Errorf("recorded %+v of %+v", r, r.Client)
	}
	s.what = 0
	if a, err = s.ask(Query{Count: true, Client: from}); err != nil || a.Verdict != AuthenticAgain || !slices.Equal(a.Reasons, reasonsSession[:]) {
		t.Errorf("the same device again: %+v, %v", a, err)
	}
	s.seen.Count, s.what = 1, verifyevent.NewSession
	for _, count := range []bool{true, false} {
		a, err = s.ask(Query{Count: count})
		if err != nil || a.Verdict != AuthenticAgain || a.Seen.Count != 2 || a.Counted != count || a.Reasons[0] != "scanned.before" {
			t.Errorf("again, counted %v: %+v, %v", count, a, err)
		}
	}
	s.item.State = gs1.RetailSold
	if a, err = s.ask(Query{Count: true}); err != nil || a.Verdict != Sold {
		t.Errorf("re-scans must not change what is sold: %v, %v", a.Verdict, err)
	}
}

func TestFailuresAreNotCounted(t *testing.T) {
	t.Parallel()
	boom := errors.New("disk full")
	s := newShelf()
	s.failText = boom
	if _, err := s.ask(Query{Count: true}); !errors.Is(err, boom) || s.records != 0 {
		t.Errorf("no text: %v, %d recorded", err, s.records)
	}
	s = newShelf()
	s.failRecord = boom
	if a, err := s.ask(Query{Count: true}); !errors.Is(err, boom) || a.Counted {
		t.Errorf("no record: %v, counted %v", err, a.Counted)
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	note := Note{At: created.Add(time.Minute), Place: "Shop 5", Reason: "glass"}
	for state, want := range map[gs1.Disposition]Answer{
		gs1.RetailSold: {SoldAt: note.At, SoldIn: note.Place}, gs1.Dispensed: {SoldAt: note.At, SoldIn: note.Place},
		gs1.Recalled: {RecalledAt: note.At, Recall: note.Reason}, gs1.Active: {}, gs1.Void: {}, gs1.Stolen: {},
	} {
		s := newShelf()
		s.item.State, s.note = state, &note
		a, err := s.ask(Query{})
		got := Answer{SoldAt: a.SoldAt, SoldIn: a.SoldIn, RecalledAt: a.RecalledAt, Recall: a.Recall}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Answer{})); diff != "" || err != nil {
			t.Errorf("%v: %v (-want +got):\n%s", state, err, diff)
		}
	}
}

func innerShelf() *shelf {
	s := newShelf()
	s.item.InnerKeyID = "inner-1"
	return s
}

func TestInnerCodes(t *testing.T) {
	t.Parallel()
	right := innerKey.Code(testSerial).String()
	typed := " " + strings.ToLower(right[:4]) + "-" + right[4:]
	type step struct {
		code string
		want InnerAnswer
	}
	first := newShelf().now
	for name, steps := range map[string][]step{
		"right at once":   {{typed, InnerAnswer{Asked: true, OK: true, First: true, FirstAt: first, TriesLeft: 5}}},
		"right after two": {{"00000000", InnerAnswer{Asked: true, TriesLeft: 4}}, {"short", InnerAnswer{Asked: true, TriesLeft: 3}}, {right, InnerAnswer{Asked: true, OK: true, First: true, FirstAt: first, TriesLeft: 3}}},
		"locked": {
			{"00000000", InnerAnswer{Asked: true, TriesLeft: 4}}, {"00000001", InnerAnswer{Asked: true, TriesLeft: 3}},
			{"00000002", InnerAnswer{Asked: true, TriesLeft: 2}}, {"00000003", InnerAnswer{Asked: true, TriesLeft: 1}},
			{"00000004", InnerAnswer{Asked: true, TriesLeft: 0}}, {"00000005", InnerAnswer{Asked: true, Locked: true}},
			{right, InnerAnswer{Asked: true, Locked: true, OK: false}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := innerShelf()
			for i, step := range steps {
				a, err := s.ask(Query{Inner: step.code, Count: true})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&step.want, a.Inner); diff != "" {
					t.Errorf("try %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

func TestInnerIsShownLater(t *testing.T) {
	t.Parallel()
	s := innerShelf().reissued(1)
	s.extra.InnerAt = created.Add(time.Minute)
	for _, q := range []Query{{Count: true}, {Count: false}, {Inner: innerKey.Code(testSerial).String(), Count: false}} {
		a, err := s.ask(q)
		want := &InnerAnswer{FirstAt: s.extra.InnerAt, TriesLeft: InnerTriesMax}
		if diff := cmp.Diff(want, a.Inner); diff != "" || err != nil || s.attempts != 0 {
			t.Errorf("%+v: %v, %d tries (-want +got):\n%s", q, err, s.attempts, diff)
		}
	}
	s.tried.FirstAt = s.extra.InnerAt
	a, err := s.ask(Query{Inner: innerKey.Code(testSerial).String(), Count: true})
	if err != nil || !a.Inner.OK || a.Inner.First || !a.Inner.FirstAt.Equal(s.extra.InnerAt) {
		t.Errorf("the second with the right code: %+v, %v", a.Inner, err)
	}
}

func TestInnerInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key, input, code string
	}{
		"no inner code": {"", "00000000", "verify.no_inner"},
		"too long":      {"inner-1", strings.Repeat("0", innerInputMax+1), "verify.bad_inner"},
	} {
		s := innerShelf()
		s.item.InnerKeyID = c.key
		_, err := s.ask(Query{Inner: c.input, Count: true})
		f, ok := fault.From(err)
		if !ok || f.Kind != fault.Invalid || f.Code != c.code || s.attempts+s.records != 0 {
			t.Errorf("%s: %v, %d tries, %d recorded", name, err, s.attempts, s.records)
		}
	}
	s := innerShelf()
	if a, err := s.ask(Query{Inner: strings.Repeat("-", innerInputMax), Count: true}); err != nil || !a.Inner.Asked || a.Inner.OK {
		t.Errorf("the longest input: %+v, %v", a.Inner, err)
	}
	s.item.InnerKeyID = "lost"
	if _, err := s.ask(Query{Inner: "00000000", Count: true}); fault.KindOf(err) != fault.Internal || s.attempts != 1 {
		t.Errorf("a key that is not there: %v, %d tries", err, s.attempts)
	}
	wantRefused(t, func() *shelf { s := innerShelf(); s.item.Display = true; return s }(), Query{Inner: "00000000", Count: true})
}

func TestTarget(t *testing.T) {
	t.Parallel()
	s := newShelf()
	for name, c := range map[string]struct {
		serial ids.Serial
		gtin   gs1.GTIN
		lot    string
		found  bool
		err    error
	}{
		"its GTIN":         {testSerial, s.text.GTIN, "", true, nil},
		"its GTIN and lot": {testSerial, s.text.GTIN, "LOT-1", true, nil},
		"another lot":      {testSerial, s.text.GTIN, "LOT-2", true, ErrRefused},
		"another GTIN":     {testSerial, "00000000000000", "", true, ErrRefused},
		"unknown serial":   {testSerial + 1, s.text.GTIN, "", false, nil},
	} {
		item, err := s.service().Target(t.Context(), book.Code(c.serial), c.gtin, c.lot)
		if (item != nil) != c.found || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v", name, item, err)
		}
	}
	s.failText = errors.New("down")
	if _, err := s.service().Target(t.Context(), book.Code(testSerial), s.text.GTIN, ""); !errors.Is(err, s.failText) {
		t.Errorf("no text: %v", err)
	}
}

// The hot path's budget: nothing.
func TestVerifyAllocates(t *testing.T) {
	s := newShelf().reissued(1)
	svc, ctx := s.service(), t.Context()
	var a Answer
	for name, q := range map[string]*Query{
		"without a token": {Code: book.Code(testSerial), Count: true},
		"with a token":    {Code: book.Code(testSerial), Token: s.token(newKey, 1, 10), Count: true},
	} {
		const most = 0
		if n := testing.AllocsPerRun(500, func() {
			if err := svc.Verify(ctx, q, &a); err != nil {
				t.Fatal(err)
			}
		}); n > most {
			t.Errorf("%s: %v allocations, at most %d", name, n, most)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	s := newShelf()
	svc := s.service()
	for name, token := range map[string]string{"code": "", "token": s.token(newKey, 1, 10), "forged": s.token(alienKey, 1, 10)} {
		b.Run(name, func(b *testing.B) {
			q, a := Query{Code: book.Code(testSerial), Token: token, Count: true}, Answer{}
			b.ReportAllocs()
			for b.Loop() {
				if err := svc.Verify(b.Context(), &q, &a); err != nil && !errors.Is(err, ErrRefused) {
					b.Fatal(err)
				}
			}
		})
	}
}

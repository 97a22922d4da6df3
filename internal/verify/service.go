package verify

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Texts gives product texts; see NewTextCache.
type Texts interface {
	Text(ctx context.Context, item *Item) (Text, error)
}

// Config is what an operator may set.
type Config struct {
	Grace   time.Duration // how long the epoch before still counts as the present one
	Devices *Devices      // nil = fingerprints without a salt
	Places  Places        // nil = every place is unknown

	// Feed is for a process that hears of changes from others: nil = it always knows
	// all of them. What it says is confirmed only while it is not older than StaleAfter.
	Feed       Feed
	StaleAfter time.Duration

	Limits Limits // nil = none
}

// Limits bound what is asked about a brand.
type Limits interface {
	// Brand says whether an address may ask about a brand; else why not.
	Brand(ip netip.Addr, brand ids.BrandID) error
}

// DefaultGrace covers a scan that began just before the epoch's end, and clocks
// that differ a little.
const DefaultGrace = 60 * time.Second

// Service answers scans. It is safe for concurrent use.
type Service struct {
	cfg   Config
	book  *codebook.Items
	items Items
	keys  Keys
	tries InnerTries
	texts Texts
	log   Sightings
	clock clock.Clock

	staleAfter atomic.Int64 // nanoseconds
}

// NewService wires the use case.
func NewService(cfg Config, book *codebook.Items, items Items, keys Keys, tries InnerTries, texts Texts, log Sightings, c clock.Clock) *Service {
	if cfg.Devices == nil {
		cfg.Devices = NewDevices([32]byte{})
	}
	if cfg.Places == nil {
		cfg.Places = nowhere{}
	}
	s := &Service{cfg: cfg, book: book, items: items, keys: keys, tries: tries, texts: texts, log: log, clock: c}
	s.SetStaleAfter(cfg.StaleAfter)
	return s
}

// SetStaleAfter changes how old what is confirmed may be.
func (s *Service) SetStaleAfter(d time.Duration) { s.staleAfter.Store(int64(d)) }

// nowhere knows no place.
type nowhere struct{}

func (nowhere) Of(netip.Addr) *Place { return nil }

// Verify answers a scan. Its error is ErrRefused for everything that is not ours.
func (s *Service) Verify(ctx context.Context, q *Query, a *Answer) error {
	serial := s.book.Serial(q.Code)
	var known bool
	*a = Answer{Version: 1}
	signedBy, err := s.judgeLabel(q)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	if s.cfg.Feed != nil { // before the look-up: what is found is not older
		s.judgeFeed(a, now)
	}
	if a.Item, known = s.items.Lookup(serial); !known {
		return s.unknown(a, serial)
	}
	item := &a.Item
	if signedBy != "" && signedBy != item.SignatureKeyID {
		return ErrRefused
	}
	var extra Extra
	if item.HasExtra {
		if extra, err = s.items.Extra(serial); err != nil {
			return fmt.Errorf("read record of an item: %w", err)
		}
		a.Version = extra.Version
	}
	link, err := s.judgeLink(q, item, &extra, a.Version, now)
	if err != nil {
		return s.newer(q, a, err)
	}
	// Only who named an item as it is hears of its brand's limit: to everybody else there
	// is one refusal.
	if s.cfg.Limits != nil {
		if err := s.cfg.Limits.Brand(q.Client.IP, item.BrandID); err != nil {
			return err
		}
	}
	stale := a.Partial
	a.HasToken, a.Since = q.Token != "" && link.since.IsZero(), link.since
	if err := s.judgeInner(ctx, q, a, extra.InnerAt); err != nil {
		return err
	}
	a.Verdict, a.Reasons = judgeState(item, now, link)
	switch {
	case stale:
		a.doubt(reasonsStale[:])
	case a.Partial:
		a.doubt(reasonsUnasked[:])
	}
	if a.Text, err = s.texts.Text(ctx, item); err != nil {
		return fmt.Errorf("read product text: %w", err)
	}
	if err := s.note(a); err != nil {
		return err
	}
	return s.count(q, a, now)
}

// judgeLabel checks the signature that a link carries, before anything is looked up: what
// was altered is refused in the same way and time whether or not there is such a code. It
// gives the key's name. A revoked key does here: that the code is ours is known without it,
// and honest labels carry it still.
func (s *Service) judgeLabel(q *Query) (signedBy string, _ error) {
	if q.Label == "" {
		return "", nil
	}
	label, err := codebook.ParseLabel(q.Code, q.Label)
	if err != nil {
		return "", ErrRefused
	}
	key := s.keys.Label(label.KeyID)
	if key == nil || !key.Check(label) {
		return "", ErrRefused
	}
	return key.ID().String(), nil
}

// note adds when and where an item was sold, and since when it is recalled.
func (s *Service) note(a *Answer) error {
	switch a.Item.State {
	case gs1.RetailSold, gs1.Dispensed, gs1.Recalled:
	default:
		return nil
	}
	note, ok, err := s.items.Note(a.Item.Serial)
	if err != nil {
		return fmt.Errorf("read last change of an item: %w", err)
	}
	switch {
	case !ok:
	case a.Item.State == gs1.Recalled:
		a.RecalledAt, a.Recall = note.At, note.Reason
	default:
		a.SoldAt, a.SoldIn = note.At, note.Place
	}
	return nil
}

// count records the scan, which may turn "authentic" into "again".
func (s *Service) count(q *Query, a *Answer, now time.Time) (err error) {
	if !q.Count {
		a.Seen, err = s.log.Seen(a.Item.Serial)
		switch {
		case err != nil || a.Verdict != Authentic:
		case a.Seen.Count > 0:
			a.Verdict, a.Reasons = AuthenticAgain, reasonsAgain[:]
		case q.Early:
			a.Reasons = reasonsEarly[:]
		}
		return err
	}
	a.sighting = Sighting{
		Item: &a.Item, At: now, Verdict: a.Verdict, Source: q.Source,
		Client: &q.Client, Device: s.cfg.Devices.Of(&q.Client), Place: s.cfg.Places.Of(q.Client.IP),
	}
	a.Seen, err = s.log.Record(&a.sighting)
	if err != nil {
		return fmt.Errorf("record sighting: %w", err)
	}
	a.Counted = true
	if again := a.Verdict.Counted(a.Seen.Count); again != a.Verdict {
		a.Verdict, a.Reasons = again, reasonsAgain[:]
		if !a.Seen.What.Has(verifyevent.NewSession) {
			a.Reasons = reasonsSession[:]
		}
	}
	return nil
}

// linkState is what a scan's token and version say.
type linkState struct {
	since  time.Time // superseded since; zero = current
	reason string
}

// judgeLink checks token and version. Whatever was never ours is refused; what was
// ours once is superseded since some time.
func (s *Service) judgeLink(q *Query, item *Item, extra *Extra, version uint16, now time.Time) (linkState, error) {
	var out linkState
	if q.Version > version || version-q.Version > versionsKept && q.Version != 0 {
		return out, ErrRefused
	}
	if q.Version != 0 && q.Version < version {
		out = linkState{extra.endOf(q.Version, version), "version.superseded"}
	}
	if q.Token == "" {
		if item.Display {
			return out, ErrRefused
		}
		return out, nil
	}
	token, ok := codebook.ParseToken(q.Token)
	if !ok {
		return out, ErrRefused
	}
	of, ok := s.versionOf(token, item, version)
	if !ok {
		return out, ErrRefused
	}
	if of < version {
		return linkState{extra.endOf(of, version), "version.superseded"}, nil
	}
	current := codebook.Epoch(now, item.CreatedAt, item.RotateEvery)
	switch epoch := token.Epoch(); {
	case epoch == current:
		return out, nil
	case epoch > current:
		// ours, but of an epoch to come: another process's clock runs ahead
		if codebook.EpochStart(item.CreatedAt, item.RotateEvery, epoch).Sub(now) > s.cfg.Grace {
			return out, ErrRefused
		}
		return out, nil
	default:
		ended := codebook.EpochStart(item.CreatedAt, item.RotateEvery, epoch+1)
		if now.Sub(ended) < s.cfg.Grace {
			return out, nil
		}
		return linkState{ended, "token.superseded"}, nil
	}
}

// versionsKept is for how many earlier versions a link still answers "superseded".
const versionsKept = 8

// versionOf finds the version that a token was made for, the present one first.
func (s *Service) versionOf(t codebook.Token, item *Item, version uint16) (uint16, bool) {
	period := uint32(item.RotateEvery / time.Second)
	oldest := uint16(1)
	if version > versionsKept {
		oldest = version - versionsKept
	}
	for _, key := range s.keys.Links() {
		for v := version; v >= oldest; v-- {
			if key.Check(t, item.Serial, v, period) {
				return v, true
			}
		}
	}
	return 0, false
}

// endOf is when a version below the present one was ended.
func (e *Extra) endOf(v, present uint16) time.Time {
	i := len(e.Superseded) - int(present-v)
	if i < 0 || i >= len(e.Superseded) {
		return time.Unix(0, 0).UTC() // older than what is kept: superseded all the same
	}
	return e.Superseded[i]
}

// judgeInner counts a try of the inner code, and shows the first right one to all.
func (s *Service) judgeInner(ctx context.Context, q *Query, a *Answer, firstAt time.Time) error {
	if a.Item.InnerKeyID == "" {
		if q.Inner != "" {
			return errNoInner
		}
		return nil
	}
	a.Inner = &InnerAnswer{FirstAt: firstAt, TriesLeft: InnerTriesMax}
	if q.Inner == "" || !q.Count { // a look ahead must not use up a try
		return nil
	}
	if len(q.Inner) > innerInputMax {
		return errLongInner
	}
	key, err := s.keys.Inner(a.Item.InnerKeyID)
	if err != nil {
		return fmt.Errorf("find inner-code key: %w", err)
	}
	right := key.Check(a.Item.Serial, q.Inner)
	tried, err := s.tries.TryInner(ctx, &a.Item, right)
	if errors.Is(err, ErrUnreachable) {
		a.Inner, a.Partial = nil, true // whether it was right must not be told for nothing
		return nil
	}
	if err != nil {
		return err
	}
	*a.Inner = InnerAnswer{
		Asked: true, OK: right && !tried.Locked, Locked: tried.Locked, FirstAt: tried.FirstAt,
		First: right && !tried.Locked && firstAt.IsZero(), TriesLeft: max(0, InnerTriesMax-tried.Tries),
	}
	return nil
}

const innerInputMax = 32

var (
	errNoInner   = fault.Field("verify.no_inner", "inner", "this item has no inner code")
	errLongInner = fault.Field("verify.bad_inner", "inner", "has more than 32 characters")
)

// The reasons behind verdicts: stable words beside the sentence that a page shows.
var (
	reasonsAgain   = [1]string{"scanned.before"}
	reasonsSession = [2]string{"scanned.before", "scanned.same_session"}
	reasonsFirst   = [1]string{"scanned.first"}
	reasonsEarly   = [1]string{"scanned.unproven"}
)

// judgeState follows the precedence of the design: recalled, void, expired,
// superseded, consumed, suspicious, sold, inactive, authentic.
func judgeState(item *Item, now time.Time, link linkState) (Verdict, []string) {
	verdict, reason := verdictOf(item.State), stateReasons(item.State)
	expired := !item.ExpiresAt.IsZero() && !now.Before(item.ExpiresAt)
	switch {
	case verdict == Recalled || verdict == Void:
		return verdict, reason
	case expired && verdict != Expired:
		return Expired, reasonsDate[:]
	case verdict == Expired:
		return Expired, reason
	case !link.since.IsZero() && link.reason == "version.superseded":
		return Superseded, reasonsVersion[:]
	case !link.since.IsZero():
		return Superseded, reasonsToken[:]
	case verdict == Authentic:
		return Authentic, reasonsFirst[:]
	}
	return verdict, reason
}

var (
	reasonsDate    = [1]string{"expiry.passed"}
	reasonsVersion = [1]string{"version.superseded"}
	reasonsToken   = [1]string{"token.superseded"}
)

// verdictOf is the verdict of a state by itself.
func verdictOf(state gs1.Disposition) Verdict {
	switch state {
	case gs1.Encoded, gs1.Inactive:
		return Inactive
	case gs1.Active, gs1.InProgress, gs1.InTransit, gs1.SellableAccessible, gs1.SellableNotAccessible, gs1.Returned:
		return Authentic
	case gs1.RetailSold, gs1.Dispensed:
		return Sold
	case gs1.Recalled:
		return Recalled
	case gs1.Void, gs1.Destroyed, gs1.Disposed:
		return Void
	case gs1.Expired:
		return Expired
	default: // stolen, damaged, no_pedigree_match, and whatever is not known: fail closed
		return Suspicious
	}
}

// stateReasons is "state." and the state's name, without an allocation.
func stateReasons(state gs1.Disposition) []string {
	if !state.Known() {
		return nil
	}
	return stateReasonTable[state : state+1]
}

var stateReasonTable = func() (t [gs1.DispositionCount + 1]string) {
	for _, d := range gs1.Dispositions() {
		t[d] = "state." + d.String()
	}
	return t
}()

// Target finds where a Digital Link of an item leads: nil when the serial does not
// verify (its own page then refuses it). A GTIN or lot that is not the item's is
// refused here, with the item: the pair was never ours.
func (s *Service) Target(ctx context.Context, code codebook.Code, gtin gs1.GTIN, lot string) (*Item, error) {
	item, ok := s.items.Lookup(s.book.Serial(code))
	if !ok {
		return nil, nil //nolint:nilnil // no item is an answer here
	}
	text, err := s.texts.Text(ctx, &item)
	if err != nil {
		return nil, fmt.Errorf("read product text: %w", err)
	}
	if text.GTIN != gtin || lot != "" && lot != item.BatchNo {
		return &item, ErrRefused
	}
	return &item, nil
}

package identity

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Passes tells scans who is signed in.
func (s *Service) Passes() *Passes { return s.passes }

// Offers lists the ways in which codes are sent here.
func (s *Service) Offers() []Channel {
	var all []Channel
	for _, c := range []Channel{SMS, Mail} {
		if s.cfg.Consumers.Senders[c] != nil {
			all = append(all, c)
		}
	}
	return all
}

// SendCode sends a new code, which ends the one before. The answer is the same whether there
// is an account or not. What was counted stays counted when the sending fails: a gateway that
// says no is not asked without end.
func (s *Service) SendCode(ctx context.Context, t Target, net, lang string) error {
	sender := s.cfg.Consumers.Senders[t.Channel]
	if sender == nil {
		return ErrNoChannel
	}
	if p := s.cfg.Consumers.Prefixes; t.Channel == SMS && len(p) > 0 && !slices.ContainsFunc(p, func(p string) bool { return strings.HasPrefix(t.To, p) }) {
		return ErrNoCountry
	}
	select {
	case s.sending <- struct{}{}:
		defer func() { <-s.sending }()
	default:
		return ErrBusy
	}
	code, now := newCode(), s.clock.Now()
	target := s.secrets.lookup("target", t.To)
	counts := []Count{
		{target, codesPerTarget}, {s.secrets.lookup("codes from", net), s.cfg.Consumers.PerNet},
		{s.secrets.lookup("codes by", string(t.Channel)), s.cfg.Consumers.PerDay},
	}
	one := OneTimeCode{Target: target, Code: s.codeHash(target, code), Tries: codeTries, SentAt: now, ExpiresAt: now.Add(CodeLife)}
	wait, err := s.store.PutCode(ctx, one, CodePause, now.Format(time.DateOnly), counts)
	if err != nil {
		return wrap("keep a code", err)
	}
	if wait > 0 {
		return ErrCodeWait.After(wait)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if err := sender.Send(ctx, t.To, code, lang); err != nil {
		s.log.Warn("a code could not be sent", "channel", t.Channel, "error", err)
		return ErrNotSent
	}
	return nil
}

// newCode draws six digits evenly.
func newCode() string {
	const all, even = 1_000_000, 1<<32 - 1<<32%1_000_000
	for {
		var b [4]byte
		rand.Read(b[:])
		if n := binary.BigEndian.Uint32(b[:]); n < even {
			return fmt.Sprintf("%0*d", codeDigits, n%all)
		}
	}
}

func (s *Service) codeHash(target Hash, code string) Hash {
	return s.secrets.lookup("code", hex.EncodeToString(target[:])+code)
}

// OpenedConsumer is a new session of a consumer with its pass, which nobody can be shown
// again.
type OpenedConsumer struct {
	Consumer ConsumerID
	Opened
}

// SignInConsumer opens a session for who has the code; the first time makes the account.
func (s *Service) SignInConsumer(ctx context.Context, t Target, code string, from Device) (OpenedConsumer, error) {
	if err := from.check(); err != nil {
		return OpenedConsumer{}, err
	}
	if err := s.useCode(ctx, t, code); err != nil {
		return OpenedConsumer{}, err
	}
	person := Person{Phone: t.To}
	if t.Channel == Mail {
		person = Person{Email: t.To}
	}
	return s.openConsumer(ctx, t.kind(), s.secrets.lookup(t.kind(), t.To), person, from)
}

func (s *Service) useCode(ctx context.Context, t Target, code string) error {
	if len(code) != codeDigits {
		return ErrCodeRefused
	}
	target := s.secrets.lookup("target", t.To)
	ok, err := s.store.UseCode(ctx, target, s.codeHash(target, code), s.clock.Now())
	if err == nil && !ok {
		err = ErrCodeRefused
	}
	return wrap("look at a code", err)
}

// SignInConsumerProvided opens a session for a consumer whom a provider vouches for.
func (s *Service) SignInConsumerProvided(ctx context.Context, who Provided, from Device) (OpenedConsumer, error) {
	if err := from.check(); err != nil {
		return OpenedConsumer{}, err
	}
	if who.Subject == "" {
		return OpenedConsumer{}, ErrRefused
	}
	external := s.secrets.lookup("external", who.Issuer+"\x00"+who.Subject)
	person := Person{Name: cut(who.Person.Name, nameMax), Login: who.Issuer + " " + who.Subject}
	return s.openConsumer(ctx, "external", external, person, from)
}

// openConsumer finds the account or makes it, and opens a session.
func (s *Service) openConsumer(ctx context.Context, kind string, h Hash, person Person, from Device) (o OpenedConsumer, _ error) {
	c, err := s.store.ConsumerBy(ctx, kind, h)
	if errors.Is(err, ErrUnknownConsumer) {
		if c, err = s.newConsumer(kind, h, person); err != nil {
			return o, err
		}
		if err = s.store.AddConsumer(ctx, c); errors.Is(err, ErrLoginTaken) { // a second sign-in was first
			c, err = s.store.ConsumerBy(ctx, kind, h)
		}
	}
	if err != nil {
		return o, wrap("find a consumer", err)
	}
	now, l := s.clock.Now(), &s.cfg.Consumers
	p := newPass(c.ID, now.Add(min(l.Life, l.Longest)))
	o = OpenedConsumer{Consumer: c.ID, Opened: Opened{Token: p.token(s.passes.keys()[0]), Enrolled: true}}
	o.Session = Session{
		ID: p.id(), Hash: p.hash(), User: c.ID.Owner(), Client: from.Client, Device: from.Name, Net: from.Net,
		CreatedAt: now, SeenAt: now, ExpiresAt: p.until, EndsAt: now.Add(l.Longest),
	}
	if err := s.store.OpenSession(ctx, o.Session, s.cfg.Conflicts[from.Client]); err != nil {
		return o, wrap("open a consumer's session", err)
	}
	s.changed(ctx)
	return o, nil
}

func (s *Service) newConsumer(kind string, h Hash, person Person) (c Consumer, err error) {
	now := s.clock.Now()
	c = Consumer{ID: newConsumerID(), State: Active, CreatedAt: now, SeenAt: now}
	switch kind {
	case "phone":
		c.Phone = h
	case "email":
		c.Email = h
	default:
		c.External = h
	}
	c.Sealed, err = s.secrets.seal(c.ID.Owner(), person)
	return c, err
}

// ConsumerVisit is a consumer who asks for the own account.
type ConsumerVisit struct {
	Consumer
	Session SessionID
	Fresh   string    // a pass instead of the one that was shown, which is good for its own time still; "" = none yet
	Until   time.Time // of Fresh
}

// VisitConsumer tells whose a pass is, by the record of its session; else ErrSessionOver. A
// request that renews may move the session on.
func (s *Service) VisitConsumer(ctx context.Context, token string, renews bool) (v ConsumerVisit, _ error) {
	p, ok := s.passes.read(token)
	if !ok {
		return v, ErrSessionOver
	}
	one, err := s.store.SessionByHash(ctx, p.hash())
	if errors.Is(err, ErrUnknownSession) {
		return v, ErrSessionOver
	}
	if err != nil {
		return v, wrap("look up a session", err)
	}
	if !one.lives(s.clock.Now()) || one.User != p.consumer.Owner() {
		return v, overBecause(one.Reason)
	}
	v.Session = one.ID
	if v.Consumer, err = s.Consumer(ctx, p.consumer); err != nil || !renews {
		return v, err
	}
	err = s.renewPass(ctx, &v, p, &one)
	return v, err
}

// Renews reports whether a request keeps a session alive.
func (s *Service) Renews(writes bool) bool { return writes || s.cfg.Renewal == RenewAlways }

// renewPass gives a fresh pass for one of whose life more than half is over. The session is
// moved on before it is given, so that what is kept of an ended session outlives its passes;
// a session that another request has moved on costs no write.
func (s *Service) renewPass(ctx context.Context, v *ConsumerVisit, p pass, one *Session) error {
	now, life, until := s.clock.Now(), s.cfg.Consumers.Life, one.ExpiresAt
	if p.until.Sub(now) > life/2 {
		return nil
	}
	if until.Sub(now) <= life/2 {
		until = now.Add(min(life, one.EndsAt.Sub(now))).Truncate(time.Second)
	}
	if until.Sub(p.until) < renewStep {
		return nil
	}
	if until.After(one.ExpiresAt) {
		over, err := s.store.Renew(ctx, []Renewed{{one.ID, now, until}})
		if err != nil {
			return wrap("renew a consumer's session", err)
		}
		if len(over) > 0 {
			return ErrSessionOver
		}
	}
	p.until = until
	v.Fresh, v.Until = p.token(s.passes.keys()[0]), until
	return nil
}

// Consumer gives an account.
func (s *Service) Consumer(ctx context.Context, id ConsumerID) (Consumer, error) {
	return s.store.Consumer(ctx, id)
}

// FindConsumer finds an account by a number or an address, exactly.
func (s *Service) FindConsumer(ctx context.Context, t Target) (Consumer, error) {
	return s.store.ConsumerBy(ctx, t.kind(), s.secrets.lookup(t.kind(), t.To))
}

// ConsumerRecord is everything that is kept of a consumer, for who asks for it. Scans have
// the account's number.
type ConsumerRecord struct {
	Consumer Consumer
	Person   Person
	Sessions []Session
}

// ExportConsumer gives it.
func (s *Service) ExportConsumer(ctx context.Context, id ConsumerID) (r ConsumerRecord, err error) {
	if r.Consumer, err = s.store.Consumer(ctx, id); err != nil {
		return r, err
	}
	if r.Person, err = s.secrets.open(id.Owner(), r.Consumer.Sealed); err != nil {
		return r, err
	}
	r.Sessions, err = s.store.SessionsOf(ctx, id.Owner(), s.clock.Now())
	return r, err
}

// SignOutConsumer ends the session of a visit, or with everywhere all of the account.
func (s *Service) SignOutConsumer(ctx context.Context, v *ConsumerVisit, everywhere bool) (err error) {
	now := s.clock.Now()
	if everywhere {
		err = s.store.EndSessions(ctx, v.ID.Owner(), Ending{Reason: EndSignedOut, At: now})
	} else {
		err = s.store.EndSession(ctx, v.Session, EndSignedOut, now)
	}
	if err == nil {
		s.changed(ctx)
	}
	return wrap("end a consumer's session", err)
}

// EraseConsumer removes the person from an account for good, and ends its sessions. The
// number stays in scan records and names nobody any more.
func (s *Service) EraseConsumer(ctx context.Context, id ConsumerID) error {
	if err := s.store.EraseConsumer(ctx, id, Ending{Reason: EndErased, At: s.clock.Now()}); err != nil {
		return wrap("erase a consumer", err)
	}
	s.changed(ctx)
	return nil
}

// loadEnded reads which passes count no more although their time has not come; seq is where the
// feed stood before.
func (s *Service) loadEnded(ctx context.Context, seq int64) error {
	ended, err := s.store.EndedSessions(ctx, consumerSession, s.clock.Now())
	if err != nil {
		return fmt.Errorf("read ended sessions of consumers: %w", err)
	}
	s.passes.end(seq, ended...)
	return nil
}

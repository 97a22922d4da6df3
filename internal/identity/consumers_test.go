package identity_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// outbound remembers what was sent.
type outbound struct {
	mu   sync.Mutex
	sent map[string]string // guarded by mu
	fail error
}

func (o *outbound) Send(_ context.Context, to, code, _ string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		return o.fail
	}
	if o.sent == nil {
		o.sent = map[string]string{}
	}
	o.sent[to] = code
	return nil
}

func (o *outbound) last(to string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent[to]
}

// shop is an installation with consumers.
type shop struct {
	*world
	svc *identity.Service
}

func newShop(t *testing.T) (*outbound, *shop) {
	t.Helper()
	out, w := &outbound{}, newWorld(t)
	w.cfg.Consumers = identity.ConsumerConfig{
		Senders: map[identity.Channel]identity.Sender{identity.SMS: out, identity.Mail: out}, Prefixes: []string{"+86"}, PerNet: 20,
	}
	return out, &shop{w, w.open(t)}
}

var phone = identity.Target{Channel: identity.SMS, To: "+8613800138000"}

func (w *shop) consumer(t *testing.T, out *outbound, to identity.Target, client identity.ClientType) identity.OpenedConsumer {
	t.Helper()
	if err := w.svc.SendCode(t.Context(), to, "192.0.2.0/24", "zh"); err != nil {
		t.Fatal(err)
	}
	o, err := w.svc.SignInConsumer(t.Context(), to, out.last(to.To), identity.Device{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	w.pass(identity.CodePause)
	return o
}

// TestConsumers: a code opens the one account of its target; the pass tells scans who it is
// until the session ends, and opens nothing that people have.
func TestConsumers(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	first := w.consumer(t, out, phone, identity.Web)
	again := w.consumer(t, out, phone, identity.Web)
	mail := w.consumer(t, out, identity.Target{Channel: identity.Mail, To: "a@example.com"}, identity.App)
	if first.Consumer != again.Consumer || first.Consumer == mail.Consumer || first.Token == again.Token {
		t.Fatalf("accounts %d, %d, %d", first.Consumer, again.Consumer, mail.Consumer)
	}
	passes := w.svc.Passes()
	for _, o := range []identity.OpenedConsumer{first, again, mail} {
		if got := passes.Consumer(o.Token); got != int64(o.Consumer) {
			t.Errorf("a scan sees %d, want %d", got, o.Consumer)
		}
		if _, err := w.svc.Caller(t.Context(), o.Token, false); err == nil {
			t.Error("a consumer's pass opens what people have")
		}
	}
	v, err := w.svc.VisitConsumer(t.Context(), first.Token, false)
	if err != nil || v.ID != first.Consumer {
		t.Fatalf("%+v, %v", v, err)
	}
	if err := w.svc.SignOutConsumer(t.Context(), &v, false); err != nil {
		t.Fatal(err)
	}
	if passes.Consumer(first.Token) != 0 || passes.Consumer(again.Token) == 0 {
		t.Error("one sign-out ends that session, and no other")
	}
	if _, err := w.svc.VisitConsumer(t.Context(), first.Token, false); !errors.Is(err, identity.ErrSessionOver) {
		t.Errorf("signed out and still in: %v", err)
	}
	if err := w.svc.EraseConsumer(t.Context(), again.Consumer); err != nil {
		t.Fatal(err)
	}
	if passes.Consumer(again.Token) != 0 {
		t.Error("who was erased still scans under the account")
	}
	if fresh := w.consumer(t, out, phone, identity.Web); fresh.Consumer == first.Consumer {
		t.Error("the number leads to the erased account")
	}
	w.pass(identity.DefaultConsumerLife)
	if passes.Consumer(mail.Token) != 0 {
		t.Error("a pass outlives its session")
	}
}

// TestConsumerSessionSlides: who comes back within half the life of a pass, and past it, is given
// another, up to the longest life and no further; what was ended is not moved on; of the passes
// of a session none is good after its end.
func TestConsumerSessionSlides(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for renewal, slides := range map[identity.Renewal]bool{identity.RenewAlways: true, identity.RenewWrites: false} {
		t.Run(string(renewal), func(t *testing.T) {
			t.Parallel()
			out, w := newShop(t)
			w.cfg.Renewal, w.cfg.Consumers.Longest = renewal, 100*day
			w.svc = w.open(t)
			o := w.consumer(t, out, phone, identity.App)
			visit := func(token string) (identity.ConsumerVisit, error) {
				return w.svc.VisitConsumer(t.Context(), token, w.svc.Renews(false))
			}
			w.pass(14 * day)
			if v, err := visit(o.Token); err != nil || v.Fresh != "" {
				t.Fatalf("before half the life: %q, %v", v.Fresh, err)
			}
			w.pass(2 * day)
			v, err := visit(o.Token)
			if err != nil || (v.Fresh != "") != slides {
				t.Fatalf("past half the life: %q, %v", v.Fresh, err)
			}
			if !slides {
				return
			}
			lost, err := visit(o.Token) // the answer with the fresh one was lost
			if err != nil || lost.Fresh == "" || !lost.Until.Equal(v.Until) {
				t.Errorf("asked again: %+v, %v", lost, err)
			}
			w.pass(14 * day) // 30 since the sign-in
			if _, err := visit(o.Token); !errors.Is(err, identity.ErrSessionOver) {
				t.Errorf("the first pass after its own time: %v", err)
			}
			begun := o.CreatedAt
			for last := v.Fresh; ; {
				next, err := visit(last)
				if errors.Is(err, identity.ErrSessionOver) {
					break
				}
				must0(t, err)
				if next.Fresh != "" {
					last = next.Fresh
				}
				if w.clock().Now().Sub(begun) > 100*day {
					t.Fatal("moved on beyond the longest life")
				}
				w.pass(day)
			}
			if used := w.clock().Now().Sub(begun); used < 99*day {
				t.Errorf("it ended after %s, used every day", used)
			}
			o = w.consumer(t, out, phone, identity.App)
			w.pass(16 * day)
			v, err = visit(o.Token)
			must0(t, err)
			must0(t, w.svc.SignOutConsumer(t.Context(), &v, false))
			w.pass(20 * day) // past the time of the first pass
			for name, s := range map[string]*identity.Service{"here": w.svc, "after a restart": w.open(t)} {
				if s.Passes().Consumer(v.Fresh) != 0 {
					t.Errorf("%s, a pass of an ended session counts", name)
				}
			}
		})
	}
}

// TestEndedElsewhere: who hears what ended from a process with SQL, page by page and from
// several of them, names no account of an ended session, and forgets it in time.
func TestEndedElsewhere(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	w.cfg.Shared, w.cfg.Consumers.PerNet = true, 1000
	w.svc = w.open(t)
	number := func(i int) identity.Target {
		return identity.Target{Channel: identity.SMS, To: fmt.Sprintf("+86138001390%02d", i)}
	}
	var ended, living []identity.OpenedConsumer
	keys := func() [][32]byte { return [][32]byte{identitytest.Secrets().Tokens} }
	edge := identity.NewPasses(keys, w.clock().Now)
	hear := func(from *identity.Service) {
		t.Helper()
		for more := true; more; {
			page := from.Passes().Ended(edge.Heard(), 2)
			if edge.Hear(page); len(page.Ended) == 0 && page.More {
				t.Fatal("an empty page, and there are more")
			}
			more = page.More
		}
	}
	check := func(when string) {
		t.Helper()
		for _, o := range ended {
			if edge.Consumer(o.Token) != 0 {
				t.Errorf("%s: an ended session counts", when)
			}
		}
		for _, o := range living {
			if edge.Consumer(o.Token) != int64(o.Consumer) {
				t.Errorf("%s: a living session does not count", when)
			}
		}
	}
	for i := range 7 {
		o := w.consumer(t, out, number(i), identity.App)
		ended, living = append(ended, o), append(living, w.consumer(t, out, number(i), identity.App)) // which replaced it
	}
	hear(w.svc)
	check("from the feed")
	other := w.open(t) // knows them from its start alone
	edge = identity.NewPasses(keys, w.clock().Now)
	hear(other)
	check("from a process that started since")
	for i := range 3 {
		must0(t, w.svc.EraseConsumer(t.Context(), living[0].Consumer))
		ended, living = append(ended, living[0]), living[1:]
		hear(other) // which has not heard of it
		if i == 1 {
			must0(t, other.CatchUp(t.Context()))
			hear(other)
			check("from the other, once it has heard")
		}
		hear(w.svc)
		check("from both in turn")
	}
	w.pass(identity.DefaultConsumerLife)
	edge.Forget()
	w.svc.Passes().Forget()
	if page := w.svc.Passes().Ended(identity.EndedAfter{}, 100); len(page.Ended) != 0 {
		t.Errorf("%d are kept beyond the time of their passes", len(page.Ended))
	}
}

// TestTwoIdentifiers: an account is reached by number and address; what is another's is refused,
// and who has no code learns nothing of it.
func TestTwoIdentifiers(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	w.cfg.Consumers.PerNet = 1000
	w.svc = w.open(t)
	mail, theirs := identity.Target{Channel: identity.Mail, To: "a@example.com"}, identity.Target{Channel: identity.Mail, To: "b@example.com"}
	me := w.consumer(t, out, phone, identity.App)
	other := w.consumer(t, out, theirs, identity.App)
	code := func(to identity.Target) string {
		t.Helper()
		must0(t, w.svc.SendCode(t.Context(), to, "192.0.2.0/24", ""))
		w.pass(identity.CodePause)
		return out.last(to.To)
	}
	add := func(id identity.ConsumerID, to identity.Target, code string) error {
		return w.svc.AddIdentifier(t.Context(), id, to, code)
	}
	unknown := identity.Target{Channel: identity.Mail, To: "nobody@example.com"}
	code(theirs)
	code(unknown)
	taken, free := add(me.Consumer, theirs, "000000"), add(me.Consumer, unknown, "000000")
	if !errors.Is(taken, identity.ErrCodeRefused) || taken.Error() != free.Error() {
		t.Errorf("without the code: %v of another's, %v of nobody's", taken, free)
	}
	if err := add(me.Consumer, theirs, code(theirs)); !errors.Is(err, identity.ErrIdentifierTaken) {
		t.Errorf("another's address: %v", err)
	}
	sent := code(mail)
	must0(t, add(me.Consumer, mail, sent))
	must0(t, add(me.Consumer, mail, sent)) // a retry
	if err := add(me.Consumer, unknown, code(unknown)); !errors.Is(err, identity.ErrIdentifierThere) {
		t.Errorf("a second address: %v", err)
	}
	if o := w.consumer(t, out, mail, identity.Web); o.Consumer != me.Consumer {
		t.Errorf("the address leads to %d, want %d", o.Consumer, me.Consumer)
	}
	rec := must(w.svc.ExportConsumer(t.Context(), me.Consumer))
	if rec.Person.Phone != phone.To || rec.Person.Email != mail.To {
		t.Errorf("kept are %q and %q", rec.Person.Phone, rec.Person.Email)
	}
	if rec := must(w.svc.ExportConsumer(t.Context(), other.Consumer)); rec.Person.Email != theirs.To || rec.Person.Phone != "" {
		t.Error("the other account changed")
	}
	must0(t, w.svc.EraseConsumer(t.Context(), me.Consumer))
	if err := add(me.Consumer, mail, code(mail)); !errors.Is(err, identity.ErrUnknownConsumer) {
		t.Errorf("to an erased account: %v", err)
	}
	if o := w.consumer(t, out, mail, identity.Web); o.Consumer == me.Consumer {
		t.Error("the address leads to the erased account")
	}
}

// TestPassesAfterARestart: a process that starts knows which passes count no more.
func TestPassesAfterARestart(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	o := w.consumer(t, out, phone, identity.App)
	replacing := w.consumer(t, out, phone, identity.App) // one app at a time
	other := w.open(t)
	if passes := other.Passes(); passes.Consumer(o.Token) != 0 || passes.Consumer(replacing.Token) != int64(o.Consumer) {
		t.Error("the replaced session counts, or the new one does not")
	}
}

// TestForgedPasses: what was not made here, or was changed anywhere, is nobody's.
func TestForgedPasses(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	o := w.consumer(t, out, phone, identity.App)
	for i := range o.Token {
		for _, c := range []byte{'A', 'Q', '_'} {
			if c == o.Token[i] {
				continue
			}
			forged := o.Token[:i] + string(c) + o.Token[i+1:]
			if w.svc.Passes().Consumer(forged) != 0 {
				t.Fatalf("changed at %d it still counts", i)
			}
		}
	}
	keys := func() [][32]byte { return [][32]byte{{7}} }
	if identity.NewPasses(keys, time.Now).Consumer(o.Token) != 0 {
		t.Error("under another key it counts")
	}
	for _, junk := range []string{"", "cmc_", o.Token + "A", "cms_" + o.Token[4:], strings.Repeat("A", len(o.Token))} {
		if w.svc.Passes().Consumer(junk) != 0 {
			t.Errorf("%q counts", junk)
		}
	}
}

// TestCodesAreHardToGuess: five tries, five minutes, once; then the right one is as wrong as
// any other.
func TestCodesAreHardToGuess(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	try := func(code string) error {
		_, err := w.svc.SignInConsumer(t.Context(), phone, code, identity.Device{})
		return err
	}
	send := func() string {
		if err := w.svc.SendCode(t.Context(), phone, "", ""); err != nil {
			t.Fatal(err)
		}
		return out.last(phone.To)
	}
	code := send()
	for range 5 {
		if err := try(wrongOf(code)); !errors.Is(err, identity.ErrCodeRefused) {
			t.Fatal(err)
		}
	}
	if err := try(code); !errors.Is(err, identity.ErrCodeRefused) {
		t.Errorf("the right code after five wrong ones: %v", err)
	}
	w.pass(identity.CodePause)
	code = send()
	w.pass(identity.CodeLife)
	if err := try(code); !errors.Is(err, identity.ErrCodeRefused) {
		t.Errorf("after its time: %v", err)
	}
	code = send()
	if err := try(code); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{code, "", "12345", "1234567", "abcdef"} {
		if err := try(c); !errors.Is(err, identity.ErrCodeRefused) {
			t.Errorf("%q: %v", c, err)
		}
	}
}

func wrongOf(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

// TestCodesCostLittle: a target has ten a day, a network its share, a country that was not
// named none, and a gateway that says no is not asked without end.
func TestCodesCostLittle(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	const net = "192.0.2.0/24"
	if err := w.svc.SendCode(t.Context(), identity.Target{Channel: identity.SMS, To: "+18005550100"}, net, ""); !errors.Is(err, identity.ErrNoCountry) {
		t.Errorf("to another country: %v", err)
	}
	for i := range 10 {
		if err := w.svc.SendCode(t.Context(), phone, net, ""); err != nil {
			t.Fatal(err)
		}
		if err := w.svc.SendCode(t.Context(), phone, net, ""); i < 9 && !errors.Is(err, identity.ErrCodeWait) {
			t.Fatalf("again at once: %v", err)
		}
		w.pass(identity.CodePause)
	}
	if err := w.svc.SendCode(t.Context(), phone, "198.51.100.0/24", ""); !errors.Is(err, identity.ErrCodesUsedUp) {
		t.Errorf("the eleventh of a day: %v", err)
	}
	out.fail = errors.New("the gateway is away")
	for i := range 10 {
		to := identity.Target{Channel: identity.SMS, To: "+861380013810" + string(rune('0'+i))}
		if err := w.svc.SendCode(t.Context(), to, net, ""); !errors.Is(err, identity.ErrNotSent) {
			t.Fatal(err)
		}
	}
	if err := w.svc.SendCode(t.Context(), identity.Target{Channel: identity.SMS, To: "+8613800138200"}, net, ""); !errors.Is(err, identity.ErrCodesUsedUp) {
		t.Errorf("the network's twenty-first: %v", err)
	}
	w.pass(24 * time.Hour)
	out.fail = nil
	if err := w.svc.SendCode(t.Context(), phone, net, ""); err != nil {
		t.Errorf("the next day: %v", err)
	}
	if err := newWorld(t).open(t).SendCode(t.Context(), phone, net, ""); !errors.Is(err, identity.ErrNoChannel) {
		t.Errorf("without a gateway: %v", err)
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"13800138000", "", "+8613800138000"}, {"+86 138-0013-8000", "", "+8613800138000"}, {"+1 (800) 555-0100", "", "+18005550100"},
		{"", " A.B@Example.COM ", "a.b@example.com"},
		{"", "", ""}, {"13800138000", "a@b.c", ""}, {"8613800138000", "", ""}, {"+0123456789", "", ""}, {"+86138", "", ""}, {"+8613800138000\r\n", "", ""},
		{"+86１３８００１３８０００", "", ""}, {"", "a", ""}, {"", "a@", ""}, {"", "A <a@b.c>", ""}, {"", "a@b.c\r\nBcc: x@y.z", ""}, {"", "a@b.c,d@e.f", ""},
		{"", strings.Repeat("a", 260) + "@b.c", ""},
	} {
		if got, err := identity.ParseTarget(c[0], c[1]); got.To != c[2] || (err == nil) != (c[2] != "") {
			t.Errorf("%q %q: %+v, %v", c[0], c[1], got, err)
		}
	}
}

// BenchmarkPass is what being signed in costs a scan: no SQL, and less than a digest more.
func BenchmarkPass(b *testing.B) {
	db := must(sqldb.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "chopmark.db")))
	defer db.Close()
	identitytest.Migrate(b, db, identitysql.Schema())
	store, out := &counting{Store: identitysql.New(db, clock.System{})}, &outbound{}
	s := identitytest.Service(b, identity.Config{Consumers: identity.ConsumerConfig{Senders: map[identity.Channel]identity.Sender{identity.SMS: out}}}, store, clock.System{})
	must0(b, s.SendCode(b.Context(), phone, "", ""))
	o := must(s.SignInConsumer(b.Context(), phone, out.last(phone.To), web()))
	before := store.asked
	b.ReportAllocs()
	for b.Loop() {
		if s.Passes().Consumer(o.Token) == 0 {
			b.Fatal("nobody")
		}
	}
	b.ReportMetric(float64(store.asked-before), "sql")
}

// TestKeep: who did not sign in for the time is erased, and nobody else; ended sessions go
// after theirs.
func TestKeep(t *testing.T) {
	t.Parallel()
	out, w := newShop(t)
	w.cfg.Keep = identity.Keep{Consumers: 90 * 24 * time.Hour, Sessions: 24 * time.Hour}
	w.svc = w.open(t)
	idle := w.consumer(t, out, phone, identity.App)
	w.pass(89 * 24 * time.Hour)
	alive := w.consumer(t, out, identity.Target{Channel: identity.SMS, To: "+8613800138001"}, identity.App)
	sweep := func() {
		t.Helper()
		if err := w.svc.Close(t.Context()); err != nil { // writes down, and sweeps when it is time
			t.Fatal(err)
		}
	}
	state := func(id identity.ConsumerID) identity.UserState {
		c, err := w.svc.Consumer(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return c.State
	}
	sweep()
	if state(idle.Consumer) != identity.Active {
		t.Fatal("erased a day before its time")
	}
	w.pass(25 * time.Hour)
	sweep()
	if state(idle.Consumer) != identity.Erased || state(alive.Consumer) != identity.Active {
		t.Errorf("idle %s, alive %s", state(idle.Consumer), state(alive.Consumer))
	}
}

package identitytest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/identity"
)

const pause = time.Minute

func oneTimeCode(target, code byte, at time.Time) identity.OneTimeCode {
	return identity.OneTimeCode{Target: identity.Hash{target}, Code: identity.Hash{code}, Tries: 3, SentAt: at, ExpiresAt: at.Add(5 * time.Minute)}
}

const codeDay = "2026-03-01"

// codeOnce: of many at once with the right code one gets in; wrong ones use up the tries.
func codeOnce(t *testing.T, open opener) {
	s, reopen := open(t)
	other := reopen()
	wait, err := s.PutCode(t.Context(), oneTimeCode(1, 1, Start()), pause, codeDay, nil)
	if must(t, err); wait != 0 {
		t.Fatalf("the first code waits %s", wait)
	}
	var in atomic.Int64
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			store := []identity.Store{s, other}[i%2]
			ok, err := store.UseCode(t.Context(), identity.Hash{1}, identity.Hash{1}, Start())
			if err != nil {
				t.Error(err)
			}
			if ok {
				in.Add(1)
			}
		})
	}
	if all.Wait(); in.Load() != 1 {
		t.Errorf("one code let in %d", in.Load())
	}
	if _, err := s.PutCode(t.Context(), oneTimeCode(2, 1, Start()), pause, codeDay, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target, code byte
		at           time.Time
		want         bool
	}{
		{2, 1, Start().Add(5 * time.Minute), false}, {3, 1, Start(), false}, {2, 9, Start(), false}, {2, 9, Start(), false}, {2, 9, Start(), false},
		{2, 1, Start(), false}, // right, after the last try
	} {
		if ok, err := s.UseCode(t.Context(), identity.Hash{c.target}, identity.Hash{c.code}, c.at); err != nil || ok != c.want {
			t.Errorf("%+v: %v, %v", c, ok, err)
		}
	}
}

// codesCounted: a target waits between two codes, and what is full bounds the rest; what
// was not sent was not counted.
func codesCounted(t *testing.T, open opener) {
	s, _ := open(t)
	put := func(target, code byte, at time.Duration, counts ...identity.Count) (time.Duration, error) {
		return s.PutCode(t.Context(), oneTimeCode(target, code, Start().Add(at)), pause, codeDay, counts)
	}
	most := func(name byte, n int64) identity.Count { return identity.Count{Name: identity.Hash{name}, Most: n} }
	wait, err := put(1, 1, 0, most(1, 2), most(2, 10))
	if must(t, err); wait != 0 {
		t.Fatal(wait)
	}
	if wait, err := put(1, 2, 59*time.Second, most(1, 2), most(2, 10)); err != nil || wait != time.Second {
		t.Errorf("a second code within the pause waits %s, %v", wait, err)
	}
	if ok, err := s.UseCode(t.Context(), identity.Hash{1}, identity.Hash{2}, Start().Add(time.Minute)); ok || err != nil {
		t.Errorf("a code that was not sent is good: %v", err)
	}
	if wait, err := put(1, 3, time.Minute, most(1, 2), most(2, 10)); err != nil || wait != 0 {
		t.Errorf("after the pause: %s, %v", wait, err)
	}
	if _, err := put(1, 4, 2*time.Minute, most(1, 2), most(2, 10)); !errors.Is(err, identity.ErrCodesUsedUp) {
		t.Errorf("a third on one day: %v", err)
	}
	if ok, err := s.UseCode(t.Context(), identity.Hash{1}, identity.Hash{3}, Start().Add(2*time.Minute)); !ok || err != nil {
		t.Errorf("the code that was sent last is no good: %v", err)
	}
	for n := range 8 { // 2 were counted of the 10
		if _, err := put(byte(10+n), 1, 0, most(2, 10)); err != nil {
			t.Fatalf("code %d: %v", n, err)
		}
	}
	if _, err := put(30, 1, 0, most(2, 10)); !errors.Is(err, identity.ErrCodesUsedUp) {
		t.Errorf("beyond the day's: %v", err)
	}
	must(t, s.Sweep(t.Context(), Start().Add(72*time.Hour), Start()))
	if wait, err := put(1, 5, 0, most(2, 10)); err != nil || wait != 0 {
		t.Errorf("after the sweep: %s, %v", wait, err)
	}
}

func consumers(t *testing.T, open opener) {
	s, reopen := open(t)
	one := identity.Consumer{
		ID: 1<<52 - 1, State: identity.Active, Sealed: identity.Sealed{Key: []byte{1}, Data: []byte{2}}, Phone: identity.Hash{1}, CreatedAt: Start(), SeenAt: Start(),
	}
	must(t, s.AddConsumer(t.Context(), one))
	second := one
	second.ID = 5
	if err := s.AddConsumer(t.Context(), second); !errors.Is(err, identity.ErrLoginTaken) {
		t.Errorf("two with one number: %v", err)
	}
	second.Phone, second.Email, second.External = identity.Hash{}, identity.Hash{2}, identity.Hash{3}
	must(t, s.AddConsumer(t.Context(), second))
	for kind, h := range map[string]identity.Hash{"email": {2}, "external": {3}} {
		if got, err := reopen().ConsumerBy(t.Context(), kind, h); err != nil || !cmp.Equal(got, second) {
			t.Errorf("by %s: %v\n%s", kind, err, cmp.Diff(second, got))
		}
	}
	if _, err := s.ConsumerBy(t.Context(), "phone", identity.Hash{2}); !errors.Is(err, identity.ErrUnknownConsumer) {
		t.Errorf("a mail address found as a number: %v", err)
	}
	both, was := second, second.Sealed
	both.Phone, both.Sealed = identity.Hash{4}, identity.Sealed{Key: []byte{3}, Data: []byte{4}}
	must(t, s.ChangeConsumer(t.Context(), was, both))
	for kind, h := range map[string]identity.Hash{"phone": {4}, "email": {2}, "external": {3}} {
		if got, err := reopen().ConsumerBy(t.Context(), kind, h); err != nil || !cmp.Equal(got, both) {
			t.Errorf("of two, by %s: %v\n%s", kind, err, cmp.Diff(both, got))
		}
	}
	if err := s.ChangeConsumer(t.Context(), was, second); !errors.Is(err, identity.ErrConsumerRaced) {
		t.Errorf("over a change that was not read: %v", err)
	}
	stolen := both
	stolen.Phone = one.Phone
	if err := s.ChangeConsumer(t.Context(), both.Sealed, stolen); !errors.Is(err, identity.ErrIdentifierTaken) {
		t.Errorf("the number of another: %v", err)
	}
	session := identity.Session{
		ID: "cse_1", Hash: identity.Hash{9}, User: one.ID.Owner(), Client: identity.App, CreatedAt: Start().Add(time.Hour), SeenAt: Start(),
		ExpiresAt: Start().Add(48 * time.Hour), EndsAt: Start().Add(48 * time.Hour),
	}
	must(t, s.OpenSession(t.Context(), session, identity.Conflict{Policy: identity.Replace, Max: 1}))
	if got, err := s.Consumer(t.Context(), one.ID); err != nil || !got.SeenAt.Equal(session.CreatedAt) {
		t.Errorf("a sign-in is not noted: %+v, %v", got, err)
	}
	if idle, err := s.IdleConsumers(t.Context(), Start().Add(time.Minute), 10); err != nil || !cmp.Equal(idle, []identity.ConsumerID{second.ID}) {
		t.Errorf("idle are %v, %v", idle, err)
	}
	must(t, s.EraseConsumer(t.Context(), one.ID, identity.Ending{Reason: identity.EndErased, At: Start()}))
	got, err := s.Consumer(t.Context(), one.ID)
	if must(t, err); got.State != identity.Erased || len(got.Sealed.Key)+len(got.Sealed.Data) > 0 || got.Phone != (identity.Hash{}) {
		t.Errorf("after erasing %+v", got)
	}
	if ended, err := s.EndedSessions(t.Context(), "cse_", Start().Add(time.Hour)); err != nil || len(ended) != 1 || ended[0].ID != session.ID {
		t.Errorf("ended are %+v, %v", ended, err)
	}
	if err := s.ChangeConsumer(t.Context(), identity.Sealed{}, one); !errors.Is(err, identity.ErrConsumerRaced) {
		t.Errorf("who was erased has a number again: %v", err)
	}
	session.ID, session.Hash = "cse_2", identity.Hash{8}
	if err := s.OpenSession(t.Context(), session, identity.Conflict{Policy: identity.Replace, Max: 1}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("who was erased signs in: %v", err)
	}
	if err := s.EraseConsumer(t.Context(), 77, identity.Ending{Reason: identity.EndErased, At: Start()}); !errors.Is(err, identity.ErrUnknownConsumer) {
		t.Errorf("nobody was erased: %v", err)
	}
	one.ID = 6
	must(t, s.AddConsumer(t.Context(), one)) // the number is free again
}

package identitytest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
)

// RunPeople runs the contract of tenants, users, sessions, the log of changes and approvals.
func RunPeople(t *testing.T, open func(t *testing.T) (s identity.Store, reopen func() identity.Store)) {
	t.Run("Tenants", func(t *testing.T) { tenants(t, open) })
	t.Run("Quota", func(t *testing.T) { quota(t, open) })
	t.Run("Roles", func(t *testing.T) { roles(t, open) })
	t.Run("Users", func(t *testing.T) { users(t, open) })
	t.Run("OneOfManyChangesAUser", func(t *testing.T) { userRace(t, open) })
	t.Run("LastAdmin", func(t *testing.T) { lastAdmin(t, open) })
	t.Run("LinkIsUsedOnce", func(t *testing.T) { linkOnce(t, open) })
	t.Run("StepCountsOnce", func(t *testing.T) { stepOnce(t, open) })
	t.Run("RecoveryCountsOnce", func(t *testing.T) { recoveryOnce(t, open) })
	t.Run("Attempts", func(t *testing.T) { attempts(t, open) })
	t.Run("Conflicts", func(t *testing.T) { conflicts(t, open) })
	t.Run("ConflictRace", func(t *testing.T) { conflictRace(t, open) })
	t.Run("Renew", func(t *testing.T) { renew(t, open) })
	t.Run("FeedIsOrderOfCommit", func(t *testing.T) { feedOrder(t, open) })
	t.Run("AuditChains", func(t *testing.T) { auditChains(t, open) })
	t.Run("AuditCut", func(t *testing.T) { auditCut(t, open) })
	t.Run("RequestsKept", func(t *testing.T) { requestsKept(t, open) })
	t.Run("CodeIsUsedOnce", func(t *testing.T) { codeOnce(t, open) })
	t.Run("CodesAreCounted", func(t *testing.T) { codesCounted(t, open) })
	t.Run("Consumers", func(t *testing.T) { consumers(t, open) })
	t.Run("ApprovalIsDecidedOnce", func(t *testing.T) { decideOnce(t, open) })
}

func request(n byte) ids.Request { return ids.Request{Key: [32]byte{n}, Body: [32]byte{n}} }

// NewUser makes an active user of the suite.
func NewUser(n byte) identity.User {
	return identity.User{
		ID: identity.UserID(ids.New("usr")), Tenant: identity.Platform, Role: identity.Operator, Brands: []ids.BrandID{1001, 1002}, State: identity.Active,
		Sealed: identity.Sealed{Key: []byte{n, 1}, Data: []byte{n, 2}}, Login: identity.Hash{n, 1}, Email: identity.Hash{n, 2}, Password: "$argon2id$",
		Version: 1, CreatedAt: Start(), ChangedAt: Start(),
	}
}

func addUser(t *testing.T, s identity.Store, u identity.User) identity.User {
	t.Helper()
	_, _, err := s.AddUser(t.Context(), ids.Request{}, u, nil)
	must(t, err)
	return u
}

func tenants(t *testing.T, open opener) {
	s, reopen := open(t)
	one := identity.Tenant{
		ID: identity.TenantID(ids.New("tnt")), Name: "Acme 公司", Kind: identity.BrandKind, CodesPerDay: 5, FourEyesAbove: 7,
		Brands: []ids.BrandID{1001, 1003}, Origins: []string{"https://a.example", "https://b.example"}, CreatedAt: Start(),
	}
	id, replayed, err := s.AddTenant(t.Context(), request(1), one)
	must(t, err)
	again, twice, err := s.AddTenant(t.Context(), request(1), identity.Tenant{ID: "tnt_other", Kind: identity.DealerKind})
	must(t, err)
	if id != one.ID || replayed || again != id || !twice {
		t.Errorf("AddTenant = %s %v, then %s %v", id, replayed, again, twice)
	}
	one.Name, one.DisabledAt, one.DisabledReason, one.Origins = "Other", Start().Add(time.Hour), "unpaid", nil
	must(t, s.ChangeTenant(t.Context(), one, Start()))
	must(t, s.SetBrand(t.Context(), one.ID, 1002, true))
	must(t, s.SetBrand(t.Context(), one.ID, 1002, true))
	must(t, s.SetBrand(t.Context(), one.ID, 1003, false))
	one.Brands = []ids.BrandID{1001, 1002}
	all, err := reopen().Tenants(t.Context())
	must(t, err)
	if len(all) != 2 || all[0].ID != identity.Platform {
		t.Fatalf("tenants %+v", all)
	}
	if diff := cmp.Diff(one, all[1], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("tenant (-want +got):\n%s", diff)
	}
}

func quota(t *testing.T, open opener) {
	s, _ := open(t)
	const each, most = 10, 300
	won := race(t, func(int) error { return s.TakeCodes(t.Context(), "tnt_x", "2026-03-01", each, most) }, identity.ErrQuota)
	if won != most/each {
		t.Errorf("%d takes of %d went through, want %d", won, each, most/each)
	}
	must(t, s.TakeCodes(t.Context(), "tnt_x", "2026-03-01", -each, 0))
	must(t, s.TakeCodes(t.Context(), "tnt_x", "2026-03-01", each, most))
	wantError(t, s.TakeCodes(t.Context(), "tnt_x", "2026-03-01", 1, most), identity.ErrQuota)
	must(t, s.TakeCodes(t.Context(), "tnt_x", "2026-03-02", 1, most))
}

func roles(t *testing.T, open opener) {
	s, reopen := open(t)
	c := identity.CustomRole{ID: identity.Role(ids.New("role")), Tenant: "tnt_a", Name: "packer", Permissions: []identity.Permission{"batch:read", "code:read"}}
	_, _, err := s.AddRole(t.Context(), ids.Request{}, c)
	must(t, err)
	_, _, err = s.AddRole(t.Context(), ids.Request{}, identity.CustomRole{ID: identity.Role(ids.New("role")), Tenant: "tnt_a", Name: "packer"})
	wantError(t, err, identity.ErrRoleTaken)
	c.Permissions = []identity.Permission{"code:read"}
	must(t, s.ChangeRole(t.Context(), c))
	u := NewUser(1)
	u.Role = c.ID
	addUser(t, s, u)
	wantError(t, s.DropRole(t.Context(), c.ID), identity.ErrRoleUsed)
	all, err := reopen().Roles(t.Context())
	must(t, err)
	if diff := cmp.Diff([]identity.CustomRole{c}, all); diff != "" {
		t.Errorf("roles (-want +got):\n%s", diff)
	}
	u.Role = identity.Dealer
	must(t, s.ChangeUser(t.Context(), u, identity.Ending{}))
	must(t, s.DropRole(t.Context(), c.ID))
}

func users(t *testing.T, open opener) {
	s, reopen := open(t)
	u, link := NewUser(1), identity.UserLink{Hash: identity.Hash{9}, Kind: identity.InviteLink, CreatedAt: Start(), ExpiresAt: Start().Add(time.Hour)}
	link.User = u.ID
	id, _, err := s.AddUser(t.Context(), request(1), u, &link)
	must(t, err)
	again, replayed, err := s.AddUser(t.Context(), request(1), NewUser(1), &link)
	must(t, err)
	if again != id || !replayed {
		t.Errorf("a retry made %s, was %s", again, id)
	}
	other := NewUser(2)
	other.Login = u.Login
	_, _, err = s.AddUser(t.Context(), ids.Request{}, other, nil)
	wantError(t, err, identity.ErrLoginTaken)
	addUser(t, s, NewUser(3)) // external and phone are absent in both: no collision
	u.TOTP, u.TOTPOn, u.Phone, u.External = []byte{1, 2}, true, identity.Hash{7}, identity.Hash{8}
	must(t, s.ChangeUser(t.Context(), u, identity.Ending{}))
	wantError(t, s.ChangeUser(t.Context(), u, identity.Ending{}), identity.ErrUserRaced)
	u.Version = 2
	for kind, h := range map[string]identity.Hash{"login": u.Login, "email": u.Email, "phone": u.Phone, "external": u.External} {
		got, err := reopen().UserBy(t.Context(), kind, h)
		must(t, err)
		if diff := cmp.Diff(u, got); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", kind, diff)
		}
		_, err = s.UserBy(t.Context(), kind, identity.Hash{99})
		wantError(t, err, identity.ErrUnknownUser)
	}
	page, err := s.ListUsers(t.Context(), "", "", 1)
	must(t, err)
	rest, err := s.ListUsers(t.Context(), identity.Platform, page[0].ID, 10)
	must(t, err)
	none, err := s.ListUsers(t.Context(), "tnt_none", "", 10)
	must(t, err)
	if len(page) != 1 || len(rest) != 1 || page[0].ID >= rest[0].ID || len(none) != 0 {
		t.Errorf("pages of %d, %d and %d users", len(page), len(rest), len(none))
	}
}

func userRace(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	won := race(t, func(int) error { return s.ChangeUser(t.Context(), u, identity.Ending{}) }, identity.ErrUserRaced)
	if won != 1 {
		t.Errorf("%d changed one version, want 1", won)
	}
}

func lastAdmin(t *testing.T, open opener) {
	s, _ := open(t)
	a, b := NewUser(1), NewUser(2)
	a.Role, b.Role = identity.Admin, identity.Admin
	addUser(t, s, a)
	addUser(t, s, b)
	all := []identity.User{a, b}
	won := race(t, func(i int) error {
		u := all[i%2]
		u.State = identity.Disabled
		err := s.ChangeUser(t.Context(), u, identity.Ending{})
		if errors.Is(err, identity.ErrUserRaced) {
			return identity.ErrLastAdmin // it was disabled before
		}
		return err
	}, identity.ErrLastAdmin)
	if won != 1 {
		t.Errorf("%d administrators were disabled, want 1", won)
	}
}

func linkOnce(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	l := identity.UserLink{Hash: identity.Hash{5}, User: u.ID, Kind: identity.ResetLink, CreatedAt: Start(), ExpiresAt: Start().Add(time.Hour)}
	_, err := s.AddLink(t.Context(), ids.Request{}, l)
	must(t, err)
	wantError(t, s.UseLink(t.Context(), l.Hash, l.ExpiresAt, u, identity.Ending{}), identity.ErrUnknownLink)
	won := race(t, func(int) error { return s.UseLink(t.Context(), l.Hash, Start(), u, identity.Ending{}) }, identity.ErrUnknownLink)
	if won != 1 {
		t.Errorf("%d used one link", won)
	}
	_, err = s.Link(t.Context(), identity.Hash{6})
	wantError(t, err, identity.ErrUnknownLink)
}

var errNot = errors.New("not taken")

func once(take func() (bool, error)) error {
	ok, err := take()
	if err == nil && !ok {
		return errNot
	}
	return err
}

func stepOnce(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	won := race(t, func(int) error { return once(func() (bool, error) { return s.TakeStep(t.Context(), u.ID, 100) }) }, errNot)
	if won != 1 {
		t.Errorf("a step counted %d times", won)
	}
	wantError(t, once(func() (bool, error) { return s.TakeStep(t.Context(), u.ID, 99) }), errNot)
	must(t, once(func() (bool, error) { return s.TakeStep(t.Context(), u.ID, 101) }))
}

func recoveryOnce(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	must(t, s.SetRecovery(t.Context(), u.ID, []identity.Hash{{1}, {2}}))
	won := race(t, func(int) error {
		return once(func() (bool, error) { return s.UseRecovery(t.Context(), u.ID, identity.Hash{1}, Start()) })
	}, errNot)
	left, err := s.RecoveryLeft(t.Context(), u.ID)
	must(t, err)
	if won != 1 || left != 1 {
		t.Errorf("a code counted %d times, %d are left", won, left)
	}
}

func attempts(t *testing.T, open opener) {
	s, _ := open(t)
	now, tries := Start(), []identity.Try{{Hash: identity.Hash{1}, Free: 3}, {Hash: identity.Hash{2}, Free: 100}}
	attempt := func() time.Duration {
		wait, err := s.Attempt(t.Context(), now, tries)
		must(t, err)
		return wait
	}
	for range 3 {
		if wait := attempt(); wait != 0 {
			t.Fatalf("a free try waits %s", wait)
		}
	}
	var before time.Duration
	for range 5 {
		wait := attempt()
		if wait <= before || wait > 15*time.Minute {
			t.Fatalf("after %s it waits %s, want longer each time", before, wait)
		}
		if again := attempt(); again != wait {
			t.Fatalf("who has to wait is counted: %s, then %s", wait, again)
		}
		before, now = wait, now.Add(wait)
		if attempt() != 0 {
			t.Fatal("it waits after its time")
		}
	}
	must(t, s.Forgive(t.Context(), identity.Hash{1}))
	if wait := attempt(); wait != 0 {
		t.Errorf("who is forgiven waits %s", wait)
	}
}

func newSession(u identity.User, n byte, at time.Time) identity.Session {
	return identity.Session{
		ID: identity.SessionID(ids.New("ses")), Hash: identity.Hash{n, 1}, User: u.ID, Client: identity.App, Device: "phone 手机", Net: "192.0.2.0/24",
		CreatedAt: at, SeenAt: at, ExpiresAt: at.Add(time.Hour), EndsAt: at.Add(24 * time.Hour),
	}
}

func conflicts(t *testing.T, open opener) {
	s, reopen := open(t)
	u := addUser(t, s, NewUser(1))
	first, second := newSession(u, 1, Start()), newSession(u, 2, Start().Add(time.Second))
	one := identity.Conflict{Policy: identity.Replace, Max: 1}
	must(t, s.OpenSession(t.Context(), first, one))
	got, err := reopen().SessionByHash(t.Context(), first.Hash)
	must(t, err)
	if diff := cmp.Diff(first, got); diff != "" {
		t.Errorf("session (-want +got):\n%s", diff)
	}
	wantError(t, s.OpenSession(t.Context(), second, identity.Conflict{Policy: identity.Refuse, Max: 1}), identity.ErrSessionRefused)
	must(t, s.OpenSession(t.Context(), second, one))
	old, err := s.SessionByID(t.Context(), first.ID)
	must(t, err)
	if old.Reason != identity.EndReplaced || !old.EndedAt.Equal(second.CreatedAt) {
		t.Errorf("the replaced session %+v", old)
	}
	web := newSession(u, 3, Start().Add(2*time.Second))
	web.Client = identity.Web
	must(t, s.OpenSession(t.Context(), web, one))
	living, err := s.SessionsOf(t.Context(), u.ID, Start().Add(time.Minute))
	must(t, err)
	if len(living) != 2 || living[0].ID != web.ID {
		t.Errorf("%d sessions live, want the web's and the second app's", len(living))
	}
	must(t, s.EndSessions(t.Context(), u.ID, identity.Ending{Reason: identity.EndForced, Keep: web.ID, At: Start()}))
	must(t, s.EndSession(t.Context(), second.ID, identity.EndSignedOut, Start().Add(time.Hour)))
	if old, err = s.SessionByID(t.Context(), second.ID); err != nil || old.Reason != identity.EndForced {
		t.Errorf("a session that has ended is %+v, %v, want its first reason", old, err)
	}
	must(t, s.SweepSessions(t.Context(), Start().Add(48*time.Hour)))
	_, err = s.SessionByID(t.Context(), web.ID)
	wantError(t, err, identity.ErrUnknownSession)
}

func conflictRace(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	won := race(t, func(i int) error {
		return s.OpenSession(t.Context(), newSession(u, byte(i), Start()), identity.Conflict{Policy: identity.Refuse, Max: 3})
	}, identity.ErrSessionRefused)
	if won != 3 {
		t.Errorf("%d sessions were opened, at most 3 may be", won)
	}
}

func renew(t *testing.T, open opener) {
	s, _ := open(t)
	u := addUser(t, s, NewUser(1))
	one := newSession(u, 1, Start())
	must(t, s.OpenSession(t.Context(), one, identity.Conflict{Policy: identity.Allow, Max: 9}))
	later := one.ExpiresAt.Add(time.Hour)
	move := func(seen, until time.Time, want ...identity.SessionID) {
		t.Helper()
		over, err := s.Renew(t.Context(), []identity.Renewed{{ID: one.ID, SeenAt: seen, ExpiresAt: until}})
		if err != nil || !slices.Equal(over, want) {
			t.Errorf("over are %v, %v, want %v", over, err, want)
		}
	}
	move(Start().Add(time.Minute), later)
	move(Start(), one.ExpiresAt)
	got, err := s.SessionByID(t.Context(), one.ID)
	must(t, err)
	if !got.ExpiresAt.Equal(later) || !got.SeenAt.Equal(Start().Add(time.Minute)) {
		t.Errorf("seen at %s it expires at %s, want %s: a session is never moved back", got.SeenAt, got.ExpiresAt, later)
	}
	must(t, s.EndSession(t.Context(), one.ID, identity.EndForced, Start()))
	move(Start(), later.Add(time.Hour), one.ID)
	if got, err = s.SessionByID(t.Context(), one.ID); err != nil || got.EndedAt.IsZero() || !got.ExpiresAt.Equal(later) {
		t.Errorf("what has ended was renewed: %+v, %v", got, err)
	}
}

func feedOrder(t *testing.T, open opener) {
	s, reopen := open(t)
	begin, err := s.FeedEnd(t.Context())
	must(t, err)
	race(t, func(int) error {
		_, _, err := s.AddTenant(t.Context(), ids.Request{}, identity.Tenant{ID: identity.TenantID(ids.New("tnt")), Name: "t", Kind: identity.DealerKind, CreatedAt: Start()})
		return err
	}, errNot)
	at, seen := begin, 0
	for {
		news, lost, err := reopen().Feed(t.Context(), at, 7)
		must(t, err)
		if lost {
			t.Fatal("the feed lost something")
		}
		for _, n := range news {
			if n.Seq != at+1 || n.Kind != identity.DirectoryNews {
				t.Fatalf("after %d comes %+v", at, n)
			}
			at = n.Seq
		}
		if seen += len(news); len(news) == 0 {
			break
		}
	}
	if seen != racers {
		t.Errorf("%d entries, want %d", seen, racers)
	}
	if _, lost, err := s.Feed(t.Context(), -5, 10); err != nil || !lost {
		t.Errorf("a position before what is kept: lost %v, %v", lost, err)
	}
}

// chainOf links as simply as can be checked.
func chainOf(before identity.Hash, e *identity.Entry) identity.Hash {
	return identity.Hash{before[0] + 1, byte(e.N), byte(len(e.Action))}
}

func auditChains(t *testing.T, open opener) {
	s, reopen := open(t)
	race(t, func(int) error {
		e := func(tenant identity.TenantID) identity.Entry {
			return identity.Entry{
				Tenant: tenant, At: Start(), Actor: "usr_x", Role: identity.Operator, Action: "POST", Subject: "主题", Before: `{"a":1}`, After: "{}", Reason: "因为",
				RequestID: "r", Status: 200,
			}
		}
		done, err := s.AppendAudit(context.WithoutCancel(t.Context()), []identity.Entry{e("tnt_b"), e("tnt_a"), e("tnt_b")}, chainOf)
		if err == nil && (done[0].N == 0 || done[2].N != done[0].N+1) {
			t.Errorf("numbers %d and %d", done[0].N, done[2].N)
		}
		return err
	}, errNot)
	heads, err := reopen().AuditHeads(t.Context())
	must(t, err)
	for tenant, want := range map[identity.TenantID]int64{"tnt_a": racers, "tnt_b": 2 * racers} {
		all, err := s.AuditFrom(t.Context(), tenant, 0, 1000)
		must(t, err)
		var before identity.Hash
		for i := range all {
			if all[i].N != int64(i+1) || all[i].Hash != chainOf(before, &all[i]) || all[i].Reason != "因为" {
				t.Fatalf("entry %d of %s: %+v", i+1, tenant, all[i])
			}
			before = all[i].Hash
		}
		if int64(len(all)) != want || heads[tenant] != (identity.AuditHead{N: want, Hash: before}) {
			t.Errorf("%s has %d entries and the head %+v, want %d", tenant, len(all), heads[tenant], want)
		}
		newest, err := s.Audit(t.Context(), tenant, want+1, 3)
		must(t, err)
		if len(newest) != 3 || newest[0].N != want || newest[2].N != want-2 {
			t.Errorf("the newest are %+v", newest)
		}
	}
}

// auditCut: entries go from the front with the cut that says so, once; a second one that read the
// same changes nothing.
func auditCut(t *testing.T, open opener) {
	s, reopen := open(t)
	for range 5 {
		_, err := s.AppendAudit(t.Context(), []identity.Entry{{Tenant: "tnt_a", At: Start(), Action: "POST"}, {Tenant: "tnt_b", At: Start(), Action: "POST"}}, chainOf)
		must(t, err)
	}
	cut := func(n int64, hash byte) identity.AuditCut {
		return identity.AuditCut{Tenant: "tnt_a", N: n, At: Start(), Hash: identity.Hash{hash}, MAC: identity.Hash{0xaa, hash}}
	}
	left := func(want ...int64) {
		t.Helper()
		all, err := reopen().AuditFrom(t.Context(), "tnt_a", 0, 100)
		must(t, err)
		var got []int64
		for _, e := range all {
			got = append(got, e.N)
		}
		if !slices.Equal(got, want) {
			t.Errorf("left are %v, want %v", got, want)
		}
	}
	done := race(t, func(i int) error {
		ok, err := s.CutAudit(context.WithoutCancel(t.Context()), 0, cut(2, byte(i)))
		if err == nil && !ok {
			err = errNot
		}
		return err
	}, errNot)
	if left(3, 4, 5); done != 1 {
		t.Errorf("%d cut the same entries", done)
	}
	if ok, err := s.CutAudit(t.Context(), 1, cut(4, 4)); ok || err != nil {
		t.Errorf("over another cut: %v, %v", ok, err)
	}
	left(3, 4, 5)
	if ok, err := s.CutAudit(t.Context(), 2, cut(5, 5)); !ok || err != nil {
		t.Errorf("the rest: %v, %v", ok, err)
	}
	left()
	cuts, err := reopen().AuditCuts(t.Context())
	if must(t, err); !cmp.Equal(cuts, map[identity.TenantID]identity.AuditCut{"tnt_a": cut(5, 5)}) {
		t.Errorf("cuts are %+v", cuts)
	}
	if b, err := s.AuditFrom(t.Context(), "tnt_b", 0, 100); err != nil || len(b) != 5 {
		t.Errorf("of another tenant %d are left, %v", len(b), err)
	}
	next, err := s.AppendAudit(t.Context(), []identity.Entry{{Tenant: "tnt_a", At: Start(), Action: "POST"}}, chainOf)
	if must(t, err); next[0].N != 6 {
		t.Errorf("after a cut the next entry is %d", next[0].N)
	}
}

// requestsKept: what tenants drew is there again, and never less than was said once.
func requestsKept(t *testing.T, open opener) {
	s, reopen := open(t)
	at := func(minutes int) time.Time { return Start().Add(time.Duration(minutes) * time.Minute) }
	must(t, s.KeepRequests(t.Context(), map[identity.TenantID]time.Time{"tnt_a": at(5), "tnt_b": at(1)}))
	race(t, func(i int) error {
		return s.KeepRequests(context.WithoutCancel(t.Context()), map[identity.TenantID]time.Time{"tnt_a": at(i), "tnt_c": at(racers - i)})
	}, errNot)
	got, err := reopen().Requests(t.Context())
	want := map[identity.TenantID]time.Time{"tnt_a": at(racers - 1), "tnt_b": at(1), "tnt_c": at(racers)}
	if must(t, err); !cmp.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

func decideOnce(t *testing.T, open opener) {
	s, reopen := open(t)
	a := identity.Approval{
		ID: ids.New("apv"), Tenant: "tnt_a", Brand: 1001, Kind: "recalled", Items: 100, Body: []byte(`{"x":1}`), Reason: "bad lot", AskedBy: "usr_a",
		AskedAt: Start(), State: identity.Pending,
	}
	id, _, err := s.AddApproval(t.Context(), request(3), a)
	must(t, err)
	if again, replayed, err := s.AddApproval(t.Context(), request(3), a); err != nil || !replayed || again != id {
		t.Errorf("a retry: %s %v %v", again, replayed, err)
	}
	to := a
	to.State, to.DecidedBy, to.DecidedAt, to.Note = identity.Rejected, "usr_b", Start().Add(time.Hour), "no"
	won := race(t, func(int) error { return s.DecideApproval(t.Context(), id, identity.Pending, to) }, identity.ErrDecided)
	got, err := reopen().Approval(t.Context(), id)
	must(t, err)
	if diff := cmp.Diff(to, got); diff != "" || won != 1 {
		t.Errorf("decided %d times (-want +got):\n%s", won, diff)
	}
	list, err := s.ListApprovals(t.Context(), identity.Rejected, Start().Add(time.Hour), "", 10)
	must(t, err)
	none, err := s.ListApprovals(t.Context(), identity.Pending, Start().Add(time.Hour), "", 10)
	must(t, err)
	if len(list) != 1 || len(none) != 0 {
		t.Errorf("%d rejected and %d pending", len(list), len(none))
	}
	_, err = s.Approval(t.Context(), ids.New("apv"))
	wantError(t, err, identity.ErrUnknownApproval)
}

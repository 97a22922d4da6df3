package identity_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const password = "a long enough password"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must0(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func web() identity.Device {
	return identity.Device{Client: identity.Web, Name: "browser", Net: "192.0.2.0/24"}
}

// person makes an active user of a role of the platform.
func person(t *testing.T, s *identity.Service, login string, role identity.Role) identity.UserID {
	t.Helper()
	u, token, _, err := s.Invite(t.Context(), ids.Request{}, s.OperatorOfMachine(), identity.NewUser{
		Person: identity.Person{Login: login, Name: "Name of " + login, Email: login + "@example.com"}, Role: role,
	})
	must0(t, err)
	if _, err := s.Accept(t.Context(), token, password); err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func signIn(t *testing.T, s *identity.Service, login string, from identity.Device) identity.Opened {
	t.Helper()
	o, err := s.SignInWith(t.Context(), identity.Ask{Login: login, Password: password, From: from})
	must0(t, err)
	return o
}

func wantOver(t *testing.T, s *identity.Service, token, reason string) {
	t.Helper()
	_, err := s.Visit(t.Context(), token, false)
	if !errors.Is(err, identity.ErrSessionOver) || !strings.Contains(err.Error(), reason) {
		t.Errorf("Visit = %v, want the session over because of %q", err, reason)
	}
}

func visit(t *testing.T, s *identity.Service, token string) identity.Visit {
	t.Helper()
	v, err := s.Visit(t.Context(), token, false)
	must0(t, err)
	return v
}

// TestRevocationIsSeen: another process that has a session and a key in memory lets neither
// in once it has read the feed, and never believes its memory for longer than a second
// without having read it.
func TestRevocationIsSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Shared = true
	here, _ := w.start(t, given)
	person(t, here, "alice", identity.Operator)
	there := w.open(t)
	o := signIn(t, here, "alice", web())
	_, key, _, err := here.CreateKey(t.Context(), ids.Request{}, here.OperatorOfMachine(), identity.NewKey{Name: "line", Role: identity.Machine})
	must0(t, err)
	must0(t, there.CatchUp(t.Context()))
	v := visit(t, there, o.Token)
	k, err := there.Authenticate(t.Context(), key)
	must0(t, err)

	must0(t, here.SignOutAll(t.Context(), here.OperatorOfMachine(), identity.UserID(v.ID)))
	must0(t, here.Revoke(t.Context(), here.OperatorOfMachine(), k.ID))
	wantOver(t, here, o.Token, identity.EndForced)
	wantNobody(t, here, key)
	w.pass(2 * time.Second) // nobody has told the other process
	wantOver(t, there, o.Token, identity.EndForced)
	wantNobody(t, there, key)
	select {
	case <-v.Over():
		if v.Why() != identity.EndForced {
			t.Errorf("the old device is told %q", v.Why())
		}
	default:
		t.Error("the old device is not told")
	}
}

// TestFollow: without a request, the poll alone tells who waits.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Shared = true
	here, _ := w.start(t, given)
	id := person(t, here, "alice", identity.Operator)
	there := w.open(t)
	done := make(chan struct{})
	go func() { there.Follow(t.Context()); close(done) }()
	v := visit(t, there, signIn(t, here, "alice", web()).Token)
	must0(t, here.SignOutAll(t.Context(), here.OperatorOfMachine(), id))
	select {
	case <-v.Over():
	case <-time.After(30 * time.Second): // only a broken Follow waits so long
		t.Fatal("the poll did not tell")
	}
	_ = done
}

func TestChangesCountAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	op, id := s.OperatorOfMachine(), person(t, s, "alice", identity.Operator)
	o := signIn(t, s, "alice", web())
	if v := visit(t, s, o.Token); !v.May("code:change") || !v.Scope().All() {
		t.Fatalf("an operator of the platform may %v", v.Permissions())
	}
	auditor, yes := identity.Auditor, true
	must(s.ChangeUser(t.Context(), op, id, identity.UserChange{Role: &auditor}))
	if v := visit(t, s, o.Token); v.May("code:change") || !v.May("audit:read") {
		t.Errorf("after a change of role the old session may %v", v.Permissions())
	}
	must(s.ChangeUser(t.Context(), op, id, identity.UserChange{Disabled: &yes}))
	wantOver(t, s, o.Token, identity.EndDisabled)
	if _, err := s.SignInWith(t.Context(), identity.Ask{Login: "alice", Password: password, From: web()}); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("a disabled user signs in: %v", err)
	}
}

func TestDisabledTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	op := s.OperatorOfMachine()
	tenant, _, err := s.CreateTenant(t.Context(), ids.Request{}, identity.Tenant{Name: "Acme", Kind: identity.BrandKind, Brands: []ids.BrandID{7, 9}})
	must0(t, err)
	_, key, _, err := s.CreateKey(t.Context(), ids.Request{}, op, identity.NewKey{Name: "k", Tenant: tenant.ID, Role: identity.Operator, Brands: []ids.BrandID{9}})
	must0(t, err)
	p := must(s.Authenticate(t.Context(), key))
	if p.Scope().All() || p.Scope().Has(7) || !p.Scope().Has(9) || p.May("tenant:manage") {
		t.Errorf("the key acts on %v", p.Scope().Brands())
	}
	if _, _, _, err := s.CreateKey(t.Context(), ids.Request{}, op, identity.NewKey{Name: "k", Tenant: tenant.ID, Role: identity.Admin}); !errors.Is(err, identity.ErrUnknownRole) {
		t.Errorf("a tenant gets an administrator: %v", err)
	}
	if _, _, _, err := s.CreateKey(t.Context(), ids.Request{}, p, identity.NewKey{Name: "k", Role: identity.Auditor}); !errors.Is(err, identity.ErrBeyondYou) {
		t.Errorf("an operator gives away more than he has: %v", err)
	}
	yes, no := true, false
	_, _, err = s.ChangeTenant(t.Context(), op, tenant.ID, identity.TenantChange{Disabled: &yes, Reason: "unpaid"})
	must0(t, err)
	wantNobody(t, s, key)
	_, _, err = s.ChangeTenant(t.Context(), op, tenant.ID, identity.TenantChange{Disabled: &no})
	must0(t, err)
	must(s.Authenticate(t.Context(), key))
	w.pass(time.Hour)
	soon := w.clock().Now().Add(time.Minute)
	_, short, _, err := s.CreateKey(t.Context(), ids.Request{}, op, identity.NewKey{Name: "k", Role: identity.Machine, ExpiresAt: soon})
	must0(t, err)
	must(s.Authenticate(t.Context(), short))
	w.pass(time.Minute)
	wantNobody(t, s, short)
}

// enroll sets up an authenticator and gives its secret and the recovery codes.
func enroll(t *testing.T, s *identity.Service, p *identity.Principal, now time.Time) (secret []byte, recovery []string) {
	t.Helper()
	text, uri, err := s.BeginTOTP(t.Context(), p, password)
	must0(t, err)
	u := must(url.Parse(uri))
	if u.Query().Get("secret") != text {
		t.Errorf("the app reads another secret: %s", uri)
	}
	secret = must(base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text))
	recovery, err = s.ConfirmTOTP(t.Context(), p, identity.CodeAt(secret, now))
	must0(t, err)
	return secret, recovery
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	person(t, s, "root", identity.Admin)
	o := signIn(t, s, "root", web())
	v := visit(t, s, o.Token)
	if !v.MustEnroll || o.Enrolled || len(v.Permissions()) != 0 {
		t.Fatalf("an administrator without a second factor may %v", v.Permissions())
	}
	secret, recovery := enroll(t, s, v.Principal, w.clock().Now())
	if v = visit(t, s, o.Token); v.MustEnroll || !v.May("system:manage") {
		t.Error("after enrolling the session is still held back")
	}
	try := func(code, rescue string) error {
		_, err := s.SignInWith(t.Context(), identity.Ask{Login: "root", Password: password, Code: code, Recovery: rescue, From: web()})
		return err
	}
	used := identity.CodeAt(secret, w.clock().Now())
	w.pass(time.Minute)
	fresh := identity.CodeAt(secret, w.clock().Now())
	for _, step := range []struct {
		what, code, rescue string
		want               error
	}{
		{"no code", "", "", identity.ErrSecondFactor},
		{"a wrong code", "000000", "", identity.ErrRefused},
		{"the code of before", used, "", identity.ErrRefused},
		{"a right code", fresh, "", nil},
		{"the same again", fresh, "", identity.ErrRefused},
		{"a recovery code", "", strings.ToUpper(recovery[3]), nil},
		{"the same again", "", recovery[3], identity.ErrRefused},
		{"a made-up one", "", "aaaa-aaaa-aaaa-aaaa", identity.ErrRefused},
	} {
		if err := try(step.code, step.rescue); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.what, err, step.want)
		}
		w.pass(10 * time.Millisecond)
	}
	if n := must(s.RecoveryLeft(t.Context(), v.Principal)); n != 9 {
		t.Errorf("%d recovery codes are left, want 9", n)
	}
}

// TestTOTPVectors are those of RFC 6238, appendix B, cut to six digits.
func TestTOTPVectors(t *testing.T) {
	t.Parallel()
	for at, want := range map[int64]string{59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"} {
		if got := identity.CodeAt([]byte("12345678901234567890"), time.Unix(at, 0)); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}

// TestGuessingWaits: names that exist and names that do not are refused and held back alike.
func TestGuessingWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	person(t, s, "alice", identity.Operator)
	guess := func(login string) []string {
		var said []string
		for i := range 8 {
			from := identity.Device{Net: fmt.Sprintf("198.51.100.%d/32", i)}
			_, err := s.SignInWith(t.Context(), identity.Ask{Login: login, Password: "not the password", From: from})
			said = append(said, err.Error())
		}
		return said
	}
	known, none := guess("alice"), guess("mallory")
	if fmt.Sprint(known) != fmt.Sprint(none) || !strings.Contains(known[7], "too_fast") {
		t.Errorf("guesses at a user: %q\nat nobody: %q", known, none)
	}
	if _, err := s.SignInWith(t.Context(), identity.Ask{Login: "alice", Password: password}); !errors.Is(err, identity.ErrTooFast) {
		t.Errorf("the right password while it waits: %v", err)
	}
	w.pass(time.Hour)
	signIn(t, s, "alice", web())
}

func TestSessionLife(t *testing.T) {
	t.Parallel()
	for _, renewal := range []identity.Renewal{identity.RenewAlways, identity.RenewWrites} {
		t.Run(string(renewal), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Renewal = renewal
			s, _ := w.start(t, given)
			person(t, s, "alice", identity.Operator)
			read, write := signIn(t, s, "alice", web()), signIn(t, s, "alice", web())
			for range 4 { // 80 minutes, and each lives 30
				w.pass(20 * time.Minute)
				_, err := s.Visit(t.Context(), write.Token, true)
				must0(t, err)
				_, err = s.Visit(t.Context(), read.Token, false)
				if over := errors.Is(err, identity.ErrSessionOver); over && renewal == identity.RenewAlways {
					t.Fatalf("a session that is used ends: %v", err)
				}
			}
			if _, err := s.Visit(t.Context(), read.Token, false); (err != nil) != (renewal == identity.RenewWrites) {
				t.Errorf("after 80 minutes of reading: %v", err)
			}
			must0(t, s.Close(t.Context())) // writes down how far it was moved on
			other := w.open(t)
			must(other.Visit(t.Context(), write.Token, true))
			for range 80 {
				w.pass(20 * time.Minute)
				_, _ = other.Visit(t.Context(), write.Token, true) // ends at last
			}
			wantOver(t, other, write.Token, "")
		})
	}
}

func TestPasswordChangeEndsOtherDevices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	id := person(t, s, "alice", identity.Operator)
	here, there := signIn(t, s, "alice", web()), signIn(t, s, "alice", web())
	p := visit(t, s, here.Token).Principal
	if err := s.ChangePassword(t.Context(), p, "wrong one here", "another password"); !errors.Is(err, identity.ErrWrongOld) {
		t.Errorf("without the present password: %v", err)
	}
	must0(t, s.ChangePassword(t.Context(), p, password, "another password"))
	visit(t, s, here.Token)
	wantOver(t, s, there.Token, identity.EndPassword)
	token, _, err := s.ResetLink(t.Context(), ids.Request{}, s.OperatorOfMachine(), id, false)
	must0(t, err)
	for _, bad := range []string{"short", "1234567890alice", strings.Repeat("x", 20)} {
		if _, err := s.Accept(t.Context(), token, bad); err == nil {
			t.Errorf("the password %q was taken", bad)
		}
	}
	must(s.Accept(t.Context(), token, password))
	wantOver(t, s, here.Token, identity.EndPassword)
	if _, err := s.Accept(t.Context(), token, password); !errors.Is(err, identity.ErrUnknownLink) {
		t.Errorf("a link was used twice: %v", err)
	}
	signIn(t, s, "alice", web())
}

// TestEraseForgets looks at the database's own bytes.
func TestEraseForgets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	op, id := s.OperatorOfMachine(), person(t, s, "alice-of-the-line", identity.Operator)
	o := signIn(t, s, "alice-of-the-line", web())
	found := must(s.FindUser(t.Context(), op, " ALICE-of-the-line@example.com"))
	if len(found) != 1 || found[0].ID != id {
		t.Errorf("found %v", found)
	}
	if r := must(s.Export(t.Context(), op, id)); r.Person.Login != "alice-of-the-line" || len(r.Sessions) != 1 {
		t.Errorf("the export has %+v", r)
	}
	u := must(s.Erase(t.Context(), op, id))
	if p := must(s.Person(&u)); p != (identity.Person{}) || u.State != identity.Erased {
		t.Errorf("after erasing: %+v", u)
	}
	wantOver(t, s, o.Token, identity.EndErased)
	if len(must(s.FindUser(t.Context(), op, "alice-of-the-line"))) != 0 {
		t.Error("the person is found")
	}
	must0(t, s.Close(t.Context()))
	for _, e := range must(s.Audit(t.Context(), op, identity.Platform, 0, 1000)) {
		if strings.Contains(fmt.Sprintf("%+v", e), "alice") {
			t.Errorf("the log of changes names the person: %+v", e)
		}
	}
}

// TestAuditChain plants each way of meddling with the log, and sees it caught.
// TestAuditCut: what was kept for its time goes from the front of the chain, and the rest holds
// together still; what anybody takes out, makes up or puts back beside that is found, and what
// was altered is not let go.
func TestAuditCut(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		first, then string // what is done before the cut, and after it
		good        bool
	}{
		"sound":         {"", "", true},
		"cut off more":  {"", `DELETE FROM identity_audit WHERE n = (SELECT MIN(n) FROM identity_audit)`, false},
		"cut left out":  {"", `DELETE FROM identity_audit_cuts`, false},
		"cut moved":     {"", `UPDATE identity_audit_cuts SET n = n + 1`, false},
		"cut made up":   {"", `UPDATE identity_audit_cuts SET n = n + 1, hash = (SELECT hash FROM identity_audit WHERE n = identity_audit_cuts.n + 1); DELETE FROM identity_audit WHERE n = (SELECT MIN(n) FROM identity_audit)`, false},
		"another's":     {"", `UPDATE identity_audit_cuts SET tenant_id = 'tnt_other'`, false},
		"another time":  {"", `UPDATE identity_audit_cuts SET cut_at = cut_at + 1`, false},
		"put back":      {"", `INSERT INTO identity_audit SELECT tenant_id, 1, at, actor, role_id, action, subject, ends, status, was, became, reason, request_id, hash FROM identity_audit WHERE n = (SELECT MAX(n) FROM identity_audit)`, false},
		"the rest gone": {"", `DELETE FROM identity_audit`, false},
		"altered":       {`UPDATE identity_audit SET reason = 'other' WHERE n = 2`, "", false},
		"made older":    {`UPDATE identity_audit SET at = 1 WHERE n = 5`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Keep.Audit = year
			s, _ := w.start(t, given)
			change := func() {
				t.Helper()
				end, err := s.Begin(t.Context(), identity.Change{Actor: s.OperatorOfMachine(), Action: "POST /x", Subject: "x", RequestID: "r"})
				must0(t, err)
				end(identity.Outcome{Status: 200, Reason: "because"})
			}
			meddle := func(sql string) {
				t.Helper()
				db := must(sqldb.OpenSQLite(t.Context(), w.path))
				defer db.Close()
				for one := range strings.SplitSeq(sql, ";") {
					must0(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
						if strings.TrimSpace(one) == "" {
							return nil
						}
						_, err := tx.ExecContext(ctx, one)
						return err
					}))
				}
			}
			change()
			change()
			w.pass(180 * 24 * time.Hour)
			change()
			must0(t, s.Close(t.Context()))
			meddle(c.first)
			w.pass(190 * 24 * time.Hour) // the first two are over their time
			if err := s.Close(t.Context()); (err == nil) != (c.first == "") {
				t.Fatalf("the sweep says %v", err)
			}
			if got, err := s.CheckAudit(t.Context()); c.first == "" && (err != nil || got != (identity.AuditCheck{Entries: 2, Cut: 4})) {
				t.Fatalf("a sound cut: %+v, %v", got, err)
			}
			meddle(c.then)
			if _, err := s.CheckAudit(t.Context()); (err == nil) != c.good {
				t.Errorf("the check says %v", err)
			}
			if !c.good {
				return
			}
			w.pass(year + 24*time.Hour) // and now all of them are
			must0(t, s.Close(t.Context()))
			change()
			must0(t, s.Close(t.Context()))
			if got, err := s.CheckAudit(t.Context()); err != nil || got != (identity.AuditCheck{Entries: 2, Cut: 6}) {
				t.Errorf("once all were cut: %+v, %v", got, err)
			}
		})
	}
}

func TestAuditChain(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]string{
		"altered":       `UPDATE identity_audit SET reason = 'other' WHERE n = 2`,
		"left out":      `DELETE FROM identity_audit WHERE n = 2`,
		"cut off":       `DELETE FROM identity_audit WHERE n = 4`,
		"another's":     `UPDATE identity_audit SET actor = 'usr_other' WHERE n = 1`,
		"end moved":     `UPDATE identity_audit_heads SET n = n - 1`,
		"end left out":  `DELETE FROM identity_audit_heads`,
		"moved in time": `UPDATE identity_audit SET at = at + 1 WHERE n = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, _ := w.start(t, given)
			for i := range 2 {
				end, err := s.Begin(t.Context(), identity.Change{Actor: s.OperatorOfMachine(), Action: "POST /x", Subject: fmt.Sprint(i), RequestID: "r"})
				must0(t, err)
				end(identity.Outcome{Status: 200, Before: `{"a":1}`, After: `{"a":2}`, Reason: "because"})
			}
			must0(t, s.Close(t.Context()))
			if c, err := s.CheckAudit(t.Context()); err != nil || c != (identity.AuditCheck{Entries: 4}) {
				t.Fatalf("a sound log: %+v, %v", c, err)
			}
			db := must(sqldb.OpenSQLite(t.Context(), w.path))
			defer db.Close()
			must0(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := tx.ExecContext(ctx, meddle)
				return err
			}))
			if _, err := s.CheckAudit(t.Context()); err == nil {
				t.Error("nobody notices")
			}
		})
	}
}

func TestFourEyes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	op := s.OperatorOfMachine()
	four := int64(10)
	_, _, err := s.ChangeTenant(t.Context(), op, identity.Platform, identity.TenantChange{FourEyesAbove: &four})
	must0(t, err)
	person(t, s, "asks", identity.Operator)
	person(t, s, "approves", identity.Operator)
	asks, approves := visit(t, s, signIn(t, s, "asks", web()).Token).Principal, visit(t, s, signIn(t, s, "approves", web()).Token).Principal
	hold := func(items int64) (string, bool) {
		id, held, err := s.Hold(t.Context(), ids.Request{}, asks, identity.Approval{Brand: 7, Kind: "recalled", Items: items, Body: []byte("{}"), Reason: "bad lot"})
		must0(t, err)
		return id, held
	}
	if _, held := hold(10); held {
		t.Error("a small change was held")
	}
	id, held := hold(11)
	if !held {
		t.Fatal("a large change was not held")
	}
	calls := 0
	change := func(identity.Approval) (string, error) { calls++; return "chg_1", nil }
	if _, err := s.Approve(t.Context(), asks, id, "", change); !errors.Is(err, identity.ErrSamePerson) {
		t.Errorf("who asks approves: %v", err)
	}
	if _, err := s.Approve(t.Context(), op, id, "", change); !errors.Is(err, identity.ErrSamePerson) {
		t.Errorf("nobody in person approves: %v", err)
	}
	if _, err := s.Approve(t.Context(), approves, id, "ok", func(identity.Approval) (string, error) { return "", errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("a change that fails: %v", err)
	}
	a := must(s.Approve(t.Context(), approves, id, "ok", change))
	if a.State != identity.Done || a.Effect != "chg_1" || calls != 1 {
		t.Errorf("approved: %+v, made %d times", a, calls)
	}
	if _, err := s.Approve(t.Context(), approves, id, "", change); !errors.Is(err, identity.ErrDecided) || calls != 1 {
		t.Errorf("approved twice: %v, made %d times", err, calls)
	}
	again, _ := hold(12)
	must(s.Reject(t.Context(), asks, again, "by mistake"))
	if _, err := s.Approve(t.Context(), approves, again, "", change); !errors.Is(err, identity.ErrDecided) {
		t.Errorf("what was taken back is approved: %v", err)
	}
}

// TestShownOnce: only a retry of the very request is shown a secret again.
func TestShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, _ := w.start(t, given)
	r := ids.Request{Key: [32]byte{1}, Body: [32]byte{2}}
	make1 := func(r ids.Request) (string, string) {
		k, secret, _, err := s.CreateKey(t.Context(), r, s.OperatorOfMachine(), identity.NewKey{Name: "k", Role: identity.Machine})
		must0(t, err)
		must(s.Authenticate(t.Context(), secret))
		return k.ID, secret
	}
	id, secret := make1(r)
	if again, same := make1(r); again != id || same != secret {
		t.Error("a retry is shown another key")
	}
	if other, another := make1(ids.Request{}); other == id || another == secret {
		t.Error("another request is shown the same key")
	}
}

func TestMasksHideEveryLength(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"phone", "13812345678", "138****5678"}, {"phone", "+8613812345678", "****78"}, {"phone", "12345", "****"}, {"phone", "", ""},
		{"id", "110101199003071234", "110101********1234"}, {"id", "110101900307123", "****"}, {"id", "1", "****"},
		{"mail", "alice@example.com", "a****e@example.com"}, {"mail", "al@example.com", "****@example.com"}, {"mail", "a", "****"},
		{"name", "王小明", "王**"}, {"name", "王", "****"},
	} {
		mask := map[string]func(string) string{"phone": identity.MaskPhone, "id": identity.MaskIDNumber, "mail": identity.MaskEmail, "name": identity.MaskName}[c[0]]
		if got := mask(c[1]); got != c[2] {
			t.Errorf("%s %q is shown as %q, want %q", c[0], c[1], got, c[2])
		}
	}
	for n := range 40 {
		text := strings.Repeat("7", n)
		for name, mask := range map[string]func(string) string{"phone": identity.MaskPhone, "id": identity.MaskIDNumber, "mail": identity.MaskEmail, "name": identity.MaskName} {
			if n > 0 && mask(text) == text {
				t.Errorf("a %s of %d characters is shown whole", name, n)
			}
		}
	}
	p := identity.Person{Login: "alice", Phone: "13812345678"}
	if text := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(text, "alice") || strings.Contains(text, "1381") {
		t.Errorf("a log shows a person: %s", text)
	}
}

// BenchmarkAuthenticate is what identity adds to a request with a session in memory.
func BenchmarkAuthenticate(b *testing.B) {
	db := must(sqldb.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "chopmark.db")))
	defer db.Close()
	identitytest.Migrate(b, db, identitysql.Schema())
	store := &counting{Store: identitysql.New(db, clock.System{})}
	s := identitytest.Service(b, identity.Config{}, store, clock.System{})
	must(s.Bootstrap(b.Context(), given))
	u, token, _, err := s.Invite(b.Context(), ids.Request{}, s.OperatorOfMachine(), identity.NewUser{
		Person: identity.Person{Login: "alice", Name: "Alice"}, Role: identity.Operator,
	})
	must0(b, err)
	must(s.Accept(b.Context(), token, password))
	o := must(s.OpenFor(b.Context(), u.ID, web()))
	must(s.Caller(b.Context(), o.Token, true))
	for name, bearer := range map[string]string{"session": o.Token, "key": given} {
		b.Run(name, func(b *testing.B) {
			before := store.asked
			b.ReportAllocs()
			for b.Loop() {
				v, err := s.Caller(b.Context(), bearer, true)
				if err != nil || !v.May("code:change") {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(store.asked-before), "sql")
		})
	}
}

// counting counts look-ups of who somebody is.
type counting struct {
	identity.Store
	asked int
}

func (c *counting) SessionByHash(ctx context.Context, h identity.Hash) (identity.Session, error) {
	c.asked++
	return c.Store.SessionByHash(ctx, h)
}

func (c *counting) User(ctx context.Context, id identity.UserID) (identity.User, error) {
	c.asked++
	return c.Store.User(ctx, id)
}

func (c *counting) Keys(ctx context.Context) ([]identity.Key, error) {
	c.asked++
	return c.Store.Keys(ctx)
}

package ldap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/tlsclient"
	"github.com/chopmark/chopmark/test/servers"
)

func open(t *testing.T, s *servers.LDAP, change func(c *Config)) *Directory {
	t.Helper()
	trust, err := tlsclient.Config(s.CA)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{URL: s.URL, TLS: trust, Users: "ou=people,dc=example,dc=com", UserFilter: "(|(uid={login})(mail={login}))", Groups: "ou=groups,dc=example,dc=com"}
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestLook: against a real server, by StartTLS and by TLS, with and without an account that
// searches: the person, a name that lasts, and the groups.
func TestLook(t *testing.T) {
	t.Parallel()
	s := servers.StartLDAP(t, "alice alice-secret bosses packers", "bob bob-secret packers", "carol -")
	for name, change := range map[string]func(c *Config){
		"StartTLS": nil,
		"TLS":      func(c *Config) { c.URL = s.TLSURL },
		"bound":    func(c *Config) { c.BindDN, c.BindPassword = "cn=root,dc=example,dc=com", "root-secret" },
	} {
		d := open(t, s, change)
		e, err := d.Look(t.Context(), "alice", "alice-secret")
		if err != nil || e.DN != "uid=alice,ou=people,dc=example,dc=com" || e.Name != "Name of alice" || len(e.ID) != 36 || !strings.HasSuffix(e.Mail, "@example.com") {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		for _, g := range []string{"bosses", "packers", "cn=bosses,ou=groups,dc=example,dc=com"} {
			if !slices.Contains(e.Groups, g) {
				t.Errorf("%s: the groups %v lack %s", name, e.Groups, g)
			}
		}
		if e, err := d.Look(t.Context(), "bob@example.com", "bob-secret"); err != nil || slices.Contains(e.Groups, "bosses") {
			t.Errorf("%s: by mail %+v, %v", name, e, err)
		}
		for _, c := range [][2]string{{"alice", "bob-secret"}, {"nobody", "x"}, {"carol", "x"}, {"shared@example.com", "alice-secret"}} {
			if e, err := d.Look(t.Context(), c[0], c[1]); !errors.Is(err, ErrRefused) || errors.Is(err, ErrAway) || e.DN != "" {
				t.Errorf("%s: %v: %+v, %v", name, c, e, err)
			}
		}
	}
}

// TestFiltersAreNotInjected: what would widen the filter, were it part of it, finds nobody.
func TestFiltersAreNotInjected(t *testing.T) {
	t.Parallel()
	s := servers.StartLDAP(t, "alice alice-secret bosses")
	d := open(t, s, nil)
	for _, login := range []string{
		"*", "a*", "*)(uid=*", "alice)(|(uid=*", "alice)(&(uid=alice", `\61lice`, "alice\x00", "*)(objectClass=*", "ali{dn}ce", "(", ")", `\`, "alice))(|(mail=*",
	} {
		if e, err := d.Look(t.Context(), login, "alice-secret"); !errors.Is(err, ErrRefused) {
			t.Errorf("%q finds %+v, %v", login, e, err)
		}
	}
	if got := fill("(uid={login})(dn={dn})", "{dn}", "*"); got != `(uid={dn})(dn=\2a)` {
		t.Errorf("filled: %s", got)
	}
}

// TestEmptyPasswords: a bind without a password succeeds everywhere, and is nobody's.
func TestEmptyPasswords(t *testing.T) {
	t.Parallel()
	s := servers.StartLDAP(t, "alice alice-secret bosses")
	d := open(t, s, nil)
	for _, c := range [][2]string{{"alice", ""}, {"", ""}, {"", "alice-secret"}} {
		if _, err := d.Look(t.Context(), c[0], c[1]); !errors.Is(err, ErrRefused) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestAway: a server that is not there, is another, or refuses who searches, is no wrong
// password; and nothing is said to a server that was not believed.
func TestAway(t *testing.T) {
	t.Parallel()
	s := servers.StartLDAP(t, "alice alice-secret bosses")
	for name, change := range map[string]func(c *Config){
		"nobody listens":       func(c *Config) { c.URL = "ldap://127.0.0.1:1" },
		"another's StartTLS":   func(c *Config) { c.TLS = nil },
		"another's TLS":        func(c *Config) { c.URL, c.TLS = s.TLSURL, nil },
		"who searches is gone": func(c *Config) { c.BindDN, c.BindPassword = "cn=root,dc=example,dc=com", "old" },
		"no such place":        func(c *Config) { c.Users = "ou=nowhere,dc=example,dc=com" },
	} {
		if _, err := open(t, s, change).Look(t.Context(), "alice", "alice-secret"); !errors.Is(err, ErrAway) || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := open(t, s, nil).Look(ctx, "alice", "alice-secret"); !errors.Is(err, ErrAway) {
		t.Errorf("out of time: %v", err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	good := Config{URL: "ldaps://host", Users: "dc=example"}
	for name, change := range map[string]func(c *Config){
		"no scheme": func(c *Config) { c.URL = "host" }, "web": func(c *Config) { c.URL = "https://host" }, "password": func(c *Config) { c.URL = "ldaps://a:b@host" },
		"no base": func(c *Config) { c.Users = "" }, "base": func(c *Config) { c.Users = "people" }, "filter": func(c *Config) { c.UserFilter = "(uid={login}" },
		"filter of nobody": func(c *Config) { c.UserFilter = "(uid=alice)" }, "groups": func(c *Config) { c.GroupFilter = "(member={dn}" },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
}

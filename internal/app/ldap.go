package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/ldap"
	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

// LDAPConfig is a directory of people.
type LDAPConfig struct {
	URL, CA                 string // "" = none; "" = the authorities of the machine
	BindDN, BindPassword    string
	Users, UserFilter       string
	Groups, GroupFilter, ID string
	Roles                   []string // "group=role"; the group may be a DN, so the last "=" parts them
	Tenant                  string
}

// directory opens what --ldap-url names; nil = none.
func (c *LDAPConfig) directory() (identity.Elsewhere, error) {
	if c.URL == "" {
		return nil, nil //nolint:nilnil // none is an answer here
	}
	if len(c.Roles) == 0 {
		return nil, usage("ldap-url", "needs at least one --ldap-role GROUP=ROLE")
	}
	p := people{tenant: identity.TenantID(cmp.Or(c.Tenant, string(identity.Platform))), issuer: "ldap " + c.URL}
	for _, text := range c.Roles {
		at := strings.LastIndexByte(text, '=')
		if at < 1 || at == len(text)-1 {
			return nil, usage("ldap-role", "%q is not GROUP=ROLE", text)
		}
		p.roles = append(p.roles, [2]string{text[:at], text[at+1:]})
	}
	trust, err := tlsclient.Config(c.CA)
	if err != nil {
		return nil, usage("ldap-ca", "%v", err)
	}
	p.directory, err = ldap.New(ldap.Config{
		URL: c.URL, TLS: trust, BindDN: c.BindDN, BindPassword: c.BindPassword, Users: c.Users, UserFilter: c.UserFilter,
		Groups: c.Groups, GroupFilter: c.GroupFilter, ID: c.ID,
	})
	if err != nil {
		return nil, usage("ldap-url", "and its settings: %v", err)
	}
	return p, nil
}

// people are those of the directory.
type people struct {
	directory *ldap.Directory
	issuer    string
	tenant    identity.TenantID
	roles     [][2]string // the first that fits counts
}

var errDirectoryAway = fault.New(fault.Unavailable, "ldap.unavailable", "the directory of people does not answer; try again")

// Look implements identity.Elsewhere.
func (p people) Look(ctx context.Context, login, password string) (who identity.Provided, _ error) {
	e, err := p.directory.Look(ctx, login, password)
	if errors.Is(err, ldap.ErrRefused) {
		return who, identity.ErrRefused
	}
	if err != nil {
		return who, errDirectoryAway.Because(err)
	}
	who = identity.Provided{Issuer: p.issuer, Subject: e.ID, Tenant: p.tenant, Person: identity.Person{Name: cmp.Or(e.Name, login), Email: e.Mail}}
	for _, r := range p.roles {
		if slices.ContainsFunc(e.Groups, func(g string) bool { return strings.EqualFold(g, r[0]) }) {
			who.Role = identity.Role(r[1])
			break
		}
	}
	return who, nil
}

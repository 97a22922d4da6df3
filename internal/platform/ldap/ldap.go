// Package ldap asks a directory who somebody is: it finds the entry, binds as it with the
// password, and reads the groups.
//
// Promise: what somebody types is a value in a filter and never a part of one
// (TestFiltersAreNotInjected); an empty password binds nobody (TestEmptyPasswords); no
// password crosses a network without TLS; a directory that is away is told apart from a
// wrong password.
package ldap

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Config names the directory and how it is laid out. In filters {login} and {dn} stand for
// what is looked for.
type Config struct {
	URL          string // ldaps://host, or ldap://host with StartTLS
	TLS          *tls.Config
	BindDN       string // who searches; "" = nobody in particular
	BindPassword string
	Users        string // below which entries of people are
	UserFilter   string
	Groups       string // below which groups are; "" = what memberOf of the person says
	GroupFilter  string
	ID           string // the attribute that names a person for good
}

// The usual values.
const (
	UserFilter  = "(|(uid={login})(sAMAccountName={login})(mail={login}))"
	GroupFilter = "(|(member={dn})(uniqueMember={dn})(memberUid={login}))"
	ID          = "entryUUID"
)

// Entry is a person of the directory.
type Entry struct {
	ID, DN, Name, Mail string
	Groups             []string // DNs and short names
}

// What is told apart.
var (
	ErrRefused = errors.New("ldap: nobody of this name and password")
	ErrAway    = errors.New("ldap: the directory does not answer")
)

const (
	timeout   = 5 * time.Second
	groupsMax = 1000
)

// Directory is one.
type Directory struct {
	cfg   Config
	host  string
	plain bool // ldap://, which begins TLS
	local bool
}

// New checks what can be checked without the directory.
func New(c Config) (*Directory, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, errors.New("must be ldaps://host[:port] or ldap://host[:port]")
	}
	for to, usual := range map[*string]string{&c.UserFilter: UserFilter, &c.GroupFilter: GroupFilter, &c.ID: ID} {
		if *to == "" {
			*to = usual
		}
	}
	if _, err := ldap.ParseDN(c.Users); err != nil || c.Users == "" {
		return nil, fmt.Errorf("%q is no DN of where people are", c.Users)
	}
	if !strings.Contains(c.UserFilter, "{login}") {
		return nil, fmt.Errorf("the filter %q has no {login}", c.UserFilter)
	}
	for _, filter := range []string{c.UserFilter, c.GroupFilter} {
		if _, err := ldap.CompileFilter(fill(filter, "x", "x")); err != nil {
			return nil, fmt.Errorf("the filter %q: %w", filter, err)
		}
	}
	ip := net.ParseIP(u.Hostname())
	return &Directory{cfg: c, host: u.Hostname(), plain: u.Scheme == "ldap", local: u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()}, nil
}

// fill puts values into a filter, as values.
func fill(filter, login, dn string) string {
	return strings.NewReplacer("{login}", ldap.EscapeFilter(login), "{dn}", ldap.EscapeFilter(dn)).Replace(filter)
}

// Look finds who has a login and a password. Its errors are ErrRefused or ErrAway.
func (d *Directory) Look(ctx context.Context, login, password string) (e Entry, _ error) {
	if login == "" || password == "" { // a bind without a password is one of nobody, and succeeds
		return e, ErrRefused
	}
	conn, err := d.dial()
	if err != nil {
		return e, err
	}
	defer func() { _ = conn.Close() }() // everything was read
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	entry, err := d.find(conn, login)
	if err != nil {
		return e, err
	}
	if err := conn.Bind(entry.DN, password); err != nil {
		return e, said(err)
	}
	e = Entry{
		ID: entry.DN, DN: entry.DN, Name: first(entry.GetAttributeValue("displayName"), entry.GetAttributeValue("cn")),
		Mail: entry.GetAttributeValue("mail"), Groups: names(entry.GetAttributeValues("memberOf")),
	}
	if raw := entry.GetRawAttributeValue(d.cfg.ID); len(raw) > 0 {
		e.ID = text(raw)
	}
	if d.cfg.Groups == "" {
		return e, nil
	}
	if err := d.search(conn); err != nil { // as who may read groups
		return e, err
	}
	groups, err := conn.Search(d.ask(d.cfg.Groups, groupsMax, fill(d.cfg.GroupFilter, login, entry.DN), "cn"))
	if err != nil {
		return e, away(err)
	}
	for _, g := range groups.Entries {
		e.Groups = append(e.Groups, g.DN, g.GetAttributeValue("cn"))
	}
	return e, nil
}

func (d *Directory) dial() (*ldap.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.cfg.TLS != nil {
		config = d.cfg.TLS.Clone()
	}
	config.ServerName = d.host
	conn, err := ldap.DialURL(d.cfg.URL, ldap.DialWithDialer(&net.Dialer{Timeout: timeout}), ldap.DialWithTLSConfig(config))
	if err != nil {
		return nil, away(err)
	}
	conn.SetTimeout(timeout)
	if d.plain {
		if err := conn.StartTLS(config); err != nil && !(d.local && ldap.IsErrorAnyOf(err, ldap.LDAPResultProtocolError, ldap.LDAPResultUnwillingToPerform, ldap.LDAPResultUnavailable)) { //nolint:staticcheck // it reads as it is meant
			return nil, errors.Join(away(err), conn.Close())
		}
	}
	if err := d.search(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// search makes the connection that of who searches.
func (d *Directory) search(conn *ldap.Conn) error {
	if d.cfg.BindDN == "" {
		return nil
	}
	if err := conn.Bind(d.cfg.BindDN, d.cfg.BindPassword); err != nil {
		return away(fmt.Errorf("bind as %s: %w", d.cfg.BindDN, err))
	}
	return nil
}

// find gives the one entry of a login: none and several are nobody.
func (d *Directory) find(conn *ldap.Conn, login string) (*ldap.Entry, error) {
	found, err := conn.Search(d.ask(d.cfg.Users, 2, fill(d.cfg.UserFilter, login, ""), "cn", "displayName", "mail", "memberOf", d.cfg.ID))
	if err != nil && !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return nil, away(err)
	}
	if err != nil || len(found.Entries) != 1 {
		return nil, ErrRefused
	}
	return found.Entries[0], nil
}

func (d *Directory) ask(base string, most int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, most, int(timeout/time.Second), false, filter, attributes, nil)
}

// said is what the answer to a bind means.
func said(err error) error {
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultConstraintViolation, ldap.LDAPResultInsufficientAccessRights) {
		return ErrRefused
	}
	return away(err)
}

func away(err error) error { return fmt.Errorf("%w: %w", ErrAway, err) }

// text is an identifier that may be binary, as Active Directory's objectGUID is.
func text(raw []byte) string {
	for _, b := range raw {
		if b < ' ' || b > '~' {
			return hex.EncodeToString(raw)
		}
	}
	return string(raw)
}

// names are groups by DN and by their short name.
func names(dns []string) (all []string) {
	for _, dn := range dns {
		all = append(all, dn)
		if parsed, err := ldap.ParseDN(dn); err == nil && len(parsed.RDNs) > 0 && len(parsed.RDNs[0].Attributes) == 1 {
			all = append(all, parsed.RDNs[0].Attributes[0].Value)
		}
	}
	return all
}

func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// Package mtls is how processes of one installation know each other: certificates of
// a small authority of their own, each naming the roles of its holder.
//
// Promise: both sides of a connection hold a certificate of the authority that has
// not expired and names a role that the other asks for; TLS 1.3 only. A certificate
// of anybody else, also a public one, is refused (TestRefusals).
package mtls

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Files name a process's certificate, its key and the authority that it trusts, PEM.
// Certificate and key are read again at every handshake, so they may be renewed in
// their place.
type Files struct{ Cert, Key, CA string }

// The URI that names a role in a certificate is roleURI + role.
const (
	roleScheme = "chopmark"
	roleHost   = "role"
)

func roleURI(role string) *url.URL {
	return &url.URL{Scheme: roleScheme, Host: roleHost, Path: "/" + role}
}

// Roles are those that a certificate names.
func Roles(c *x509.Certificate) (roles []string) {
	for _, u := range c.URIs {
		if u.Scheme == roleScheme && u.Host == roleHost {
			roles = append(roles, strings.TrimPrefix(u.Path, "/"))
		}
	}
	return roles
}

// ErrRole answers a peer whose certificate names no role that may ask this.
var ErrRole = fault.New(fault.Denied, "role.denied", "the caller's certificate names no role that may ask this")

// named reports whether a certificate names one of the roles.
func named(c *x509.Certificate, roles []string) bool {
	return slices.ContainsFunc(Roles(c), func(r string) bool { return slices.Contains(roles, r) })
}

// Own reads the process's own certificate.
func (f Files) Own() (*x509.Certificate, error) {
	pair, err := f.pair()
	if err != nil {
		return nil, err
	}
	return pair.Leaf, nil
}

func (f Files) pair() (*tls.Certificate, error) {
	st, err := os.Stat(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read role key: %w", err)
	}
	owner := uint32(os.Geteuid())
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		owner = sys.Uid
	}
	if exposed(st.Mode().Perm(), owner, uint32(os.Geteuid())) {
		return nil, fault.New(fault.Unavailable, "role.exposed", "others than its owner have access to the role key %s (mode %04o): run `chmod 600 %s`",
			f.Key, st.Mode().Perm(), f.Key)
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read role certificate: %w", err)
	}
	return &pair, nil
}

// exposed reports whether others than the process may have a key of this mode. What
// root mounts for a process's group is its own: Kubernetes gives secrets to a process
// without root in no other way.
func exposed(mode os.FileMode, owner, self uint32) bool {
	if owner == 0 && self != 0 {
		return mode&0o037 != 0
	}
	return mode&0o077 != 0
}

func (f Files) authority() (*x509.CertPool, error) {
	raw, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read authority of roles: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("read authority of roles: %s holds no certificate", f.CA)
	}
	return pool, nil
}

// Secret derives a key from the process's private key, for what it alone may read.
func (f Files) Secret(label string) (key [32]byte, _ error) {
	if _, err := f.pair(); err != nil {
		return key, err
	}
	raw, err := os.ReadFile(f.Key)
	if err != nil {
		return key, fmt.Errorf("read role key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return key, errors.New("the role key is not PEM")
	}
	sub, err := hkdf.Key(sha256.New, block.Bytes, nil, "chopmark/role/"+label, len(key))
	return [32]byte(sub), err
}

// Server gives what a listener for other roles needs. Any certificate of the
// authority is let in; Peer tells its roles.
func (f Files) Server(c clock.Clock) (credentials.TransportCredentials, error) {
	pool, err := f.authority()
	if err != nil {
		return nil, err
	}
	if _, err := f.pair(); err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, Time: c.Now,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.pair() },
		SessionTicketsDisabled: true, // each connection shows its certificate
	}), nil
}

// Client gives what a connection to a process with one of the roles needs. The
// server is known by its role and not by its host's name, which may change.
func (f Files) Client(c clock.Clock, roles ...string) (credentials.TransportCredentials, error) {
	pool, err := f.authority()
	if err != nil {
		return nil, err
	}
	if _, err := f.pair(); err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Time: c.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return f.pair() },
		InsecureSkipVerify:   true, //nolint:gosec // VerifyConnection does all of it but the host's name
		VerifyConnection: func(s tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, cert := range s.PeerCertificates[1:] {
				between.AddCert(cert)
			}
			leaf := s.PeerCertificates[0]
			_, err := leaf.Verify(x509.VerifyOptions{
				Roots: pool, Intermediates: between, CurrentTime: c.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			})
			if err != nil {
				return fmt.Errorf("the server's certificate is not of our authority: %w", err)
			}
			if !named(leaf, roles) {
				return fmt.Errorf("the server's certificate names the roles %v, one of %v is needed", Roles(leaf), roles)
			}
			return nil
		},
	}), nil
}

// Peer is the name in the certificate of a call's connection, which must name one of
// the roles.
func Peer(ctx context.Context, roles ...string) (name string, _ error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", ErrRole
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", ErrRole
	}
	leaf := info.State.VerifiedChains[0][0]
	if !named(leaf, roles) {
		return "", ErrRole
	}
	return leaf.Subject.CommonName, nil
}

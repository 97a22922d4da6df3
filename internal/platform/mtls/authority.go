package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The names of an authority's files, and how long things last.
const (
	fileCA    = "ca.pem"
	fileCAKey = "ca-key.pem"

	authorityLife = 20 * 365 * 24 * time.Hour
	// DefaultLife is a role certificate's.
	DefaultLife = 2 * 365 * 24 * time.Hour
	backdate    = time.Hour // clocks differ
)

// NewAuthority makes an authority in dir: ca.pem, which every process needs, and
// ca-key.pem, which none does. What is there already is never replaced.
func NewAuthority(dir string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Chopmark roles"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make authority: %w", err)
	}
	return write(dir, fileCA, fileCAKey, der, key)
}

// Grant is what a certificate says of its holder.
type Grant struct {
	Name  string // of the process: edge-1
	Roles []string
	Life  time.Duration // 0 = DefaultLife
}

// Issue makes a certificate in out: NAME.pem, NAME-key.pem, and a copy of ca.pem.
func Issue(authority, out string, g Grant, now time.Time) error {
	if g.Name == "" || len(g.Name) > 64 || strings.Trim(g.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || g.Name[0] == '.' {
		return fault.Field("usage", "name", "must be 1 to 64 letters, digits, dots, hyphens and underscores")
	}
	ca, err := tls.LoadX509KeyPair(filepath.Join(authority, fileCA), filepath.Join(authority, fileCAKey))
	if err != nil {
		return fmt.Errorf("read authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	if g.Life == 0 {
		g.Life = DefaultLife
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: g.Name},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(g.Life),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{},
	}
	for _, role := range g.Roles {
		template.URIs = append(template.URIs, roleURI(role))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		return fmt.Errorf("make certificate: %w", err)
	}
	if err := write(out, g.Name+".pem", g.Name+"-key.pem", der, key); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(authority, fileCA))
	if err != nil {
		return fmt.Errorf("read authority: %w", err)
	}
	return os.WriteFile(filepath.Join(out, fileCA), raw, 0o600) //nolint:gosec // the operator names the directory
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n, nil
}

// write makes both files, or says that one is there.
func write(dir, certFile, keyFile string, der []byte, key crypto.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(
		create(filepath.Join(dir, keyFile), "PRIVATE KEY", raw),
		create(filepath.Join(dir, certFile), "CERTIFICATE", der),
	)
}

func create(path, kind string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fault.New(fault.Conflict, "role.exists", "%s is there already; move it away first", path)
	}
	if err != nil {
		return err
	}
	return errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: raw}), f.Sync(), f.Close())
}

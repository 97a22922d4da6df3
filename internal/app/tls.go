package app

import (
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
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	selfSignedLife  = 397 * 24 * time.Hour // what browsers accept at most
	selfSignedRenew = 30 * 24 * time.Hour
)

// tlsFiles are the given certificate and key, or the self-signed ones of the data
// directory, which are made when they are missing, old or for other addresses.
func (a *App) tlsFiles() (certFile, keyFile string, _ error) {
	if !a.TLSSelfSigned {
		return a.TLSCert, a.TLSKey, nil
	}
	certFile = filepath.Join(a.Data, dirTLS, "cert.pem")
	keyFile = filepath.Join(a.Data, dirTLS, "key.pem")
	if !a.stillGood(certFile, keyFile) {
		if err := a.makeCertificate(certFile, keyFile); err != nil {
			return "", "", fmt.Errorf("make self-signed certificate: %w", err)
		}
	}
	return certFile, keyFile, nil
}

func (a *App) stillGood(certFile, keyFile string) bool {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return false
	}
	return pair.Leaf.NotAfter.Sub(a.clock.Now()) > selfSignedRenew && pair.Leaf.VerifyHostname(lanAddress()) == nil
}

// makeCertificate makes an ECDSA certificate for localhost and this machine.
func (a *App) makeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := a.clock.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Chopmark self-signed"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(lanAddress()); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.MkdirAll(filepath.Dir(certFile), 0o700),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
	)
}

// Package tlsclient is how this program trusts the servers that it works with.
package tlsclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config trusts the authorities of a PEM file, and nobody else; "" = those of the
// machine. The server's name is what the connection is made to.
func Config(caFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("read authorities: " + caFile + " holds no certificate in PEM")
	}
	return c, nil
}

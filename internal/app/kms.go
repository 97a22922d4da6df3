package app

import (
	"bytes"
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/kms"
	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

// KMSConfig names a server that keeps keys.
type KMSConfig struct {
	URL, Token, CA string        // "" = none
	Hold           time.Duration // how long a key is held in memory; 0 = an hour
}

const (
	kmsHold    = time.Hour
	kmsHoldMin = time.Minute
	kmsHoldMax = 24 * time.Hour
)

// ErrNeedsKMS says that persons were sealed under a key that the operator's server keeps.
var ErrNeedsKMS = fault.New(fault.Unavailable, "kms.needed", "persons are sealed under a key that a server keeps: start with --kms")

// open makes the client; nil when there is no server.
func (c *KMSConfig) open() (*kms.Transit, error) {
	if c.URL == "" {
		return nil, nil //nolint:nilnil // none is an answer here
	}
	if c.Hold == 0 {
		c.Hold = kmsHold
	}
	if c.Hold < kmsHoldMin || c.Hold > kmsHoldMax {
		return nil, usage("kms-hold", "must be between %s and %s", kmsHoldMin, kmsHoldMax)
	}
	trust, err := tlsclient.Config(c.CA)
	if err != nil {
		return nil, usage("kms-ca", "%v", err)
	}
	t, err := kms.New(kms.Config{URL: c.URL, Token: c.Token, TLS: trust})
	if err != nil {
		return nil, usage("kms", "with CHOPMARK_KMS_TOKEN: %v", err)
	}
	return t, nil
}

// parseKEK reads the key that wraps keys, which the server may have sealed.
func (a *App) parseKEK(ctx context.Context, text []byte) (*keyset.KEK, error) {
	sealed := string(bytes.TrimSpace(text))
	if !kms.IsSealed(sealed) {
		return keyset.ParseKEK(text)
	}
	server, err := a.KMS.open()
	if err != nil {
		return nil, err
	}
	if server == nil {
		return nil, usage("kek", "was sealed by a server that keeps keys: name it with --kms")
	}
	raw, err := server.Open(ctx, sealed)
	if err != nil {
		return nil, err
	}
	return keyset.ParseKEK(raw)
}

// keeper gives what wraps the data keys of persons from the server; nil when there is none
// and never was.
func (a *App) keeper(ctx context.Context, store *identitysql.Store) (func() ([32]byte, error), error) {
	sealed, err := store.SealedKey(ctx)
	if err != nil {
		return nil, err
	}
	server, err := a.KMS.open()
	switch {
	case err != nil:
		return nil, err
	case server == nil && sealed != "":
		return nil, ErrNeedsKMS
	case server == nil:
		return nil, nil //nolint:nilnil // none is an answer here
	case sealed == "":
		if _, sealed, err = server.NewKey(ctx); err != nil {
			return nil, err
		}
		if sealed, err = store.KeepSealedKey(ctx, sealed); err != nil {
			return nil, err
		}
	}
	held, err := kms.Hold(server, sealed, a.KMS.Hold, a.clock)
	if err != nil {
		return nil, err
	}
	return held.Key, nil
}

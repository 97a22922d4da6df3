package notify

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// A fed endpoint gets no events of the feed: another domain puts documents on their way to
// it. Its deliveries are signed with a token that the receiver chose, which is kept sealed.

const (
	// TokenBytesMax bounds a receiver's token.
	TokenBytesMax = 512
	// DocumentBytesMax bounds a document.
	DocumentBytesMax = 12 << 20
)

// errTooLong is no caller's fault: who feeds knows the bound.
var errTooLong = errors.New("notify: a document is too long")

// OpenFed makes a fed endpoint. One that is there already is left as it is.
func (s *Service) OpenFed(ctx context.Context, id EndpointID, actor string, brand ids.BrandID, url, token string) error {
	if err := checkURL(url); err != nil {
		return err
	}
	if len(token) > TokenBytesMax {
		return fault.Field("webhook.bad_token", "signatureToken", "must have %d bytes at most", TokenBytesMax)
	}
	e := Endpoint{ID: id, Brand: brand, URL: url, CreatedBy: actor, CreatedAt: s.clock.Now()}
	return s.store.AddFed(ctx, e, s.sealToken(id, token))
}

// Feed puts a document on its way to a fed endpoint. To one that was removed it is no error.
func (s *Service) Feed(ctx context.Context, id EndpointID, document string, body []byte) error {
	if len(body) > DocumentBytesMax {
		return errTooLong
	}
	now := s.clock.Now()
	return s.store.Feed(ctx, &Delivery{Endpoint: id, Event: document, Body: body, DueAt: now, CreatedAt: now})
}

// OnTheWay reports whether something waits to be delivered to a fed endpoint, and whether a
// document was given up.
func (s *Service) OnTheWay(ctx context.Context, id EndpointID, document string) (waiting, dead bool, _ error) {
	return s.store.OnTheWay(ctx, id, document)
}

// GivenUp tells what was given up of each of some endpoints. One of which nothing was is not
// among them.
func (s *Service) GivenUp(ctx context.Context, of []EndpointID) (map[EndpointID]GivenUp, error) {
	if len(of) == 0 {
		return nil, nil
	}
	return s.store.GivenUp(ctx, of)
}

// gcm seals tokens: under a key of their own, so that none is ever used for signatures too.
func (s *Service) gcm() cipher.AEAD {
	m := hmac.New(sha256.New, s.key[:])
	m.Write([]byte("tokens of fed endpoints"))
	block, err := aes.NewCipher(m.Sum(nil))
	if err != nil {
		panic(err) // cannot be: 32 bytes are a key
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // cannot be: AES has the block size
	}
	return aead
}

func (s *Service) sealToken(id EndpointID, token string) []byte {
	return s.gcm().Seal(nil, nil, []byte(token), []byte(id)) //nolint:gosec // the cipher makes its own nonce
}

// post is what is sent of a delivery.
func (s *Service) post(d *Delivery) (*Post, error) {
	p := &Post{ID: d.Event, At: s.clock.Now(), Body: d.Body}
	if len(d.Sealed) == 0 {
		p.ContentType, p.SignedAs = "application/cloudevents+json", "Webhook-Signature"
		p.Signature = secretOf(s.key, d.Endpoint).Sign(d.Event, p.At, d.Body)
		return p, nil
	}
	p.ContentType, p.SignedAs = "application/json", "GS1-Signature"
	token, err := s.gcm().Open(nil, nil, d.Sealed, []byte(d.Endpoint))
	if err != nil {
		return nil, fmt.Errorf("the token of endpoint %s cannot be read: %w", d.Endpoint, err)
	}
	if len(token) > 0 {
		m := hmac.New(sha256.New, token)
		m.Write(d.Body)
		p.Signature = "sha256=" + hex.EncodeToString(m.Sum(nil))
	}
	return p, nil
}

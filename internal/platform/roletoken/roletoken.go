// Package roletoken is how a process says to another of its installation on whose behalf it
// calls: a short signed word beside the certificate of the connection.
//
// Promise: a token that was changed, has expired, is for another role, or is shown by another
// process than it names is refused (TestRefusals); it lives for a minute. It is a JSON Web
// Token with one algorithm, so that other tools can read it, and none can choose another.
package roletoken

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ErrRefused answers a call whose token is not good.
var ErrRefused = fault.New(fault.Denied, "role.bad_token", "the call carries no good token of its role")

// Behalf is for whom a call is made.
type Behalf struct {
	User      string // a consumer's account or a person's id; "" = nobody who is signed in
	Brand     int32  // whose goods it is about; 0 = those of all
	RequestID string // of the request that caused it
}

type behalfKey struct{}

// On lets the calls of a context be made on somebody's behalf.
func On(ctx context.Context, b Behalf) context.Context { return context.WithValue(ctx, behalfKey{}, b) }

// Of is on whose behalf a context is.
func Of(ctx context.Context) Behalf {
	b, _ := ctx.Value(behalfKey{}).(Behalf)
	return b
}

// Claims are what a token says.
type Claims struct {
	Issuer   string   `json:"iss"` // the name in the caller's certificate
	Audience string   `json:"aud"` // the role that is called
	User     string   `json:"user_id,omitempty"`
	Brand    int32    `json:"brand_id,omitempty"`
	Roles    []string `json:"roles"` // of the caller
	Issued   int64    `json:"iat"`
	Expires  int64    `json:"exp"`
	ID       string   `json:"jti,omitempty"` // the request's
}

// Behalf is for whom the token speaks.
func (c *Claims) Behalf() Behalf { return Behalf{c.User, c.Brand, c.ID} }

const (
	header   = `{"alg":"HS256","typ":"JWT"}`
	life     = time.Minute
	skew     = 30 * time.Second // that two clocks may differ
	tokenMax = 2 << 10
)

// Keys gives the keys of the installation, what is signed with first.
type Keys func() [][32]byte

// Signer makes tokens of one process.
type Signer struct {
	Keys     Keys
	Now      func() time.Time
	Name     string // in the certificate
	Roles    []string
	Audience string
}

// Sign gives the token of a call.
func (s *Signer) Sign(b Behalf) (string, error) {
	now := s.Now()
	body, err := json.Marshal(Claims{s.Name, s.Audience, b.User, b.Brand, s.Roles, now.Unix(), now.Add(life).Unix(), b.RequestID})
	if err != nil {
		return "", err
	}
	text := encode([]byte(header)) + "." + encode(body)
	return text + "." + encode(sign(s.Keys()[0], text)), nil
}

func sign(key [32]byte, text string) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(text))
	return h.Sum(nil)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Checker reads tokens that are for one role.
type Checker struct {
	Keys     Keys
	Now      func() time.Time
	Audience string
	Callers  []string // the roles that may call
}

// Check reads the token of a call that the process of a name makes.
func (c *Checker) Check(token, name string) (claims Claims, _ error) {
	text, signature, ok := cutLast(token)
	head, body, two := strings.Cut(text, ".")
	if len(token) > tokenMax || !ok || !two || head != encode([]byte(header)) || !c.signed(text, signature) {
		return Claims{}, ErrRefused
	}
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return Claims{}, ErrRefused
	}
	now := c.Now()
	switch {
	case claims.Audience != c.Audience, claims.Issuer == "" || claims.Issuer != name,
		!now.Before(time.Unix(claims.Expires, 0).Add(skew)), now.Before(time.Unix(claims.Issued, 0).Add(-skew)),
		claims.Expires-claims.Issued > int64(life/time.Second),
		!slices.ContainsFunc(claims.Roles, func(r string) bool { return slices.Contains(c.Callers, r) }):
		return Claims{}, ErrRefused
	}
	return claims, nil
}

func cutLast(token string) (text, last string, ok bool) {
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return "", "", false
	}
	return token[:at], token[at+1:], true
}

func (c *Checker) signed(text, signature string) bool {
	got, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(c.Keys(), func(key [32]byte) bool { return hmac.Equal(got, sign(key, text)) })
}

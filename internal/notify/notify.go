// Package notify tells other programs of facts by webhooks: who registers an endpoint for a
// brand gets every event of the brand that is told from then on.
//
// Promise: an event is delivered at least once to each of its brand's endpoints, or is kept
// as a dead letter that can be tried again; a delivery carries the event's id at every try
// and is signed with a secret that the endpoint alone has (TestDeliveries, TestSignature).
// An endpoint that does not answer holds up no other one (TestOneIsAway).
package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Group is the name of those who are told, as the seeds name it: of its place in the order
// of commit, and of its dead letters.
const Group = "notification-group"

// The limits.
const (
	EndpointsMax = 20 // of a brand
	urlBytesMax  = 2000
	typesMax     = 20
	ReasonMax    = 500 // bytes of what is kept of a failure
)

// EndpointID names an endpoint.
type EndpointID string

// Endpoint is where a brand's events go.
type Endpoint struct {
	ID        EndpointID
	Brand     ids.BrandID
	URL       string
	Types     []string // of events; none = all
	CreatedBy string
	CreatedAt time.Time
}

// Wants reports whether events of a type go there.
func (e *Endpoint) Wants(kind string) bool {
	return len(e.Types) == 0 || slices.Contains(e.Types, kind)
}

// Delivery is an event on its way to one endpoint.
type Delivery struct {
	Endpoint  EndpointID
	URL       string
	Event     string // its id
	Body      []byte // a CloudEvent in JSON; of a fed endpoint a document
	Sealed    []byte // a fed endpoint's token; of others empty
	Tries     int    // that failed
	Reason    string // of the last failure
	DueAt     time.Time
	CreatedAt time.Time
	Dead      bool // nobody tries any more by himself
}

// GivenUp is what an endpoint did not take.
type GivenUp struct {
	Count  int
	Reason string // of one of them
}

// What a caller may be told.
var (
	ErrUnknownEndpoint  = fault.New(fault.NotFound, "webhook.unknown", "there is no such webhook")
	ErrTooManyEndpoints = fault.New(fault.Conflict, "webhook.too_many", "a brand has at most %d webhooks: remove one first", EndpointsMax)
)

// checkURL is the rule for an endpoint's address: a secret word may be part of the path,
// so that only what is sealed may carry it. An address of this machine needs no seal.
func checkURL(text string) error {
	bad := func(why string) error { return fault.Field("webhook.bad_url", "url", "%s", why) }
	if len(text) > urlBytesMax {
		return bad("is too long")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return bad("must be https:// and a host")
	case u.User != nil || u.Fragment != "":
		return bad("must have no user and no fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"):
		return nil
	}
	return bad("must be https://, or http:// on this machine")
}

func checkTypes(types []string) error {
	if len(types) > typesMax {
		return fault.Field("webhook.bad_types", "types", "must name %d types of events at most", typesMax)
	}
	for i, t := range types {
		plain := t != "" && len(t) <= 64
		for _, r := range t {
			plain = plain && (r >= 'a' && r <= 'z' || r == '.' || r == '_')
		}
		if !plain || slices.Contains(types[:i], t) {
			return fault.Field("webhook.bad_types", "types", "must be types of events, such as code.generated, each once")
		}
	}
	return nil
}

const (
	// TriesMax is after how many failures a delivery is dead.
	TriesMax = 12
	// LifeMax is after how long a failure is the last.
	LifeMax = 72 * time.Hour

	pauseMin = 5 * time.Second
	pauseMax = time.Hour
)

// fail notes a failure: the next try comes later each time, and at last none.
func (d *Delivery) fail(now time.Time, why error) {
	d.Tries++
	d.Reason = why.Error()
	d.Reason = d.Reason[:min(len(d.Reason), ReasonMax)]
	d.Dead = d.Tries >= TriesMax || now.Sub(d.CreatedAt) >= LifeMax
	d.DueAt = now.Add(min(pauseMin<<min(d.Tries-1, 20), pauseMax))
}

// Secret is what an endpoint's deliveries are signed with. It is derived and kept nowhere.
type Secret [32]byte

// secretOf derives an endpoint's secret from the installation's key for it.
func secretOf(key [32]byte, id EndpointID) (s Secret) {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(id))
	m.Sum(s[:0])
	return s
}

// String is the form of Standard Webhooks, as it is shown once.
func (s Secret) String() string { return "whsec_" + base64.StdEncoding.EncodeToString(s[:]) }

// Sign gives what the header webhook-signature has (Standard Webhooks, version 1).
func (s Secret) Sign(id string, at time.Time, body []byte) string {
	m := hmac.New(sha256.New, s[:])
	m.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

package codebook

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// PublishedKey is a signature key as everybody may know it.
type PublishedKey struct {
	*LabelKey
	Name  string // the keyset's, for operators
	Since time.Time
	Until time.Time // zero = no end; a time that has passed is a revocation
}

// Revoked reports whether what the key signed is no longer accepted.
func (k *PublishedKey) Revoked(now time.Time) bool { return !k.Until.IsZero() && !now.Before(k.Until) }

// The document is a JWK set (RFC 7517, RFC 8037) with the members of OpenID
// Federation's historical keys.
type (
	keyDocument struct {
		Keys []jwk `json:"keys"`
	}
	jwk struct {
		Kty     string   `json:"kty"`
		Crv     string   `json:"crv"`
		Alg     string   `json:"alg"`
		Use     string   `json:"use"`
		Kid     string   `json:"kid"`
		X       string   `json:"x"`
		Name    string   `json:"key_id,omitempty"`
		Iat     int64    `json:"iat,omitempty"`
		Exp     int64    `json:"exp,omitempty"`
		Revoked *revoked `json:"revoked,omitempty"`
	}
	revoked struct {
		At int64 `json:"revoked_at"`
	}
)

// KeyDocumentBytesMax bounds a document of keys.
const KeyDocumentBytesMax = 1 << 20

// ErrKeyDocument answers what is no document of signature keys.
var ErrKeyDocument = fault.New(fault.Invalid, "label.bad_keys", "this is no document of label keys: take it from /.well-known/chopmark-keys.json")

// EncodeKeys writes the document of an installation's keys, revoked ones too.
func EncodeKeys(keys []PublishedKey, now time.Time) ([]byte, error) {
	doc := keyDocument{Keys: []jwk{}}
	for i := range keys {
		k := &keys[i]
		out := jwk{
			Kty: "OKP", Crv: "Ed25519", Alg: "EdDSA", Use: "sig", Kid: k.id.String(),
			X: base64.RawURLEncoding.EncodeToString(k.public), Name: k.Name, Iat: k.Since.Unix(),
		}
		if !k.Until.IsZero() {
			out.Exp = k.Until.Unix()
		}
		if k.Revoked(now) {
			out.Revoked = &revoked{out.Exp}
		}
		doc.Keys = append(doc.Keys, out)
	}
	return json.MarshalIndent(doc, "", " ")
}

// DecodeKeys reads such a document. Keys of other kinds are passed over.
func DecodeKeys(raw []byte) ([]PublishedKey, error) {
	var doc keyDocument
	if len(raw) > KeyDocumentBytesMax || json.Unmarshal(raw, &doc) != nil || doc.Keys == nil {
		return nil, ErrKeyDocument
	}
	var keys []PublishedKey
	for _, k := range doc.Keys {
		if k.Kty != "OKP" || k.Crv != "Ed25519" {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, ErrKeyDocument
		}
		key := PublishedKey{LabelKey: NewLabelKey([ed25519.PublicKeySize]byte(x)), Name: k.Name, Since: time.Unix(k.Iat, 0).UTC()}
		if key.id.String() != k.Kid {
			return nil, ErrKeyDocument.Textf("the key %.16q has another name than its bytes give: %s", k.Kid, key.id)
		}
		switch {
		case k.Revoked != nil:
			key.Until = time.Unix(k.Revoked.At, 0).UTC()
		case k.Exp != 0:
			key.Until = time.Unix(k.Exp, 0).UTC()
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Judgement is what a label's signature is worth without a server, in one word.
type Judgement string

// The judgements. Issued says that the brand's keys made this label; whether it was copied
// or recalled since, no signature can say.
const (
	Issued     Judgement = "issued"
	Expired    Judgement = "expired"     // issued, and its date has passed
	KeyRevoked Judgement = "key_revoked" // made with a key that is no longer accepted
	KeyUnknown Judgement = "key_unknown" // made with a key that is not in the document
	Forged     Judgement = "forged"      // the signature does not fit
)

// Judge tells what a label is worth by a set of keys.
func Judge(keys []PublishedKey, l *Label, now time.Time) Judgement {
	for i := range keys {
		k := &keys[i]
		switch {
		case k.id != l.KeyID:
			continue
		case !k.Check(l):
			return Forged
		case k.Revoked(now):
			return KeyRevoked
		case !l.Expires.IsZero() && !now.Before(l.Expires):
			return Expired
		}
		return Issued
	}
	return KeyUnknown
}

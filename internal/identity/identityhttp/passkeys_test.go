package identityhttp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/chopmark/chopmark/internal/identity"
)

// authenticator is a passkey in software: ES256, no attestation, the user always verified.
type authenticator struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	id     []byte
	handle string // of the user, as it was given
	origin string
	count  uint32
	flags  byte // user present and verified
}

var b64 = base64.RawURLEncoding

func newAuthenticator(t *testing.T, origin string) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{t: t, key: key, id: []byte("credential-of-the-test"), origin: origin, flags: 0x05}
}

func (a *authenticator) clientData(kind, challenge string) []byte {
	raw, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

func (a *authenticator) data(attested []byte) []byte {
	rp := sha256.Sum256([]byte("localhost"))
	a.count++
	flags := a.flags
	if attested != nil {
		flags |= 0x40
	}
	d := append(rp[:], flags)
	d = binary.BigEndian.AppendUint32(d, a.count)
	return append(d, attested...)
}

func (a *authenticator) cbor(v any) []byte {
	raw, err := webauthncbor.Marshal(v)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw
}

// make answers navigator.credentials.create.
func (a *authenticator) make(options map[string]any) string {
	public := options["publicKey"].(map[string]any)
	a.handle = public["user"].(map[string]any)["id"].(string)
	point, err := a.key.PublicKey.ECDH()
	if err != nil {
		a.t.Fatal(err)
	}
	xy := point.Bytes()[1:]
	attested := append(make([]byte, 16), 0, byte(len(a.id)))
	attested = append(attested, a.id...)
	attested = append(attested, a.cbor(map[int]any{1: 2, 3: -7, -1: 1, -2: xy[:32], -3: xy[32:]})...)
	object := a.cbor(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": a.data(attested)})
	return a.json(map[string]any{
		"clientDataJSON":    b64.EncodeToString(a.clientData("webauthn.create", public["challenge"].(string))),
		"attestationObject": b64.EncodeToString(object),
	})
}

// get answers navigator.credentials.get.
func (a *authenticator) get(options map[string]any) string {
	public := options["publicKey"].(map[string]any)
	client, data := a.clientData("webauthn.get", public["challenge"].(string)), a.data(nil)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, a.key, signed[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.json(map[string]any{
		"clientDataJSON": b64.EncodeToString(client), "authenticatorData": b64.EncodeToString(data), "signature": b64.EncodeToString(sig), "userHandle": a.handle,
	})
}

func (a *authenticator) json(response map[string]any) string {
	raw, err := json.Marshal(map[string]any{
		"id": b64.EncodeToString(a.id), "rawId": b64.EncodeToString(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(raw)
}

func TestPasskey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.user("root", identity.Admin)
	c := h.browser()
	h.want(h.ask(c, "POST", "/api/v1/signin", signInBody("root", "")), 200, `"enroll_first":true`)
	h.want(h.ask(c, "GET", "/api/v1/tenants", ""), 403, "auth.second_factor_needed")
	h.want(h.ask(c, "POST", "/api/v1/me/passkeys", `{"password":"wrong"}`), 403, "password.wrong")
	begun := h.want(h.ask(c, "POST", "/api/v1/me/passkeys", `{"password":"`+password+`"}`), 200, "publicKey")
	a := newAuthenticator(t, h.srv.URL)
	finish := `{"ticket":"` + begun.data["ticket"].(string) + `","name":"key ring","credential":` + a.make(begun.data["options"].(map[string]any)) + `}`
	made := h.want(h.ask(c, "POST", "/api/v1/me/passkeys/finish", finish), 200, "passkey_id")
	if n := len(made.data["recovery_codes"].([]any)); n != 10 {
		t.Errorf("%d recovery codes, want 10", n)
	}
	h.want(h.ask(c, "POST", "/api/v1/me/passkeys/finish", finish), 401, "signin.expired_step")
	h.want(h.ask(c, "GET", "/api/v1/tenants", ""), 200, "platform")
	h.want(h.ask(h.browser(), "POST", "/api/v1/signin", signInBody("root", "")), 401, "signin.second_factor")

	signIn := func(a *authenticator, status int, contains string) (again string) {
		t.Helper()
		options := h.want(h.ask(h.browser(), "POST", "/api/v1/signin/passkey", ""), 200, "publicKey")
		body := `{"ticket":"` + options.data["ticket"].(string) + `","credential":` + a.get(options.data["options"].(map[string]any)) + `}`
		fresh := h.browser()
		h.want(h.ask(fresh, "POST", "/api/v1/signin/passkey/finish", body), status, contains)
		if status == 200 {
			h.want(h.ask(fresh, "GET", "/api/v1/me", ""), 200, `"login":"root"`)
		}
		return body
	}
	body := signIn(a, 200, "ses_")
	h.want(h.ask(h.browser(), "POST", "/api/v1/signin/passkey/finish", body), 401, "signin.expired_step")
	other := *a
	other.origin = "https://evil.example"
	signIn(&other, 401, "signin.refused")
	other = *a
	other.flags = 0x01 // present, not verified
	signIn(&other, 401, "signin.refused")
	other = *a
	other.count = 0 // a copy that counts on its own
	signIn(&other, 401, "signin.refused")
	stolen := newAuthenticator(t, h.srv.URL)
	stolen.id, stolen.handle = a.id, a.handle
	signIn(stolen, 401, "signin.refused")
	a.count += 10
	signIn(a, 200, "ses_")
	id := made.data["passkey_id"].(string)
	h.want(h.ask(c, "GET", "/api/v1/me/passkeys", ""), 200, "key ring")
	h.want(h.ask(c, "POST", "/api/v1/me/passkeys/"+id+"/remove", `{"password":"`+password+`"}`), 200, "")
	h.want(h.ask(c, "GET", "/api/v1/tenants", ""), 403, "auth.second_factor_needed")
	if !strings.Contains(h.ask(c, "GET", "/api/v1/me", "").body, `"passkeys":0`) {
		t.Error("the passkey is still counted")
	}
}

package source

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// SystemID names a system.
type SystemID string

const systemPrefix = "src"

// System is another program that is asked about items, and may push.
type System struct {
	ID        SystemID
	Brand     ids.BrandID // 0 = of all brands
	Kind      string
	Name      string
	URL       string
	Token     []byte // sealed; nil = none
	Enabled   bool
	Version   int64 // grows with each change
	CreatedBy string
	CreatedAt time.Time
	Removed   bool
}

// speaksRPC reports which of the two ways a system is asked in.
func (s *System) speaksRPC() bool { return strings.HasPrefix(s.URL, "grpc") }

const urlBytesMax = 2000

// checkURL is the rule for a system's address. What a name leads to is looked at again
// when it is asked. private lets this network in, without TLS too.
func checkURL(address string, private bool) error {
	bad := func(why string) error { return fault.Field("source.bad_url", "url", "%s", why) }
	if len(address) > urlBytesMax {
		return bad("is too long")
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return bad("must be https:// or grpcs:// and a host")
	case u.User != nil || u.Fragment != "":
		return bad("must have no user and no fragment; a secret is the token")
	}
	switch u.Scheme {
	case "https":
	case "grpcs", "grpc":
		if u.Port() == "" || u.Path != "" || u.RawQuery != "" {
			return bad("of gRPC is a host and a port")
		}
	case "http":
	default:
		return bad("must be https:// or grpcs:// and a host")
	}
	if private {
		return nil
	}
	if u.Scheme == "http" || u.Scheme == "grpc" {
		return bad("must be https:// or grpcs://")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && !ip.Unmap().IsGlobalUnicast() || err == nil && ip.Unmap().IsPrivate() {
		return bad("must not lead into this network")
	}
	return nil
}

// sameHost reports whether a token for one address may go to the other.
func sameHost(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && one.Scheme == other.Scheme && one.Host == other.Host
}

// Secrets are the domain's secrets, each for one thing.
type Secrets struct {
	Seal [32]byte // seals the tokens that systems are asked with
	Push [32]byte // derives what systems sign with
}

func gcm(key [32]byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // cannot be: 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // cannot be: AES has the block size
	}
	return aead
}

// seal encrypts a system's token; none stays none.
func (s *Secrets) seal(id SystemID, token string) []byte {
	if token == "" {
		return nil
	}
	aead := gcm(s.Seal)
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce) // never fails: crypto/rand ends the process first
	return aead.Seal(nonce, nonce, []byte(token), []byte("token "+id))
}

func (s *Secrets) open(sys *System) (string, error) {
	if len(sys.Token) == 0 {
		return "", nil
	}
	aead := gcm(s.Seal)
	if len(sys.Token) < aead.NonceSize() {
		return "", fmt.Errorf("the token of source %s is cut off", sys.ID)
	}
	plain, err := aead.Open(nil, sys.Token[:aead.NonceSize()], sys.Token[aead.NonceSize():], []byte("token "+sys.ID))
	if err != nil {
		return "", fmt.Errorf("open the token of source %s: %w", sys.ID, err)
	}
	return string(plain), nil
}

// PushSecret is what a system signs its pushes with. It is derived and kept nowhere.
type PushSecret [32]byte

func (s *Secrets) push(id SystemID) (p PushSecret) {
	m := hmac.New(sha256.New, s.Push[:])
	m.Write([]byte(id))
	m.Sum(p[:0])
	return p
}

// String is the form of Standard Webhooks, as it is shown once.
func (p PushSecret) String() string { return "whsec_" + base64.StdEncoding.EncodeToString(p[:]) }

// Sign gives what the header webhook-signature has (Standard Webhooks, version 1).
func (p PushSecret) Sign(id, timestamp string, body []byte) string {
	m := hmac.New(sha256.New, p[:])
	m.Write([]byte(id + "." + timestamp + "."))
	m.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// Signed is what stands beside a pushed body.
type Signed struct{ ID, Timestamp, Signature string }

const (
	skewMax       = 5 * time.Minute
	signaturesMax = 5 // while a secret is exchanged there are two
	pushIDMax     = 255
)

// holds reports whether a body was signed with the secret, lately.
func (g Signed) holds(p PushSecret, body []byte, now time.Time) bool {
	at, err := strconv.ParseInt(g.Timestamp, 10, 64)
	if err != nil || g.ID == "" || len(g.ID) > pushIDMax || strings.ContainsRune(g.ID, '.') {
		return false
	}
	if age := now.Sub(time.Unix(at, 0)); age > skewMax || age < -skewMax {
		return false
	}
	want := []byte(p.Sign(g.ID, g.Timestamp, body))
	good := false
	for i, given := range strings.Fields(g.Signature) {
		good = good || i < signaturesMax && hmac.Equal([]byte(given), want)
	}
	return good
}

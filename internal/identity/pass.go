package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// A pass is the token of a consumer's session. It says itself whose it is and how long, under
// a MAC, so that a scan asks nobody: a process that answers scans needs the keys alone. What
// opens the account is the record of the session, by the hash of what its passes have in
// common; they have a secret for that, which no process keeps.
const (
	passPrefix  = "cmc_"
	passSession = 16
	passSecret  = 16
	passMAC     = 16
	passBody    = 8 + 4 + passSession + passSecret
	passBytes   = passBody + passMAC
)

var passLength = len(passPrefix) + base64.RawURLEncoding.EncodedLen(passBytes)

// pass is what one says.
type pass struct {
	consumer ConsumerID
	until    time.Time // in whole seconds
	session  passID
	secret   [passSecret]byte
}

// passID names a session of a consumer in its passes.
type passID [passSession]byte

const consumerSession = "cse_"

func (p *pass) id() SessionID { return SessionID(consumerSession + hex.EncodeToString(p.session[:])) }

// newPass makes a pass with a session of its own.
func newPass(c ConsumerID, until time.Time) pass {
	p := pass{consumer: c, until: until.Truncate(time.Second)}
	rand.Read(p.session[:]) // never fails: crypto/rand ends the process first
	rand.Read(p.secret[:])
	return p
}

// token is the pass under a key.
func (p *pass) token(key [32]byte) string {
	var b [passBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(p.consumer))
	binary.BigEndian.PutUint32(b[8:], uint32(p.until.Unix()))
	copy(b[12:], p.session[:])
	copy(b[12+passSession:], p.secret[:])
	copy(b[passBody:], macOfPass(key, b[:passBody]))
	return passPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// hash is what the record of the session is found by: the same for all of its passes, so that
// none is shut out when the answer with a fresh one is lost.
func (p *pass) hash() Hash {
	var b [8 + passSession + passSecret]byte
	binary.BigEndian.PutUint64(b[:], uint64(p.consumer))
	copy(b[8:], p.session[:])
	copy(b[8+passSession:], p.secret[:])
	return Hash(sha256.Sum256(b[:]))
}

func macOfPass(key [32]byte, body []byte) []byte {
	h := hmac.New(sha256.New, key[:])
	h.Write(body)
	return h.Sum(nil)[:passMAC]
}

// readPass opens a pass of one of the keys.
func readPass(keys [][32]byte, token string) (p pass, ok bool) {
	if len(token) != passLength || !strings.HasPrefix(token, passPrefix) {
		return p, false
	}
	b, err := base64.RawURLEncoding.DecodeString(token[len(passPrefix):])
	if err != nil {
		return p, false
	}
	for _, key := range keys {
		if !hmac.Equal(b[passBody:], macOfPass(key, b[:passBody])) {
			continue
		}
		p.consumer = ConsumerID(binary.BigEndian.Uint64(b))
		p.until = time.Unix(int64(binary.BigEndian.Uint32(b[8:])), 0).UTC()
		copy(p.session[:], b[12:])
		copy(p.secret[:], b[12+passSession:])
		return p, true
	}
	return p, false
}

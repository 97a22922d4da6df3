package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"time"
)

// A pass is the token of a consumer's session. It says itself whose it is and how long, under
// a MAC, so that a scan asks nobody: a process that answers scans needs the keys alone. What
// opens the account is the record of the session, by the hash of the whole; the pass has a
// secret for that, which no process keeps.
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
	until    time.Time
	session  [passSession]byte
}

const consumerSession = "cse_"

func (p *pass) id() SessionID { return SessionID(consumerSession + hex.EncodeToString(p.session[:])) }

// newPass makes a pass with a session of its own.
func newPass(key [32]byte, c ConsumerID, until time.Time) (token string, p pass) {
	p = pass{consumer: c, until: until.Truncate(time.Second)}
	var b [passBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(c))
	binary.BigEndian.PutUint32(b[8:], uint32(p.until.Unix()))
	rand.Read(b[12:passBody]) // never fails: crypto/rand ends the process first
	copy(p.session[:], b[12:])
	copy(b[passBody:], macOfPass(key, b[:passBody]))
	return passPrefix + base64.RawURLEncoding.EncodeToString(b[:]), p
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
		return p, true
	}
	return p, false
}

// Passes tells scans who is signed in, by arithmetic and memory alone. In a process with
// SQL it knows which sessions have ended; in one without a pass counts until its time.
type Passes struct {
	keys func() [][32]byte // newest first
	now  func() time.Time

	mu    sync.RWMutex
	ended map[[passSession]byte]int64 // guarded by mu; until when their passes would count, Unix seconds
}

// NewPasses makes one that knows of no ended session.
func NewPasses(keys func() [][32]byte, now func() time.Time) *Passes {
	return &Passes{keys: keys, now: now, ended: map[[passSession]byte]int64{}}
}

// Consumer is whose a secret is; 0 = nobody's.
func (p *Passes) Consumer(secret string) int64 {
	one, ok := p.read(secret)
	if !ok {
		return 0
	}
	return int64(one.consumer)
}

func (p *Passes) read(secret string) (pass, bool) {
	one, ok := readPass(p.keys(), secret)
	if !ok || !p.now().Before(one.until) {
		return one, false
	}
	p.mu.RLock()
	_, over := p.ended[one.session]
	p.mu.RUnlock()
	return one, !over
}

// end lets a session's pass count no more.
func (p *Passes) end(id SessionID, until time.Time) {
	raw, err := hex.DecodeString(strings.TrimPrefix(string(id), consumerSession))
	if err != nil || len(raw) != passSession {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended[[passSession]byte(raw)] = until.Unix()
}

// forget drops those whose time has come anyway.
func (p *Passes) forget() {
	now := p.now().Unix()
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, until := range p.ended {
		if until <= now {
			delete(p.ended, id)
		}
	}
}

package identity

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The cost of a password: what OWASP recommends for Argon2id. A hash carries its own
// parameters, so that they can be raised.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	argonKey     = 32
	argonSalt    = 16

	passwordMin = 10
	passwordMax = 256
	// hashWaitMax is how long a sign-in waits for its turn: hashing may take one core's
	// time, and never that of scans.
	hashWaitMax = 5 * time.Second
)

// ErrBusy answers a sign-in that found too many before it.
var ErrBusy = fault.New(fault.Unavailable, "signin.busy", "too many people sign in at this moment; try again").After(2 * time.Second)

// Derive is argon2.IDKey, wherever it is done.
type Derive func(password, salt []byte, time, memory uint32, threads uint8, length uint32) ([]byte, error)

func deriveHere(password, salt []byte, time, memory uint32, threads uint8, length uint32) ([]byte, error) {
	return argon2.IDKey(password, salt, time, memory, threads, length), nil
}

// passwords hashes, few at a time.
type passwords struct {
	turns  chan struct{}
	derive Derive
}

func newPasswords(atATime int, derive Derive) *passwords {
	return &passwords{make(chan struct{}, max(1, atATime)), derive}
}

func (p *passwords) turn(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, hashWaitMax)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-wait.Done():
		return ErrBusy
	}
}

// hash gives what is kept of a password.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := p.turn(ctx); err != nil {
		return "", err
	}
	defer func() { <-p.turns }()
	var salt [argonSalt]byte
	rand.Read(salt[:])
	sum, err := p.derive([]byte(password), salt[:], argonTime, argonMemory, argonThreads, argonKey)
	if err != nil {
		return "", err
	}
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b.EncodeToString(salt[:]), b.EncodeToString(sum)), nil
}

// check compares; where there is no hash it takes as long and says no.
func (p *passwords) check(ctx context.Context, hash, password string) (bool, error) {
	if err := p.turn(ctx); err != nil {
		return false, err
	}
	defer func() { <-p.turns }()
	memory, times, threads, salt, want, ok := parseHash(hash)
	if !ok {
		memory, times, threads, salt, want = argonMemory, argonTime, argonThreads, make([]byte, argonSalt), make([]byte, argonKey)
	}
	sum, err := p.derive([]byte(password), salt, times, memory, threads, uint32(len(want)))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, want) == 1 && ok, nil
}

func parseHash(hash string) (memory, times uint32, threads uint8, salt, sum []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return 0, 0, 0, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &times, &threads); err != nil || memory > 1<<20 || times > 100 || times == 0 || threads == 0 {
		return 0, 0, 0, nil, nil, false
	}
	var err error
	if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return 0, 0, 0, nil, nil, false
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	return memory, times, threads, salt, sum, err == nil && len(sum) == argonKey
}

// checkPassword is the rule for a new one: long, and not the name it goes with.
func checkPassword(password, login string) error {
	const code, field = "password.bad", "password"
	switch n := utf8.RuneCountInString(password); {
	case n < passwordMin:
		return fault.Field(code, field, "has %d characters, at least %d are needed", n, passwordMin)
	case len(password) > passwordMax:
		return fault.Field(code, field, "has %d bytes, at most %d are allowed", len(password), passwordMax)
	case login != "" && strings.Contains(normal(password), normal(login)):
		return fault.Field(code, field, "must not hold the name to sign in with")
	case strings.Count(password, password[:1]) == len(password):
		return fault.Field(code, field, "is one character, again and again")
	}
	return nil
}

package keyset

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// KEK is the key that wraps a keyset where others can read what keeps it: a database.
// It never stands beside what it wraps.
type KEK struct{ secret Secret }

// kekBytes is an AES-256 key.
const kekBytes = 32

// What can be wrong with a wrapped keyset.
var (
	ErrBadKEK   = fault.New(fault.Invalid, "keyset.bad_kek", "a key that wraps keys is 32 bytes, as they are, in hex or in base64")
	ErrLocked   = fault.New(fault.Unavailable, "keyset.locked", "the keyset is wrapped: start with --kek FILE or CHOPMARK_KEK")
	ErrWrongKEK = fault.New(fault.Unavailable, "keyset.wrong_kek", "the keyset was wrapped with another key than --kek or CHOPMARK_KEK gives")
)

// ParseKEK reads 32 bytes: as they are, in hex, or in base64. A line end behind them
// is passed over.
func ParseKEK(text []byte) (*KEK, error) {
	if len(text) != kekBytes {
		trimmed := bytes.TrimSpace(text)
		raw, err := hex.DecodeString(string(trimmed))
		if err != nil || len(raw) != kekBytes {
			raw, err = base64.StdEncoding.DecodeString(string(trimmed))
		}
		if err != nil || len(raw) != kekBytes {
			return nil, ErrBadKEK
		}
		text = raw
	}
	return &KEK{secretOf([kekBytes]byte(text))}, nil
}

// wrapMagic begins a wrapped keyset; it is authenticated with it.
const wrapMagic = "chopmark wrapped keyset 1\n"

// IsWrapped reports whether data is of Wrap, and so needs its key.
func IsWrapped(data []byte) bool { return bytes.HasPrefix(data, []byte(wrapMagic)) }

func (k *KEK) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.secret.reveal())
	if err != nil {
		return nil, fmt.Errorf("use the key that wraps keys: %w", err)
	}
	return cipher.NewGCM(block)
}

// Wrap encodes and encrypts a keyset with AES-256-GCM under a fresh nonce.
func (k *KEK) Wrap(s *Set) ([]byte, error) {
	plain, err := Encode(s)
	if err != nil {
		return nil, err
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	out := append([]byte(wrapMagic), make([]byte, aead.NonceSize())...)
	nonce := out[len(wrapMagic):]
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(out, nonce, plain, []byte(wrapMagic)), nil
}

// Unwrap is the reverse of Wrap. Another key, and data that was changed, are
// ErrWrongKEK: which of the two cannot be told.
func (k *KEK) Unwrap(data []byte) (*Set, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(data, []byte(wrapMagic))
	if !ok || len(rest) < aead.NonceSize() {
		return nil, ErrDamaged
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], []byte(wrapMagic))
	if err != nil {
		return nil, ErrWrongKEK
	}
	return Decode(plain)
}

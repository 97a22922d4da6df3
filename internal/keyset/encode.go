package keyset

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

const (
	encodedFormat   = "chopmark keyset 1"
	encodedBytesMax = 1 << 20
)

// encoded is the stored form. The checksum is over the keys as this package
// writes them, so that a flipped bit is damage and never another key.
type encoded struct {
	Format   string       `json:"format"`
	Keys     []encodedKey `json:"keys"`
	Checksum string       `json:"checksum"`
}

type encodedKey struct {
	ID          string    `json:"id"`
	Purpose     Purpose   `json:"purpose"`
	Secret      string    `json:"secret"` // hex
	CreatedAt   time.Time `json:"created_at"`
	VerifyUntil time.Time `json:"verify_until,omitzero"`
	Public      string    `json:"public,omitempty"` // hex
}

// Encode writes the set with its secrets in the clear, for a vault that keeps
// them from others.
func Encode(s *Set) ([]byte, error) {
	e := encoded{Format: encodedFormat}
	for _, k := range s.keys {
		e.Keys = append(e.Keys, encodedKey{k.ID, k.Purpose, hex.EncodeToString(k.Secret.reveal()), k.CreatedAt, k.VerifyUntil, hex.EncodeToString(k.Public)})
	}
	var err error
	if e.Checksum, err = e.sum(); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode keyset: %w", err)
	}
	return append(data, '\n'), nil
}

// Decode reads what Encode wrote. Everything else is ErrDamaged, and no error
// repeats what was read.
func Decode(data []byte) (*Set, error) {
	if len(data) > encodedBytesMax {
		return nil, ErrDamaged.Textf("the keyset is larger than %d bytes", encodedBytesMax)
	}
	var e encoded
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(&e) != nil || d.More() {
		return nil, ErrDamaged.Textf("the keyset is damaged: it is not the JSON that it should be")
	}
	if e.Format != encodedFormat {
		return nil, ErrDamaged.Textf("the keyset's format is not %q, the one that this version reads", encodedFormat)
	}
	if sum, err := e.sum(); err != nil || sum != e.Checksum {
		return nil, ErrDamaged.Textf("the keyset is damaged: its checksum does not fit")
	}
	s := &Set{}
	for _, k := range e.Keys {
		secret, err := hex.DecodeString(k.Secret)
		if err != nil || len(secret) != 32 {
			return nil, ErrDamaged.Textf("the keyset is damaged: a secret is not 64 hex digits")
		}
		public, err := hex.DecodeString(k.Public)
		if err != nil || k.Public != "" && (len(public) != ed25519.PublicKeySize || k.Purpose != Signature) {
			return nil, ErrDamaged.Textf("the keyset is damaged: a public key is not 64 hex digits of a signature key")
		}
		if k.Public == "" {
			public = nil
		}
		s.keys = append(s.keys, Key{k.ID, k.Purpose, secretOf([32]byte(secret)), k.CreatedAt.UTC(), k.VerifyUntil.UTC(), public})
	}
	if err := s.check(); err != nil {
		return nil, ErrDamaged.Textf("the keyset is damaged: %v", err)
	}
	return s, nil
}

func (e encoded) sum() (string, error) {
	data, err := json.Marshal(e.Keys)
	if err != nil {
		return "", fmt.Errorf("encode keyset: %w", err)
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

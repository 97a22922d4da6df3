package streamkv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

const (
	sealInfo      = "chopmark/stream/1"
	sealSaltBytes = 32
	nonceBytes    = 12
	// lettersGen keeps the salt of the letters, which outlive the generation of
	// their record.
	lettersGen = 0

	sealPlain = 0
	sealGCM   = 1
)

// ErrWrongKey answers an Open with another key than the log was sealed with. Without
// this check every record would look damaged.
var ErrWrongKey = errors.New("the key is not the one that the log is sealed with")

// seal closes and opens the values of one generation: AES-256-GCM under a key of its
// own, which HKDF makes of the log's key and a random salt. A nonce is a position,
// and a position is used once. The zero seal leaves values plain.
//
// Only one goroutine may close.
type seal struct {
	aead  cipher.AEAD // nil = plain
	nonce [nonceBytes]byte
	extra []byte // of the value that is being closed
}

func newSeal(key, salt []byte) (*seal, error) {
	derived, err := hkdf.Key(sha256.New, key, salt, sealInfo, sealKeyLength)
	if err != nil {
		return nil, fmt.Errorf("derive the key of a generation: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &seal{aead: aead}, nil
}

func (s *seal) overhead() int {
	if s.aead == nil {
		return 0
	}
	return s.aead.Overhead()
}

// close appends the sealed value to head, in place. Position and head are covered.
func (s *seal) close(head []byte, at stream.Position, value []byte) []byte {
	if s.aead == nil {
		return append(head, value...)
	}
	binary.BigEndian.PutUint64(s.nonce[nonceBytes-8:], uint64(at))
	s.extra = append(binary.BigEndian.AppendUint64(s.extra[:0], uint64(at)), head...)
	return s.aead.Seal(head, s.nonce[:], value, s.extra)
}

// open appends the value to dst. It is safe for concurrent use.
func (s *seal) open(dst []byte, at stream.Position, head, rest []byte) ([]byte, error) {
	if s.aead == nil {
		return append(dst, rest...), nil
	}
	var room [nonceBytes + 8 + headBytesMax]byte // nonce and extra: one allocation
	binary.BigEndian.PutUint64(room[nonceBytes-8:], uint64(at))
	extra := append(binary.BigEndian.AppendUint64(room[nonceBytes:nonceBytes], uint64(at)), head...)
	dst, err := s.aead.Open(dst, room[:nonceBytes:nonceBytes], rest, extra)
	if err != nil {
		return dst, fmt.Errorf("%w: the seal does not fit", errDamaged)
	}
	return dst, nil
}

// closeLetter seals under a random nonce: letters are few, and have no number of
// their own that is used once.
func (s *seal) closeLetter(key, value []byte) []byte {
	if s.aead == nil {
		return append([]byte{sealPlain}, value...)
	}
	out := make([]byte, 1+nonceBytes, 1+nonceBytes+len(value)+s.overhead())
	out[0] = sealGCM
	_, _ = rand.Read(out[1:]) // never fails; it ends the program instead
	return s.aead.Seal(out, out[1:], value, key)
}

func (s *seal) openLetter(key, raw []byte) ([]byte, error) {
	switch {
	case len(raw) > 0 && raw[0] == sealPlain:
		return raw[1:], nil
	case len(raw) > nonceBytes && raw[0] == sealGCM && s.aead != nil:
		value, err := s.aead.Open(nil, raw[1:1+nonceBytes], raw[1+nonceBytes:], key)
		if err != nil {
			return nil, fmt.Errorf("%w: the seal does not fit", errDamaged)
		}
		return value, nil
	}
	return nil, errDamaged
}

// check is a tag that only the right key makes: of nothing, at a position that no
// record has.
func (s *seal) check(gen uint32) []byte {
	return s.close(nil, stream.At(gen, 0), nil)
}

// makeSeal begins a generation: its seal, and what is stored to make it again.
func makeSeal(key []byte, gen uint32) (*seal, []byte, error) {
	if len(key) == 0 {
		return &seal{}, []byte{sealPlain}, nil
	}
	salt := make([]byte, sealSaltBytes)
	_, _ = rand.Read(salt) // never fails; it ends the program instead
	s, err := newSeal(key, salt)
	if err != nil {
		return nil, nil, err
	}
	stored := append([]byte{sealGCM}, salt...)
	return s, append(stored, s.check(gen)...), nil
}

// loadSeal makes the seal of a generation again, and holds the key to its check.
func loadSeal(key []byte, gen uint32, stored []byte) (*seal, error) {
	switch {
	case len(stored) == 1 && stored[0] == sealPlain:
		return &seal{}, nil
	case len(stored) <= 1+sealSaltBytes || stored[0] != sealGCM:
		return nil, fmt.Errorf("the entry of generation %d: %w", gen, errDamaged)
	case len(key) == 0:
		return nil, fmt.Errorf("generation %d is sealed and there is no key: %w", gen, ErrWrongKey)
	}
	s, err := newSeal(key, stored[1:1+sealSaltBytes])
	if err != nil {
		return nil, err
	}
	var none []byte
	if _, err := s.open(none, stream.At(gen, 0), nil, stored[1+sealSaltBytes:]); err != nil {
		return nil, fmt.Errorf("generation %d: %w", gen, ErrWrongKey)
	}
	return s, nil
}

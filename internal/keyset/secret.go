package keyset

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// Secret is 32 bytes that nothing prints. The bytes are what a function closes
// over, so that even a formatter which walks unexported fields by reflection,
// where no method of ours is asked, meets an address and not the secret. A
// pointer is not enough: fmt follows it when the verb does not fit, as in %t.
// The zero Secret is none.
type Secret struct{ bytes func() *[32]byte }

const redacted = "[secret]"

func newSecret() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	return secretOf(b)
}

func secretOf(b [32]byte) Secret { return Secret{func() *[32]byte { return &b }} }

// reveal is for this package's computations and its two encodings.
func (s Secret) reveal() []byte { return s.bytes()[:] }

// Equal compares in constant time.
func (s Secret) Equal(o Secret) bool {
	if s.bytes == nil || o.bytes == nil {
		return s.bytes == nil && o.bytes == nil
	}
	return subtle.ConstantTimeCompare(s.reveal(), o.reveal()) == 1
}

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer, for who calls it directly.
func (Secret) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, which JSON, XML and YAML ask.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

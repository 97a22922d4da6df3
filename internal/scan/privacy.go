package scan

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Policy is what a brand wants kept of the addresses of those who scan.
type Policy struct {
	Brand     ids.BrandID
	IPDays    int       // whole days that an address is kept after its own; 0 = never kept
	ChangedAt time.Time // zero = nobody ever set it
}

// The bounds of a policy, and what a brand has that never set one.
const (
	IPDaysUsual = 30
	IPDaysMax   = 365
)

func (p Policy) check() error {
	if p.IPDays < 0 || p.IPDays > IPDaysMax {
		return fault.Field("scan.bad_policy", "ip_days", "must be between 0 and %d", IPDaysMax)
	}
	return nil
}

// Keeps reports whether an address of a scan on day may be kept on the day today.
// A key lives through IPDays whole days after its own.
func (p Policy) Keeps(day, today Day) bool {
	return p.IPDays > 0 && int(today-day) <= p.IPDays
}

const (
	coarse4 = 24
	coarse6 = 48
)

// Coarse is the network that stands for an address when the address is forgotten.
func Coarse(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := coarse4
	if ip.Is6() {
		bits = coarse6
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // the zero Addr: not known
	}
	return p
}

// CoarseText is Coarse for people; "" when the address is not known.
func CoarseText(ip netip.Addr) string {
	if !ip.IsValid() {
		return ""
	}
	return Coarse(ip).String()
}

// SealKey is the key of one brand and day. Without it what it sealed is noise.
type SealKey [32]byte

// NewSealKey makes a random key.
func NewSealKey() (k SealKey) {
	rand.Read(k[:]) // never fails: crypto/rand ends the process first
	return k
}

// Sealer seals and opens the addresses of one brand and day. It is safe for
// concurrent use.
type Sealer struct{ aead cipher.AEAD }

// NewSealer makes the sealer of a key.
func NewSealer(k SealKey) *Sealer {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // cannot be: 32 bytes are an AES-256 key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // cannot be: AES has blocks of 16 bytes
	}
	return &Sealer{aead}
}

// NonceBytes is what Seal needs of randomness. Who seals many asks for it at once.
const NonceBytes = 12

// Seal gives nonce and sealed address.
func (s *Sealer) Seal(nonce []byte, ip netip.Addr) []byte {
	ip = ip.Unmap()
	var raw [16]byte
	plain := raw[:]
	if ip.Is4() {
		a := ip.As4()
		plain = raw[:copy(raw[:], a[:])]
	} else {
		raw = ip.As16()
	}
	out := make([]byte, NonceBytes, NonceBytes+len(plain)+s.aead.Overhead())
	copy(out, nonce)
	return s.aead.Seal(out, out[:NonceBytes], plain, nil)
}

// ErrSealed says that bytes are not what this key sealed.
var ErrSealed = errors.New("scan: not sealed by this key")

// Open is the reverse of Seal.
func (s *Sealer) Open(sealed []byte) (netip.Addr, error) {
	if len(sealed) < NonceBytes {
		return netip.Addr{}, ErrSealed
	}
	plain, err := s.aead.Open(nil, sealed[:NonceBytes], sealed[NonceBytes:], nil)
	if err != nil {
		return netip.Addr{}, ErrSealed
	}
	ip, ok := netip.AddrFromSlice(plain)
	if !ok {
		return netip.Addr{}, ErrSealed
	}
	return ip, nil
}

// Wrap seals a brand's key of a day under the installation's key, bound to brand
// and day so that rows cannot be exchanged.
func Wrap(under [32]byte, brand ids.BrandID, day Day, k SealKey) []byte {
	s := NewSealer(under)
	nonce := make([]byte, NonceBytes)
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, k[:], wrapName(brand, day))
}

// Unwrap is the reverse of Wrap.
func Unwrap(under [32]byte, brand ids.BrandID, day Day, wrapped []byte) (k SealKey, _ error) {
	if len(wrapped) < NonceBytes {
		return k, ErrSealed
	}
	plain, err := NewSealer(under).aead.Open(nil, wrapped[:NonceBytes], wrapped[NonceBytes:], wrapName(brand, day))
	if err != nil || len(plain) != len(k) {
		return k, ErrSealed
	}
	copy(k[:], plain)
	return k, nil
}

func wrapName(brand ids.BrandID, day Day) []byte {
	return fmt.Appendf(nil, "scan key %d %d", brand, day)
}

package codebook

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// Bounds of FF1. The domain's minimum is that of SP 800-38G revision 1; the
// upper ones are ours, far above any code, so that nothing here is unbounded.
const (
	ff1Rounds        = 10
	ff1DomainMin     = 1_000_000
	ff1RadixMax      = 1 << 16
	ff1LengthMax     = 4096
	ff1TweakBytesMax = 4096
)

// ErrNumerals says that an input does not fit the FF1 that it was given to:
// another length, a numeral of radix or above, or a tweak beyond the bound.
var ErrNumerals = errors.New("codebook: input does not fit this FF1")

// FF1 is format-preserving encryption by NIST SP 800-38G, algorithms 7 and 8: a
// keyed bijection on strings of length numerals below radix.
type FF1 struct {
	block      cipher.Block
	radix      int
	u, v       int      // numerals of the left and the right half
	halfBytes  int      // b of the standard: bytes of a half as a number
	roundBytes int      // d of the standard: bytes taken from each round
	bigU, bigV *big.Int // radix^u, radix^v
	wordU      uint64   // the same when both fit 63 bits, else 0
	wordV      uint64
}

// NewFF1 makes the permutation of one AES key (16, 24 or 32 bytes), radix
// (2..65536) and length, with radix^length of at least 10^6.
func NewFF1(key []byte, radix, length int) (*FF1, error) {
	if radix < 2 || radix > ff1RadixMax {
		return nil, fmt.Errorf("codebook: radix %d is outside 2..%d", radix, ff1RadixMax)
	}
	if length < 2 || length > ff1LengthMax {
		return nil, fmt.Errorf("codebook: length %d is outside 2..%d", length, ff1LengthMax)
	}
	bigRadix := big.NewInt(int64(radix))
	domain := new(big.Int).Exp(bigRadix, big.NewInt(int64(length)), nil)
	if domain.Cmp(big.NewInt(ff1DomainMin)) < 0 {
		return nil, fmt.Errorf("codebook: %d^%d is a domain below %d", radix, length, ff1DomainMin)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("codebook: %w", err)
	}
	f := &FF1{block: block, radix: radix, u: length / 2, v: length - length/2}
	f.bigU = new(big.Int).Exp(bigRadix, big.NewInt(int64(f.u)), nil)
	f.bigV = new(big.Int).Exp(bigRadix, big.NewInt(int64(f.v)), nil)
	// ceil(v·log2 radix) is exactly the bit length of radix^v - 1: no floating point.
	halfBits := new(big.Int).Sub(f.bigV, big.NewInt(1)).BitLen()
	f.halfBytes = (halfBits + 7) / 8
	f.roundBytes = 4*((f.halfBytes+3)/4) + 4
	if halfBits <= 63 {
		f.wordU, f.wordV = f.bigU.Uint64(), f.bigV.Uint64()
	}
	return f, nil
}

// Encrypt writes the permutation of src to dst. Both have the length of f; they
// may be the same slice. On an error dst is untouched.
func (f *FF1) Encrypt(dst, src []uint16, tweak []byte) error {
	if err := f.check(dst, src, tweak); err != nil {
		return err
	}
	r := f.newRound(tweak)
	if f.wordV != 0 {
		f.encryptWords(dst, src, r)
	} else {
		f.encryptBig(dst, src, r)
	}
	return nil
}

// Decrypt is the inverse of Encrypt under the same tweak.
func (f *FF1) Decrypt(dst, src []uint16, tweak []byte) error {
	if err := f.check(dst, src, tweak); err != nil {
		return err
	}
	r := f.newRound(tweak)
	if f.wordV != 0 {
		f.decryptWords(dst, src, r)
	} else {
		f.decryptBig(dst, src, r)
	}
	return nil
}

func (f *FF1) check(dst, src []uint16, tweak []byte) error {
	if len(src) != f.u+f.v || len(dst) != len(src) || len(tweak) > ff1TweakBytesMax {
		return ErrNumerals
	}
	for _, n := range src {
		if int(n) >= f.radix {
			return ErrNumerals
		}
	}
	return nil
}

// encryptWords works on halves that fit a machine word.
func (f *FF1) encryptWords(dst, src []uint16, r *ff1Round) {
	a, b := f.word(src[:f.u]), f.word(src[f.u:])
	for i := range ff1Rounds {
		m := f.wordModulus(i)
		binary.BigEndian.PutUint64(r.num[:], b)
		y := r.word(i, r.num[8-f.halfBytes:], m)
		a, b = b, (a+y)%m // both below 2^63
	}
	f.putWord(dst[:f.u], a)
	f.putWord(dst[f.u:], b)
}

func (f *FF1) decryptWords(dst, src []uint16, r *ff1Round) {
	a, b := f.word(src[:f.u]), f.word(src[f.u:])
	for i := ff1Rounds - 1; i >= 0; i-- {
		m := f.wordModulus(i)
		binary.BigEndian.PutUint64(r.num[:], a)
		y := r.word(i, r.num[8-f.halfBytes:], m)
		a, b = (b+m-y)%m, a
	}
	f.putWord(dst[:f.u], a)
	f.putWord(dst[f.u:], b)
}

// encryptBig works on halves of any size.
func (f *FF1) encryptBig(dst, src []uint16, r *ff1Round) {
	a, b, y := f.big(src[:f.u]), f.big(src[f.u:]), new(big.Int)
	num := make([]byte, f.halfBytes)
	for i := range ff1Rounds {
		y.SetBytes(r.bytes(i, b.FillBytes(num)))
		a.Add(a, y).Mod(a, f.bigModulus(i))
		a, b = b, a
	}
	f.putBig(dst[:f.u], a)
	f.putBig(dst[f.u:], b)
}

func (f *FF1) decryptBig(dst, src []uint16, r *ff1Round) {
	a, b, y := f.big(src[:f.u]), f.big(src[f.u:]), new(big.Int)
	num := make([]byte, f.halfBytes)
	for i := ff1Rounds - 1; i >= 0; i-- {
		y.SetBytes(r.bytes(i, a.FillBytes(num)))
		b.Sub(b, y).Mod(b, f.bigModulus(i)) // Mod is never negative
		a, b = b, a
	}
	f.putBig(dst[:f.u], a)
	f.putBig(dst[f.u:], b)
}

func (f *FF1) wordModulus(round int) uint64 {
	if round%2 == 0 {
		return f.wordU
	}
	return f.wordV
}

func (f *FF1) bigModulus(round int) *big.Int {
	if round%2 == 0 {
		return f.bigU
	}
	return f.bigV
}

func (f *FF1) word(numerals []uint16) (n uint64) {
	for _, x := range numerals {
		n = n*uint64(f.radix) + uint64(x)
	}
	return n
}

func (f *FF1) putWord(dst []uint16, n uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = uint16(n % uint64(f.radix))
		n /= uint64(f.radix)
	}
}

func (f *FF1) big(numerals []uint16) *big.Int {
	n, radix, digit := new(big.Int), big.NewInt(int64(f.radix)), new(big.Int)
	for _, x := range numerals {
		n.Mul(n, radix).Add(n, digit.SetUint64(uint64(x)))
	}
	return n
}

func (f *FF1) putBig(dst []uint16, n *big.Int) {
	radix, digit := big.NewInt(int64(f.radix)), new(big.Int)
	for i := len(dst) - 1; i >= 0; i-- {
		n.QuoRem(n, radix, digit)
		dst[i] = uint16(digit.Uint64())
	}
}

// ff1Round is the round function of one call: CBC-MAC over P ‖ Q, stretched to
// d bytes (steps 6.i to 6.iii).
type ff1Round struct {
	f     *FF1
	num   [8]byte  // a half as a number, for the word path
	head  [16]byte // AES(P), the same in every round
	chain [16]byte
	q     []byte
	out   []byte // whole blocks, at least d bytes
}

func (f *FF1) newRound(tweak []byte) *ff1Round {
	pad := (16 - (len(tweak)+f.halfBytes+1)%16) % 16
	outBytes := (f.roundBytes + 15) / 16 * 16
	buf := make([]byte, len(tweak)+pad+1+f.halfBytes+outBytes)
	r := &ff1Round{f: f}
	r.q, r.out = buf[:len(buf)-outBytes], buf[len(buf)-outBytes:]
	copy(r.q, tweak)
	p := &r.head
	copy(p[:], []byte{1, 2, 1, byte(f.radix >> 16), byte(f.radix >> 8), byte(f.radix), ff1Rounds, byte(f.u)})
	binary.BigEndian.PutUint32(p[8:], uint32(f.u+f.v))
	binary.BigEndian.PutUint32(p[12:], uint32(len(tweak)))
	f.block.Encrypt(p[:], p[:])
	return r
}

// bytes is S of the standard: d bytes for round i and a half as b big-endian
// bytes. They are good until the next call.
func (r *ff1Round) bytes(i int, num []byte) []byte {
	copy(r.q[len(r.q)-len(num):], num)
	r.q[len(r.q)-len(num)-1] = byte(i)
	r.chain = r.head
	for q := r.q; len(q) > 0; q = q[16:] {
		xor16(r.chain[:], q)
		r.f.block.Encrypt(r.chain[:], r.chain[:])
	}
	copy(r.out, r.chain[:])
	for j := 1; j*16 < len(r.out); j++ {
		next := r.out[j*16 : j*16+16]
		copy(next, r.chain[:])
		tail := next[8:]
		binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^uint64(j))
		r.f.block.Encrypt(next, next)
	}
	return r.out[:r.f.roundBytes]
}

// word is bytes as a number modulo m. Halves of a word give d = 8 or d = 12.
func (r *ff1Round) word(i int, num []byte, m uint64) uint64 {
	s := r.bytes(i, num)
	y := binary.BigEndian.Uint64(s) % m
	if len(s) == 12 {
		y = bits.Rem64(y>>32, y<<32|uint64(binary.BigEndian.Uint32(s[8:])), m)
	}
	return y
}

func xor16(dst, src []byte) {
	for i := range 16 {
		dst[i] ^= src[i]
	}
}

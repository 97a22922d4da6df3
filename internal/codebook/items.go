package codebook

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/chopmark/chopmark/internal/ids"
)

// half is the size of one half of the domain: nine decimal digits.
const half = 1_000_000_000

// Items is the item codebook: FF1 over AES-256, radix 10, 18 digits, no tweak.
// There is one key for life, because FF1 is unique only under one key.
//
// Nothing allocates. The scratch of a call cannot live on the stack, since what
// is passed through cipher.Block escapes, so calls borrow a Coder from a pool;
// who makes many codes in a row keeps a Coder and saves the borrowing.
type Items struct {
	block  cipher.Block
	headHi uint64 // AES(P): constant for one key and length, so a round is one block
	headLo uint64
	coders sync.Pool // of *Coder
}

// NewItems makes the codebook of one key.
func NewItems(key [32]byte) *Items {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // cannot be: 32 bytes are an AES-256 key
	}
	p := [16]byte{1, 2, 1, 0, 0, 10, ff1Rounds, CodeDigits / 2, 11: CodeDigits}
	block.Encrypt(p[:], p[:])
	it := &Items{
		block:  block,
		headHi: binary.BigEndian.Uint64(p[:8]),
		headLo: binary.BigEndian.Uint64(p[8:]),
	}
	it.coders.New = func() any { return it.Coder() }
	return it
}

// Code is the code of a serial. It panics outside 0..10^18-1, where nothing can
// be unique: such a serial is a bug of the caller, never an input.
func (it *Items) Code(s ids.Serial) Code {
	c := it.coders.Get().(*Coder)
	code := c.Code(s)
	it.coders.Put(c)
	return code
}

// AppendCode appends the 18 digits of Code(s) to dst.
func (it *Items) AppendCode(dst []byte, s ids.Serial) []byte {
	code := it.Code(s)
	return append(dst, code[:]...)
}

// Serial is the inverse of Code: every code of 18 digits has one serial, issued
// or not.
func (it *Items) Serial(code Code) ids.Serial {
	c := it.coders.Get().(*Coder)
	s := c.Serial(code)
	it.coders.Put(c)
	return s
}

// Coder makes a Coder with its own scratch.
func (it *Items) Coder() *Coder {
	return &Coder{block: it.block, headHi: it.headHi, headLo: it.headLo}
}

// Coder is Items for one goroutine at a time: an export, a batch, a benchmark.
type Coder struct {
	block          cipher.Block
	headHi, headLo uint64
	scratch        [16]byte
}

// Code is Items.Code.
func (c *Coder) Code(s ids.Serial) Code {
	if s >= ids.SerialCount {
		panic(fmt.Sprintf("codebook: serial %d is outside 0..10^18-1", uint64(s)))
	}
	a, b := uint64(s)/half, uint64(s)%half
	for i := range uint64(ff1Rounds) {
		a, b = b, (a+c.round(i, b))%half
	}
	var code Code
	putDigits((*[9]byte)(code[:9]), a)
	putDigits((*[9]byte)(code[9:]), b)
	return code
}

// AppendCode is Items.AppendCode.
func (c *Coder) AppendCode(dst []byte, s ids.Serial) []byte {
	code := c.Code(s)
	return append(dst, code[:]...)
}

// Serial is Items.Serial.
func (c *Coder) Serial(code Code) ids.Serial {
	a, b := digits((*[9]byte)(code[:9])), digits((*[9]byte)(code[9:]))
	for i := uint64(ff1Rounds); i > 0; i-- {
		a, b = (b+half-c.round(i-1, a))%half, a
	}
	return ids.Serial(a*half + b)
}

// round is y mod 10^9. Without a tweak Q is one block, eleven zero bytes, the
// round and the half in four bytes, and y its first eight bytes of output.
func (c *Coder) round(i, n uint64) uint64 {
	binary.BigEndian.PutUint64(c.scratch[:8], c.headHi)
	binary.BigEndian.PutUint64(c.scratch[8:], c.headLo^(i<<32|n))
	c.block.Encrypt(c.scratch[:], c.scratch[:])
	return binary.BigEndian.Uint64(c.scratch[:8]) % half
}

// putDigits writes n, below 10^9, as nine digits.
func putDigits(dst *[9]byte, n uint64) {
	v := uint32(n)
	for i := 8; i >= 0; i-- {
		dst[i] = '0' + byte(v%10)
		v /= 10
	}
}

func digits(src *[9]byte) (n uint64) {
	for _, c := range src {
		n = n*10 + uint64(c-'0')
	}
	return n
}

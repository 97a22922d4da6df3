package codebook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"

	"github.com/chopmark/chopmark/internal/ids"
)

const (
	innerLabel    = "chopmark/inner/1"
	innerChars    = 8
	innerCharsMax = 32 // of an input, with its hyphens and spaces
)

// InnerCode is what lies under the scratch layer: eight upper-case Crockford
// characters, 40 bits.
type InnerCode [innerChars]byte

// String is the code's eight characters.
func (c InnerCode) String() string { return string(c[:]) }

// Inner makes and checks inner codes under one key.
type Inner struct{ mac mac }

// NewInner makes the Inner of one key.
func NewInner(key [32]byte) *Inner { return &Inner{newMAC(key)} }

// Code is the inner code of an item.
func (n *Inner) Code(s ids.Serial) (c InnerCode) {
	var msg message
	text := append(msg[:sha256.BlockSize], innerLabel...)
	text = binary.BigEndian.AppendUint64(text, uint64(s))
	sum := n.mac.sum(&msg, len(text)-sha256.BlockSize)
	putCrockford(c[:], binary.BigEndian.Uint64(sum[:8])>>24)
	return c
}

// Check reports whether input is the item's inner code as a person types it: in
// any case, with Crockford's aliases, hyphens and spaces anywhere, at most 32
// bytes. It takes the same time wherever the characters differ.
func (n *Inner) Check(s ids.Serial, input string) bool {
	got, ok := parseInner(input)
	want := n.Code(s)
	return ok && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

func parseInner(s string) (c InnerCode, ok bool) {
	if len(s) > innerCharsMax {
		return InnerCode{}, false
	}
	n := 0
	for i := range len(s) {
		if s[i] == '-' || s[i] == ' ' {
			continue
		}
		if n == len(c) {
			return InnerCode{}, false
		}
		if c[n], ok = canonical(s[i]); !ok {
			return InnerCode{}, false
		}
		n++
	}
	return c, n == len(c)
}

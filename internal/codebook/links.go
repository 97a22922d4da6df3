package codebook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// The layout of a token: where it changes, printed displays stop verifying.
const (
	tokenEpochChars = 5
	tokenMACChars   = 13
	linkLabel       = "chopmark/link/1"

	// EpochMax is the last epoch that a token can carry: 63 years of minutes.
	EpochMax = 1<<(5*tokenEpochChars) - 1
)

// Token is the changing part of a link: five upper-case Crockford characters of
// the epoch and thirteen of the MAC, 65 bits. A Token comes from ParseToken or
// from Links.
type Token [tokenEpochChars + tokenMACChars]byte

// String is the token's 18 characters.
func (t Token) String() string { return string(t[:]) }

// Epoch is the epoch that the token claims. It is a claim until Check agrees.
func (t Token) Epoch() (epoch uint64) {
	for _, c := range t[:tokenEpochChars] {
		epoch = epoch<<5 | uint64(crockfordValue[c]-1)&31
	}
	return epoch
}

// ParseToken reads exactly 18 characters of Crockford's base 32, in any case and
// with its aliases (I and L for 1, O for 0), and gives the one spelling that we
// write.
func ParseToken(s string) (t Token, ok bool) {
	if len(s) != len(t) {
		return Token{}, false
	}
	for i := range t {
		if t[i], ok = canonical(s[i]); !ok {
			return Token{}, false
		}
	}
	return t, true
}

// Links makes and checks link tokens under one key.
type Links struct{ mac mac }

// NewLinks makes the Links of one key.
func NewLinks(key [32]byte) *Links { return &Links{newMAC(key)} }

// Token is the token of an item's version for one epoch of a period (0 = off).
// Epochs beyond EpochMax are refused: they have no five characters.
func (l *Links) Token(s ids.Serial, version uint16, periodSeconds uint32, epoch uint64) (Token, error) {
	if epoch > EpochMax {
		return Token{}, fmt.Errorf("codebook: epoch %d is beyond %d, the last that a token carries", epoch, EpochMax)
	}
	return l.token(s, version, periodSeconds, epoch), nil
}

// Check reports whether t is ours for the item's version and period and for the
// epoch that it claims; whether that epoch is the present one is for the caller
// to judge. It takes the same time wherever the MAC differs.
func (l *Links) Check(t Token, s ids.Serial, version uint16, periodSeconds uint32) bool {
	want := l.token(s, version, periodSeconds, t.Epoch())
	return subtle.ConstantTimeCompare(want[:], t[:]) == 1
}

func (l *Links) token(s ids.Serial, version uint16, periodSeconds uint32, epoch uint64) (t Token) {
	var msg message
	text := msg[:sha256.BlockSize]
	text = append(text, linkLabel...)
	text = binary.BigEndian.AppendUint64(text, uint64(s))
	text = binary.BigEndian.AppendUint16(text, version)
	text = binary.BigEndian.AppendUint32(text, periodSeconds)
	text = binary.BigEndian.AppendUint64(text, epoch)
	sum := l.mac.sum(&msg, len(text)-sha256.BlockSize)

	putCrockford(t[:tokenEpochChars], epoch)
	// 65 bits: sixty in twelve characters, then four and the first bit of byte 8.
	first := binary.BigEndian.Uint64(sum[:8])
	putCrockford(t[tokenEpochChars:len(t)-1], first>>4)
	t[len(t)-1] = crockford[(first&15)<<1|uint64(sum[8]>>7)]
	return t
}

// Epoch numbers the period that now lies in, from a batch's creation. A period
// of 0 (off) and a time before the creation give 0.
func Epoch(now, createdAt time.Time, period time.Duration) uint64 {
	since := now.Sub(createdAt)
	if period <= 0 || since <= 0 {
		return 0
	}
	return uint64(since / period)
}

// EpochStart is when an epoch begins. An epoch is a stranger's claim, so what
// would overflow ends at the last time that a Duration reaches.
func EpochStart(createdAt time.Time, period time.Duration, epoch uint64) time.Time {
	if period <= 0 {
		return createdAt
	}
	if epoch > uint64(math.MaxInt64/period) {
		return createdAt.Add(math.MaxInt64)
	}
	return createdAt.Add(time.Duration(epoch) * period)
}

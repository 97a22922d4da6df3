// Package ids holds the typed identifiers that cross package borders. It imports
// nothing of Chopmark, so that everything may import it.
package ids

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"strings"
)

// BrandID names a brand. A brand lives wholly in one shard.
type BrandID int32

// ProductID names a product of one brand.
type ProductID int32

// BatchID names a batch. Like the other identifiers that are strings it is opaque:
// a prefix and 26 base-32 characters, see New.
type BatchID string

// ClaimID names a claim on numbers of a batch.
type ClaimID string

// ChangeID names a change of items.
type ChangeID string

// TaskID names a durable task.
type TaskID string

// Shards is the number of logical shards of a region. It never changes: a code
// names its shard by arithmetic.
const Shards = 16

// The serial's layout: region·10^14 + shard·10^12 + n (design: codes).
const (
	ShardCapacity  = 1_000_000_000_000   // numbers of one shard
	regionCapacity = 100_000_000_000_000 // serials of one region
	SerialCount    = 1_000_000_000_000_000_000
	RegionMax      = SerialCount/regionCapacity - 1
)

// Shard is the home of a brand, 0..15.
type Shard uint8

// ShardOf tells where a brand lives.
func ShardOf(b BrandID) Shard { return Shard(uint32(b) % Shards) }

// Serial is the dense number of one item, 0..10^18-1. It is never shown to the
// public: what the public sees is its code.
type Serial uint64

// ErrSerialRange says that a region, shard or number lies outside the layout.
var ErrSerialRange = errors.New("ids: serial outside its layout")

// NewSerial puts a serial together.
func NewSerial(region int, shard Shard, n int64) (Serial, error) {
	if region < 0 || region > RegionMax || shard >= Shards || n < 0 || n >= ShardCapacity {
		return 0, ErrSerialRange
	}
	return Serial(uint64(region)*regionCapacity + uint64(shard)*ShardCapacity + uint64(n)), nil
}

// Region is the region that issued the serial.
func (s Serial) Region() int { return int(s / regionCapacity) }

// Shard is the serial's shard; it is Shards or above for serials that no one can issue.
func (s Serial) Shard() Shard { return Shard(s % regionCapacity / ShardCapacity) }

// N is the serial's number within its shard.
func (s Serial) N() int64 { return int64(s % ShardCapacity) }

const alphabet32 = "0123456789abcdefghjkmnpqrstvwxyz"

var lower32 = base32.NewEncoding(alphabet32).WithPadding(base32.NoPadding)

// New makes an identifier with 128 random bits: prefix, underscore, 26 characters.
func New(prefix string) string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process first
	return prefix + "_" + lower32.EncodeToString(b[:])
}

// NewIn is New for what belongs to a shard, and says so: New's last character stands for
// an even number (three bits and two that are 0), here it stands for an odd one.
func NewIn(shard Shard, prefix string) string {
	id := New(prefix)
	return id[:len(id)-1] + alphabet32[2*shard+1:2*shard+2]
}

// DerivedIn is NewIn of bits that are not random: the same bits give the same identifier.
func DerivedIn(shard Shard, prefix string, bits [16]byte) string {
	id := lower32.EncodeToString(bits[:])
	return prefix + "_" + id[:len(id)-1] + alphabet32[2*shard+1:2*shard+2]
}

// Beside is New for what belongs to the shard that another identifier names, if it does.
func Beside(other, prefix string) string {
	if shard, ok := ShardIn(other); ok {
		return NewIn(shard, prefix)
	}
	return New(prefix)
}

// ShardIn tells the shard that an identifier names; ok is false for one of New.
func ShardIn(id string) (_ Shard, ok bool) {
	if id == "" {
		return 0, false
	}
	n := strings.IndexByte(alphabet32, id[len(id)-1])
	return Shard(n / 2), n%2 == 1
}

// ShardOfProduct tells where a product lives, as its brand does.
func ShardOfProduct(p ProductID) Shard { return Shard(uint32(p) % Shards) }

// Valid reports whether s has the shape that New gives for the prefix. It keeps
// junk away from the stores.
func Valid(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != 26 {
		return false
	}
	for i := range len(rest) {
		if strings.IndexByte(alphabet32, rest[i]) < 0 {
			return false
		}
	}
	return true
}

// Request identifies one mutation, so that a retry of it gives the same answer:
// Key is the hash of who asked (credential, method, route, idempotency key), Body
// the hash of what was asked. The zero Request names nothing and is never replayed.
type Request struct {
	Key, Body [32]byte
}

// IsZero reports that the caller gave no idempotency key.
func (r Request) IsZero() bool { return r.Key == [32]byte{} }

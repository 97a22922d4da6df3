// Package stream hands the records of a durable log to named groups of consumers.
//
// Promise: every record that was appended reaches every group at least once, and a
// group is given a record again until it has acknowledged it; nothing is dropped in
// silence. What a consumer makes of a record happens once when it keeps, in one
// transaction with its effect, what it has consumed (platform/inbox;
// TestEffectsHappenOnce).
//
// The contract is the one that Redis streams have, so that an engine on them needs
// no layer of its own: groups, consumers, acknowledgement, taking over what a dead
// consumer held, dead letters. streamtest holds every engine to it.
package stream

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// ErrClosed answers who waits for a record while the log is closed.
var ErrClosed = errors.New("stream: the log is closed")

// Position is a record's place in the log: the generation of its writer (24 bits)
// and the number within it (40 bits). Positions grow and are never used twice: each
// opening of the log begins a new generation. The zero Position is before the first.
type Position uint64

const (
	seqBits = 40
	// GenerationMax is the largest generation that a Position holds.
	GenerationMax uint32 = 1<<(64-seqBits) - 1
	// SeqMax is the largest number within a generation that a Position holds.
	SeqMax uint64 = 1<<seqBits - 1
)

// At makes the position of a record.
func At(generation uint32, seq uint64) Position {
	return Position(uint64(generation)<<seqBits | seq&SeqMax)
}

// Generation is the opening of the log that wrote the record.
func (p Position) Generation() uint32 { return uint32(p >> seqBits) }

// Seq is the record's number within its generation.
func (p Position) Seq() uint64 { return uint64(p) & SeqMax }

// String is the form that people read: "generation-number".
func (p Position) String() string {
	return strconv.FormatUint(uint64(p.Generation()), 10) + "-" + strconv.FormatUint(p.Seq(), 10)
}

// Record is one entry of the log. A record may carry many messages: what was
// committed together.
type Record struct {
	At Position
	// Prev is the record that was appended before it; 0 = it is the first. It tells
	// a consumer that is given both that nothing lies between them. Where logs share
	// a group, generations of others lie between those of one: the first record of a
	// generation then names number 0 of it, which no record has.
	Prev  Position
	Value []byte
}

// Group is one reader of the whole log, shared by its consumers: each record is held
// by one of them at a time.
type Group interface {
	// Name tells the group from others.
	Name() string
	// Fetch gives up to most records that nobody holds, oldest first, and lets the
	// consumer hold them. It must give only what is durable. It waits until there is
	// one or ctx ends, and ends with ErrClosed when the log is closed.
	Fetch(ctx context.Context, consumer string, most int) ([]Record, error)
	// Claim takes over up to most records, oldest first, that another consumer has
	// held for longer than idle: it is dead or stuck. It does not wait.
	Claim(ctx context.Context, consumer string, idle time.Duration, most int) ([]Record, error)
	// Ack ends a record for the group, whoever holds it. It may be repeated; for a
	// record that was not given out it must do nothing. After a crash, records that
	// were acknowledged shortly before may be given again.
	Ack(ctx context.Context, at ...Position) error
	// Lag tells how far behind the group is.
	Lag(ctx context.Context) (Lag, error)
	// Through is a time by which everything that was durable is acknowledged, or was given
	// up; zero = none is known yet. It follows the end of the log when it is asked for again
	// and again.
	Through(ctx context.Context) (time.Time, error)
}

// Lag is how far a group is behind the end of the log.
type Lag struct {
	Records int64         // not acknowledged, held or not
	Held    int64         // of these, held by a consumer
	Age     time.Duration // since the oldest of them was appended; 0 = none
	Lost    int64         // records that retention took away before the group had ended them
}

// Letters keeps dead letters. They are durable before the record is acknowledged.
type Letters interface {
	// Bury keeps letters. One that is there already stays as it is, unless the new
	// one was tried more often: then the new one takes its place.
	Bury(ctx context.Context, letters ...Letter) error
	// Dead lists a group's letters after the one named, oldest first. after need not
	// be there any more; "" is before the first.
	Dead(ctx context.Context, group, after string, most int) ([]Letter, error)
	// Discard forgets letters: they were consumed, or given up on purpose. One that
	// is not there is no error.
	Discard(ctx context.Context, id ...string) error
}

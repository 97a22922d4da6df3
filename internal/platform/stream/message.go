package stream

import (
	"cmp"
	"context"
	"errors"
	"math"
)

// Place is a message's place in the log: finer than a Position.
type Place struct {
	At Position
	N  int
}

// Compare orders places as the log does.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.At, q.At), cmp.Compare(p.N, q.N))
}

// Next is the place just after p: nothing lies between them.
func (p Place) Next() Place {
	if p.N >= math.MaxInt32 {
		return Place{p.At + 1, 0}
	}
	return Place{p.At, p.N + 1}
}

// EndOf is the last place in a record.
func EndOf(at Position) Place { return Place{at, math.MaxInt32} }

// Message is one thing to consume. A Split fills N, Lane, Value, Raw and Link.
type Message struct {
	At    Position
	N     int    // which message of the record; grows within it
	Lane  uint64 // messages of the same key are handled one after the other, in order
	Value any    // what the handler wants; not kept
	Raw   []byte // what a dead letter keeps of it
	Link  []byte // trace context, opaque; not kept

	// Since is the first of the places up to this message's at which its lane has no
	// other message; Until is the last of those behind it for which that is known.
	// An inbox puts what it knows together with them (platform/inbox).
	Since, Until Place
	// Replayed tells that the message comes from a dead letter: later ones of its
	// lane were handled before it, and of what Split filled only Raw and Lane are there.
	Replayed bool
}

// Place is where the message stands.
func (m *Message) Place() Place { return Place{m.At, m.N} }

// Split turns a record into messages, in their order. None is right, too: the record
// is acknowledged. A record that it fails on is buried whole.
type Split func(Record) ([]Message, error)

// Handler consumes messages. The batch is of one lane and in order.
//
// When it returns nil all of the batch is consumed. When it fails nothing of it must
// stay: the batch is given again, then in parts, and a message that fails alone is
// buried. A store that is out of reach is no message's fault: return Unavailable.
type Handler interface {
	Handle(ctx context.Context, lane int, batch []Message) error
}

// HandlerFunc makes a Handler of a function.
type HandlerFunc func(ctx context.Context, lane int, batch []Message) error

// Handle implements Handler.
func (f HandlerFunc) Handle(ctx context.Context, lane int, batch []Message) error {
	return f(ctx, lane, batch)
}

// Unavailable marks an error that says nothing about the messages: what they need
// cannot be reached. The batch is tried again until it can; nothing is buried.
func Unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &unavailable{err}
}

type unavailable struct{ error }

func (u *unavailable) Unwrap() error { return u.error }

// IsUnavailable reports that the error, or one that it wraps, was marked so.
func IsUnavailable(err error) bool {
	var u *unavailable
	return errors.As(err, &u)
}

// LaneOf is the lane that a key belongs to, of so many. It must not change between
// versions: what an inbox keeps is kept by lane.
func LaneOf(key uint64, lanes int) int {
	// the mixer of splitmix64: keys are often serials, which differ in few bits
	key ^= key >> 30
	key *= 0xbf58476d1ce4e5b9
	key ^= key >> 27
	key *= 0x94d049bb133111eb
	key ^= key >> 31
	return int(key % uint64(lanes))
}

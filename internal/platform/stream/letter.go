package stream

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Letter is a message that a group could not consume.
type Letter struct {
	ID       string // LetterID of Group, At and N
	Group    string
	At       Position
	N        int    // which message of the record, or WholeRecord, or Unreadable
	Key      uint64 // Message.Lane: what decides its lane
	Since    Place  // Message.Since
	Until    Place  // Message.Until
	Value    []byte // Message.Raw
	Reason   string
	Tries    int
	BuriedAt time.Time
}

const (
	// WholeRecord as a letter's N: the record could not be split, Value is all of it.
	WholeRecord = -1
	// Unreadable as a letter's N: the engine could not open the record, and Value is
	// what it found. Replaying it makes no sense.
	Unreadable = -2
	// MessagesMax bounds a record, so that N fits every store.
	MessagesMax = math.MaxInt32 - 1
)

// ErrBadLetterID answers an id that LetterID did not make.
var ErrBadLetterID = errors.New("stream: not the id of a letter")

// LetterID puts what makes a letter the one it is into one word.
func LetterID(group string, at Position, n int) string {
	return group + ":" + at.String() + ":" + strconv.Itoa(n)
}

// ParseLetterID is the reverse of LetterID.
func ParseLetterID(id string) (group string, at Position, n int, _ error) {
	parts := strings.Split(id, ":")
	if len(parts) != 3 {
		return "", 0, 0, ErrBadLetterID
	}
	gen, seq, _ := strings.Cut(parts[1], "-")
	g, err1 := strconv.ParseUint(gen, 10, 64-seqBits)
	s, err2 := strconv.ParseUint(seq, 10, seqBits)
	n, err3 := strconv.Atoi(parts[2])
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", 0, 0, ErrBadLetterID
	}
	group, at = parts[0], At(uint32(g), s)
	if n < Unreadable || n > MessagesMax || LetterID(group, at, n) != id || CheckGroup(group) != nil {
		return "", 0, 0, ErrBadLetterID
	}
	return group, at, n, nil
}

const groupNameMax = 64

// CheckGroup holds a group's name to lower-case letters, digits, dash and underscore,
// so that it can be part of keys and ids of every engine.
func CheckGroup(name string) error {
	bad := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
	if name == "" || len(name) > groupNameMax || bad >= 0 {
		return fmt.Errorf("stream: %q is no name of a group: use 1 to %d of a-z, 0-9, - and _", name, groupNameMax)
	}
	return nil
}

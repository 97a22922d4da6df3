// Package line helps packing lines: a case or a pallet is opened, filled and closed.
//
// Promise: a child is in one open container at most, and in none while it is in another that
// was packed before; closing a container is exactly one EPCIS event, whatever is repeated,
// comes at once or is cut off (TestStore, TestModel and TestLinesAtOnce of linesql, and
// lines.txtar of test/scripts).
// Captured events are never refused for what they say of containment: only lines are.
package line

import (
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Kind is what a container is.
type Kind string

// The kinds.
const (
	Case   Kind = "case"
	Pallet Kind = "pallet"
)

// State is where a container is in its life.
type State string

// The states. A closing one takes nothing more: its event is fixed, and is being captured. A
// discarded one may be opened again, a closed one never: an SSCC names one unit.
const (
	Open      State = "open"
	Closing   State = "closing"
	Closed    State = "closed"
	Discarded State = "discarded"
)

const (
	// CapacityMax is how many children a container may have.
	CapacityMax = 10_000
	// ChildrenMax is how many children one request may name.
	ChildrenMax  = 1000
	textBytesMax = 256 // of an EPC
	placeMax     = 512 // of a place, in bytes
	refusalsMax  = 20  // that are told of one request
)

// Container is a case or a pallet.
type Container struct {
	Brand     ids.BrandID
	SSCC      string // 18 digits
	EPC       string // as events name it: a Digital Link, or the URN that it was opened by
	Kind      Kind
	State     State
	Capacity  int
	Children  int
	Location  string // bizLocation; "" = none
	ReadPoint string
	OpenedBy  string
	OpenedAt  time.Time
	ClosedAt  time.Time // its event's eventTime; zero = it was not closed
	EventID   string    // "" = no event is captured yet
	Forgotten bool      // its children are told by the event alone
}

// Child is an item of ours, or a container.
type Child struct {
	Key    string     // the item's code, or 00 and the SSCC
	EPC    string     // as the event is to name it
	Serial ids.Serial // of an item
}

// IsItem reports whether it is an item of ours.
func (c Child) IsItem() bool { return len(c.Key) == ssccDigits }

// Packing is what closing a container says.
type Packing struct {
	*Container

	Children []Child // sorted by key
}

// Change is what an add or a removal did.
type Change struct {
	Changed  int // children that were put in or taken out: not those that were so before
	Children int // that are in it now
}

// What a caller may be told.
var (
	ErrUnknown  = fault.New(fault.NotFound, "line.unknown_container", "no line has opened such a container")
	ErrBadEPC   = fault.New(fault.Invalid, "line.bad_epc", "a container is named by an SSCC: 18 digits with their check digit, an EPC URN or a Digital Link")
	ErrOpen     = fault.New(fault.Conflict, "line.open", "this container is open already")
	ErrClosed   = fault.New(fault.Conflict, "line.closed", "this container was closed; an SSCC is not used again")
	ErrPacked   = fault.New(fault.Conflict, "line.packed", "events say that this container holds something, or is in something, already")
	ErrNotOpen  = fault.New(fault.Conflict, "line.not_open", "this container is not open")
	ErrEmpty    = fault.New(fault.Conflict, "line.empty", "nothing is in this container: fill it, or discard it")
	ErrCapacity = fault.New(fault.Conflict, "line.over_capacity", "so much does not fit into this container")
	ErrNumbers  = fault.New(fault.Conflict, "line.no_number", "no SSCC that is free was found under this company prefix")
	// ErrRaced answers who lost to another line over and over.
	ErrRaced = fault.New(fault.Unavailable, "line.busy", "other lines were packing the same things; nothing was changed, ask again").After(time.Second)
)

// Why a child is refused.
var (
	ErrChildName     = fault.New(fault.Invalid, "line.bad_child", "a child is a code, an SSCC, or an EPC of either")
	ErrChildUnknown  = fault.New(fault.Conflict, "line.child_unknown", "is no item and no packed container that is known here")
	ErrChildForeign  = fault.New(fault.Conflict, "line.child_foreign", "is of another brand")
	ErrChildState    = fault.New(fault.Conflict, "line.child_withdrawn", "is off the market")
	ErrChildRepeated = fault.New(fault.Conflict, "line.child_repeated", "is named twice")
	ErrChildInOpen   = fault.New(fault.Conflict, "line.child_in_open", "is in another open container")
	ErrChildPacked   = fault.New(fault.Conflict, "line.child_packed", "is packed already")
	ErrChildOpen     = fault.New(fault.Conflict, "line.child_open", "is a container that is not closed")
	ErrChildKind     = fault.New(fault.Conflict, "line.child_kind", "is a pallet, which goes into nothing")
	ErrChildItself   = fault.New(fault.Conflict, "line.child_itself", "is the container itself")
)

// Refusals are the codes of why a child is refused.
func Refusals() (codes []string) {
	for _, why := range [...]*fault.Error{
		ErrChildName, ErrChildUnknown, ErrChildForeign, ErrChildState, ErrChildRepeated, ErrChildInOpen, ErrChildPacked, ErrChildOpen, ErrChildKind, ErrChildItself,
	} {
		codes = append(codes, why.Code)
	}
	return codes
}

const ssccDigits = 18

// ssccAI is the AI of an SSCC, and what its key as a child begins with.
const ssccAI = "00"

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isSSCC(s string) bool {
	return len(s) == ssccDigits && allDigits(s) && gs1.CheckDigit(s[:ssccDigits-1]) == s[ssccDigits-1]
}

// linkOf is the Digital Link of an SSCC.
func linkOf(sscc string) string {
	id := gs1.ID{Key: gs1.Element{AI: ssccAI, Value: sscc}}
	return id.String()
}

// ParseSSCC reads what names a container, and gives how events are to name it.
func ParseSSCC(text string) (sscc, epc string, _ error) {
	switch {
	case len(text) > textBytesMax:
	case strings.HasPrefix(text, "urn:"):
		if e, err := gs1.ParseEPC(text); err == nil && e.Scheme == "sscc" {
			return e.ID.Key.Value, e.URN, nil
		}
	case strings.Contains(text, "://"):
		if l, err := gs1.ParseLink(text); err == nil && l.ID.Key.AI == ssccAI {
			return l.ID.Key.Value, linkOf(l.ID.Key.Value), nil
		}
	case isSSCC(text):
		return text, linkOf(text), nil
	}
	return "", "", ErrBadEPC
}

// name is what a caller may mean by a child.
type name struct {
	text string
	sscc string // "" = it is none
	code string // "" = it cannot be a code
}

// parseChild reads what names a child. 18 digits may be a code and an SSCC.
func parseChild(text string) (name, error) {
	n := name{text: text}
	if len(text) > textBytesMax {
		n.text = text[:textBytesMax]
		return n, ErrChildName
	}
	if sscc, _, err := ParseSSCC(text); err == nil {
		n.sscc = sscc
	}
	isURI := strings.Contains(text, ":")
	if tail := text[max(0, len(text)-ssccDigits):]; len(tail) == ssccDigits && allDigits(tail) {
		if len(text) == ssccDigits || isURI && n.sscc == "" {
			n.code = tail
		}
	}
	if n.sscc == "" && n.code == "" && !isURI {
		return n, ErrChildName
	}
	return n, nil
}

// keys are those that the child may be kept under.
func (n name) keys() (all []string) {
	if n.code != "" {
		all = append(all, n.code)
	}
	if n.sscc != "" {
		all = append(all, ssccAI+n.sscc)
	}
	return all
}

// refusals gathers why children are refused.
type refusals struct {
	told    func(why string) // of each; nil = nobody is
	first   *fault.Error
	details []fault.Detail
}

func (r *refusals) add(child string, why *fault.Error) {
	if r.first == nil {
		r.first = why.Textf("%.*q %s", textBytesMax, child, why.Text)
	}
	if r.told != nil {
		r.told(why.Code)
	}
	if len(r.details) < refusalsMax {
		r.details = append(r.details, fault.Detail{Field: child, Reason: why.Code + ": " + why.Text})
	}
}

func (r *refusals) err() error {
	if r.first == nil {
		return nil
	}
	return r.first.With(r.details...)
}

// Package timeline tells the story of one item: made, processed, moved, sold, out of what
// its brand booked, what EPCIS events say of it and of whatever it was packed in, and what
// factories', warehouses' and shops' own systems tell when they are asked.
//
// Promise: the parts are gathered at once, and what is late is said to be loading rather
// than waited for (TestLatePartsAreLoading); the public sees what its brand lets it see, and
// nothing that a source tells beyond the usual keys (TestPublicSeesWhatItMay); who acted is
// in no timeline.
package timeline

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// The stages. Quality is what is held back, recalled or ended.
const (
	Production = "production"
	Processing = "processing"
	Logistics  = "logistics"
	Sales      = "sales"
	Quality    = "quality"
)

// What a step's status says; "" = it is here.
const (
	Loading     = "loading"     // its source did not answer in time: ask again
	Unavailable = "unavailable" // its source cannot be asked
)

// Step is one thing that happened.
type Step struct {
	Stage    string
	Time     time.Time // zero = not known
	Location string    // a name, or an identifier; "" = not known
	Status   string
	Details  map[string]any
}

// Story is an item's timeline.
type Story struct {
	Item  Item
	Steps []Step // the oldest first
}

// Item is what a story is about.
type Item struct {
	Code           string
	Serial         ids.Serial
	Brand          ids.BrandID
	Product        ids.ProductID
	BatchNo        string
	ProductionDate string // 2006-01-02, or ""
	MadeAt         time.Time
	ExpiresAt      time.Time // zero = never
}

// Change is a state that an item was brought into.
type Change struct {
	To     gs1.Disposition
	At     time.Time
	Place  string
	Reason string
	Undoes gs1.Disposition // the state that was booked by mistake or is lifted; 0 = none
}

// Items is what the story wants of coded items.
type Items interface {
	// Item must answer a code that is none of ours, and one whose link needs a token and
	// that is not within may, with one and the same error.
	Item(code string, may ids.Scope) (Item, error)
	// Changes are an item's, the oldest first.
	Changes(ctx context.Context, code string) ([]Change, error)
}

// Event is what an EPCIS event says in a story.
type Event struct {
	ID           string // its hash
	Time         time.Time
	Type         string
	Step         string // bizStep; "" = none
	Disposition  string
	Places       []string // where, by identifiers, the narrowest first
	Via          string   // the container that it happened to; "" = the item itself
	Facts        map[string]string
	Temperatures []Temperature
}

// Temperature is what a sensor read, in degrees Celsius.
type Temperature struct {
	At          time.Time
	Least, Most float64
}

// Events is what the story wants of the repository of EPCIS events.
type Events interface {
	// Life are the events of an item and of what it was in, the oldest first.
	Life(ctx context.Context, it *Item) ([]Event, error)
}

// Proofs is what the story wants of the transparency log.
type Proofs interface {
	// Proven gives, of those of some events that the log has, where a proof is checked.
	Proven(ctx context.Context, events []string) (map[string]string, error)
}

// Sources is what the story wants of live sources. A part that is late must say so.
type Sources interface {
	Parts(ctx context.Context, it *Item) []Step
}

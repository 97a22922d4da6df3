package trace

import (
	"context"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// Capture is one request to store events.
type Capture struct {
	Request ids.Request
	// Job is what the request is remembered as; without an ID it is not.
	Job     Job
	Records []Record
	At      []int // where in the document each record stood
	// Masters replace what was known of the same things.
	Masters   []Master
	MastersOf ids.BrandID
}

// Captured is what became of a capture.
type Captured struct {
	Job      Job
	Replayed bool // the request had its effect before; Job tells it
}

// Job is a capture that is remembered.
type Job struct {
	ID         string
	Brand      ids.BrandID // whose it is; 0 = the platform's
	CreatedAt  time.Time
	FinishedAt time.Time
	Proceed    bool // GS1-Capture-Error-Behaviour: proceed
	Events     int  // in the document
	// Results are of events that did not simply come in, in the order of the document.
	Results []Result
}

// Status is what became of an event.
type Status string

// The statuses.
const (
	Accepted  Status = "accepted"
	Duplicate Status = "duplicate" // it is there already
	Rejected  Status = "rejected"
	NotStored Status = "not_stored" // it is good, but another of its document is not
)

// Result is what became of one event of a job.
type Result struct {
	Index    int       `json:"index"` // in the document, from 0
	Status   Status    `json:"status"`
	EventID  string    `json:"eventID,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
}

// Success reports that no event was rejected.
func (j *Job) Success() bool {
	for i := range j.Results {
		if j.Results[i].Status == Rejected {
			return false
		}
	}
	return true
}

// Store keeps events. A brand lives in one shard, and an event in the shard of its brand.
type Store interface {
	// Capture must store the records that are not there yet, the job with what became of
	// each, the master data, and tell trace.captured, all at once. More than MastersMax things of
	// a brand must be ErrTooLarge. A record is there already when the brand
	// has its hash with the same Declared. A request that had its effect before must change
	// nothing. What returned without an error must be durable.
	Capture(ctx context.Context, c *Capture) (Captured, error)
	// Job must answer ErrUnknownJob for a job that is not there.
	Job(ctx context.Context, id string) (Job, error)
	// Jobs gives jobs newest first, from before on.
	Jobs(ctx context.Context, before time.Time, beforeID string, limit int) ([]Job, error)

	// JobsOf is Jobs of one brand.
	JobsOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID string, limit int) ([]Job, error)

	// Brands lists who has events, from after on.
	Brands(ctx context.Context) ([]ids.BrandID, error)
	// Scan gives a stretch of one order.
	Scan(ctx context.Context, s Stretch, limit int) ([]Stored, error)
	// OfItem names the events of an item, by when they were.
	OfItem(ctx context.Context, s ids.Serial) ([]Ref, error)
	// OfHashes gives the events of a brand with some hashes: each itself, before any error
	// declaration.
	OfHashes(ctx context.Context, brand ids.BrandID, hashes []Hash) ([]Stored, error)
	// Events gives events by their numbers, in any order.
	Events(ctx context.Context, numbers []int64) ([]Stored, error)
	// Packings names the events that packed or unpacked a run of items, or part of it.
	Packings(ctx context.Context, r Run) ([]Ref, error)
	// Parents gives the items of a run that some event calls a parent.
	Parents(ctx context.Context, r Run) ([]ids.Serial, error)

	// Words lists a brand's terms of a kind, from after on: texts in the order of their keys.
	Words(ctx context.Context, brand ids.BrandID, kinds []TermKind, after Word, limit int) ([]Word, error)
}

// Ref names an event and when it was.
type Ref struct {
	No   int64
	Time time.Time
}

// Word is a term with its place in a list.
type Word struct {
	Kind TermKind
	Key  int64
	Text string
}

// Order is what a stretch is sorted by.
type Order uint8

// The orders.
const (
	ByTime   Order = iota // eventTime
	ByRecord              // recordTime
	ByTerm                // the eventTime of those with a term
)

// Stretch is part of a brand's events, in order. Events of one time stand in the order of
// their numbers.
type Stretch struct {
	Brand    ids.BrandID
	Order    Order
	Terms    []int64   // for ByTerm: Term.Key of each; an event with several comes once
	From, To time.Time // of what it is ordered by; To is not within
	Desc     bool
	After    Ref // where to go on; zero = at the beginning
}

// Package batchevent holds the published schemas of the batch domain's events.
// Fields are added, never renamed or given another meaning.
package batchevent

import "time"

// The topics of the contract.
const (
	CodeGenerated    = "code.generated"
	CodeStateChanged = "code.state_changed"
	AlertTriggered   = "alert.triggered"
)

// Generated tells that codes came into being (kind "batch"), that a file of them
// is ready ("file"), or that a file could not be made ("failed").
type Generated struct {
	Kind      string `json:"kind"`
	BatchID   string `json:"batch_id"`
	BrandID   int32  `json:"brand_id"`
	ProductID int32  `json:"product_id"`
	BatchNo   string `json:"batch_no"`
	Quantity  int64  `json:"quantity"`
	TaskID    string `json:"task_id,omitempty"`
	UserID    string `json:"user_id,omitempty"` // who asked for it
	File      string `json:"file,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// Run is a run of numbers of a batch.
type Run struct {
	From int64 `json:"from_no"`
	To   int64 `json:"to_no"`
}

// StateChanged tells that items moved to a state. A change of many items is told
// in several events of at most 1,000 runs and codes each.
type StateChanged struct {
	Kind     string     `json:"kind"` // the state: "void", "recalled", …; "reissued" for a new version
	ChangeID string     `json:"change_id"`
	Reverts  string     `json:"reverts,omitempty"`
	BatchID  string     `json:"batch_id"`
	Runs     []Run      `json:"runs,omitempty"`
	Codes    []string   `json:"codes,omitempty"`
	Version  uint16     `json:"version,omitempty"`
	Reason   string     `json:"reason"`
	Actor    string     `json:"actor"`
	At       *time.Time `json:"at,omitempty"`
	Place    string     `json:"place,omitempty"`
	// Partial says that the change covers more than its events list: ask for it by
	// change_id.
	Partial bool `json:"partial,omitempty"`
}

// The kinds of alerts.
const (
	IllegalStep = "illegal_step" // what an event says of items is none of their moves
	LaterStep   = "later_step"   // an event that came late makes a step impossible that came after it
)

// Alert tells of items that somebody should look at. An item is told once for each cause; many
// items are told in several events of at most 1,000 runs and codes each.
type Alert struct {
	Kind     string    `json:"kind"`
	Cause    string    `json:"cause"` // the EPCIS event, by its hash
	ChangeID string    `json:"change_id"`
	BatchID  string    `json:"batch_id"`
	State    string    `json:"state"` // that the event says
	Runs     []Run     `json:"runs,omitempty"`
	Codes    []string  `json:"codes,omitempty"`
	At       time.Time `json:"at"` // when the event was
	Place    string    `json:"place,omitempty"`
	// Partial says that there are more items than are told.
	Partial bool `json:"partial,omitempty"`
}

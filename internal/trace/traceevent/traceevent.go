// Package traceevent holds the published schemas of the trace domain's events. Fields are
// added, never renamed or given another meaning.
package traceevent

// The topics of the contract.
const (
	TraceCaptured  = "trace.captured"
	AlertTriggered = "alert.triggered"
)

// Captured tells that EPCIS events came into the repository.
type Captured struct {
	Events int `json:"events"` // how many
	// EventIDs names all of them by their hashes. A capture of more is told in several events.
	EventIDs []string `json:"event_ids"`
}

// EventIDsMax is how many events one message names.
const EventIDsMax = 1000

// FutureTime is the kind of alert for events whose time lay in the future when they came.
const FutureTime = "future_time"

// Alert tells of events that somebody should look at, each once.
type Alert struct {
	Kind     string   `json:"kind"`
	Events   int      `json:"events"`
	EventIDs []string `json:"event_ids"` // as Captured's
}

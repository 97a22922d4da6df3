// Package traceevent holds the published schemas of the trace domain's events. Fields are
// added, never renamed or given another meaning.
package traceevent

// TraceCaptured is the topic of the contract.
const TraceCaptured = "trace.captured"

// Captured tells that EPCIS events came into the repository.
type Captured struct {
	Events int `json:"events"` // how many
	// EventIDs names all of them by their hashes. A capture of more is told in several events.
	EventIDs []string `json:"event_ids"`
}

// EventIDsMax is how many events one message names.
const EventIDsMax = 1000

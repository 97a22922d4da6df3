// Package traceevent holds the published schemas of the trace domain's events. Fields are
// added, never renamed or given another meaning.
package traceevent

// TraceCaptured is the topic of the contract.
const TraceCaptured = "trace.captured"

// Captured tells that EPCIS events came into the repository.
type Captured struct {
	Events int `json:"events"` // how many
	// EventIDs names them by their hashes, at most 1,000.
	EventIDs []string `json:"event_ids"`
	// Partial says that there are more than EventIDs lists: GET /epcis/events gives them by
	// recordTime.
	Partial bool `json:"partial,omitempty"`
}

// EventIDsMax is how many events one message names.
const EventIDsMax = 1000

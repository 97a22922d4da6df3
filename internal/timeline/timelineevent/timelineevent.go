// Package timelineevent holds the published schemas of the timeline's events. Fields are
// added, never renamed or given another meaning.
package timelineevent

import "time"

// TraceQueried is the topic of the contract.
const TraceQueried = "trace.queried"

// Queried tells how often timelines of a brand's items were asked for at one process.
type Queried struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Queries int64     `json:"queries"`
	Signed  int64     `json:"signed"` // of them with a key or a session
}

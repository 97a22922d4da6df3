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

// PlaceChanged is a topic of ours: a brand calls places otherwise.
const PlaceChanged = "place.changed"

// PlacesMax is how many places one message names.
const PlacesMax = 100

// Places names places that got a name or lost it; GET /api/v1/brands/{brand_id}/places gives
// what they are called.
type Places struct {
	BrandID  int32    `json:"brand_id"`
	PlaceIDs []string `json:"place_ids"`
}

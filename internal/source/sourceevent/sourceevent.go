// Package sourceevent holds the published schemas of the source domain's events. Fields
// are added, never renamed or given another meaning.
package sourceevent

// DataSynced is the topic of the contract. The scan domain tells under it too, of other
// things: what says which.
const DataSynced = "data.synced"

// TraceData is what was synced.
const TraceData = "trace_data"

// Synced tells that rows of other systems were kept. The event's subject is the push, or
// the task of a file.
type Synced struct {
	What      string   `json:"what"` // TraceData
	BrandID   int32    `json:"brand_id"`
	Rows      int      `json:"rows"`
	Sources   []string `json:"sources"` // MES, WMS, ERP
	CreatedBy string   `json:"created_by"`
}

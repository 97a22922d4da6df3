// Package sourceevent holds the published schemas of the source domain's events. Fields
// are added, never renamed or given another meaning.
package sourceevent

// DataSynced is the topic of the contract.
const DataSynced = "data.synced"

// Synced tells that rows of other systems were kept. The event's subject is the push, or
// the task of a file.
type Synced struct {
	Rows      int      `json:"rows"`
	Sources   []string `json:"sources"` // MES, WMS, ERP
	CreatedBy string   `json:"created_by"`
}

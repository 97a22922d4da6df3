// Package scanevent holds the published schema of what is told of records and statistics of
// scans. Fields are added, never renamed or given another meaning.
package scanevent

import "time"

// DataSynced is the topic of the contract.
const DataSynced = "data.synced"

// What a message speaks of.
const (
	Records    = "scan_records"
	Statistics = "scan_stats"
)

// Synced tells that every scan that was acknowledged by a time is in what it speaks of.
type Synced struct {
	BrandID int32     `json:"brand_id,omitempty"` // absent: of all brands
	What    string    `json:"what"`
	Through time.Time `json:"through"`
}

// Package complaintevent holds the published schema of complaints. Fields are added, never
// renamed or given another meaning.
package complaintevent

// Filed is the topic of a complaint about an item of a brand.
const Filed = "complaint.filed"

// Complaint tells that somebody says an item looks wrong. Their words and their photo are
// no part of it: who may read complaints asks for them.
type Complaint struct {
	ComplaintID string `json:"complaint_id"`
	BrandID     int32  `json:"brand_id"`
	BatchID     string `json:"batch_id"`
	Code        string `json:"code"`
	Photo       bool   `json:"photo"`
}

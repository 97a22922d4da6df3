// Package source knows what other programs know of an item: what was made where, what was
// carried by whom. It asks the systems of factories, warehouses and offices (MES, WMS, ERP),
// and keeps what they push.
//
// Promise: a look at an item takes at most half a second and is never an error, whatever
// those systems do (TestParts); what was late is there at the next look
// (TestLateIsThereNext). What a brand's systems say is shown of that brand's codes only.
package source

import "time"

// Part is what one system knows of an item at one stage.
type Part struct {
	Stage    string // production, processing, logistics, sales
	Source   string // MES, WMS, ERP
	Status   string // "" = it is here; "loading", "unavailable"
	Time     time.Time
	Location string
	Details  map[string]any
}

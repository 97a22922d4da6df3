package outbox

import (
	"encoding/json"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// CloudEvent is an event in the JSON format of CloudEvents 1.0, the one form in which
// events leave the product. brandid is our extension attribute, the key that order is
// kept by.
type CloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            time.Time       `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	BrandID         ids.BrandID     `json:"brandid"`
	Data            json.RawMessage `json:"data"`
}

// CloudEvent gives the event in that form. source is the installation's public URL.
func (e *Event) CloudEvent(source string) CloudEvent {
	return CloudEvent{
		SpecVersion: "1.0", ID: e.ID, Source: source, Type: e.Type, Subject: e.Subject, Time: e.Time,
		DataContentType: "application/json", BrandID: e.BrandID, Data: e.Data,
	}
}

package batchhttp

import (
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// orNull is a time that may be absent.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// local is the copy of a time in the zone that the caller asked for; "" leaves the
// field out.
func local(t time.Time, zone *time.Location) string {
	if zone == nil || t.IsZero() {
		return ""
	}
	return t.In(zone).Format(time.RFC3339Nano)
}

// orNullText is a text that may be absent.
func orNullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// parseTime reads an optional time of a request.
func parseTime(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, fault.Field("input.bad_time", field, "must be an RFC 3339 time such as 2026-01-31T08:00:00Z")
	}
	return t.UTC().Truncate(time.Microsecond), nil
}

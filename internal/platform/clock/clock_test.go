package clock

import (
	"testing"
	"time"
)

func TestClocksTellWhatStoresKeep(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 8, 0, 0, 123456789, time.FixedZone("Shanghai", 8*3600))
	for name, c := range map[string]Clock{"system": System{}, "func": Func(func() time.Time { return at })} {
		now := c.Now()
		if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 || !now.Equal(time.UnixMicro(now.UnixMicro())) {
			t.Errorf("%s: %v is not UTC in whole microseconds", name, now)
		}
	}
}

package verify

import (
	"net/netip"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

const (
	first      = verifyevent.First
	ofDay      = verifyevent.FirstOfDay
	newSession = verifyevent.NewSession
	farApart   = verifyevent.Far
)

func TestTallyAdds(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 27, 23, 0, 0, 0, time.UTC)
	var tally Tally
	for i, step := range []struct {
		at       time.Duration
		device   uint64
		want     verifyevent.What
		sessions int64
	}{
		{0, 1 << 32, first | ofDay | newSession, 1},
		{time.Minute, 1 << 32, 0, 1},
		{2 * time.Hour, 1 << 32, ofDay, 1},
		{2 * time.Hour, 2 << 32, newSession, 2},
		{-time.Hour, 1 << 32, 0, 2},      // the clock went back: the day was counted
		{-48 * time.Hour, 1 << 32, 0, 2}, // a day before the first: no day begins, no session
		{3 * time.Hour, 1 << 32, 0, 2},   // and forth again
		{3 * time.Hour, 3 << 32, newSession, 3},
		{3 * time.Hour, 4 << 32, newSession, 4}, // the fourth device pushes out the one seen longest ago
		{3 * time.Hour, 2 << 32, newSession, 5},
		{25 * time.Hour, 4 << 32, ofDay, 5},
		{25 * time.Hour, 0, newSession, 6}, // nothing is known of it
		{25 * time.Hour, 0, 0, 6},
	} {
		if got := tally.Add(day.Add(step.at).UnixMicro(), step.device, 0, nil, nil); got != step.want || tally.Sessions != step.sessions || tally.Count != int64(i+1) {
			t.Errorf("step %d: %b, %d sessions, count %d; want %b and %d", i, got, tally.Sessions, tally.Count, step.want, step.sessions)
		}
	}
	if tally.FirstAt != day.UnixMicro() || tally.LastAt != day.Add(25*time.Hour).UnixMicro() {
		t.Errorf("first %d, last %d", tally.FirstAt, tally.LastAt)
	}
}

// TestTallyAgain: reading the log gives the tally that counting gave.
func TestTallyAgain(t *testing.T) {
	t.Parallel()
	var counted, read Tally
	for i := range int64(200) {
		at, device := (i*7919%97)*int64(time.Hour/time.Microsecond)+1, uint64(i%5)<<32
		s := verifyevent.Sighting{At: at, Device: device, What: counted.Add(at, device, uint32(i%3), nil, nil)}
		s.Count = counted.Count
		read.Again(&s, uint32(i%3))
		if counted != read {
			t.Fatalf("after %d: counted %+v, read %+v", i+1, counted, read)
		}
	}
}

// TestTallyDoubtful: what may have been counted is not counted again, also when the log is read.
func TestTallyDoubtful(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		known, raised   int64
		want, wantVisit int64
	}{
		{"nobody else scanned", 3, 3, 4, 4},
		{"others did, perhaps with it", 3, 5, 5, 5},
		{"the first", 0, 0, 1, 1},
	} {
		counted := Tally{Count: c.raised, Sessions: c.raised, FirstAt: 1, LastAt: 1}
		read := counted
		s := verifyevent.Sighting{At: 9, Device: 7 << 32, What: counted.AddDoubtful(c.known, 9, 7<<32, 0, nil, nil), Count: counted.Count}
		if counted.Count != c.want || counted.Sessions != c.wantVisit {
			t.Errorf("%s: %+v; want %d scans, %d sessions", c.name, counted, c.want, c.wantVisit)
		}
		if read.Again(&s, 0); read != counted {
			t.Errorf("%s: read back as %+v, counted %+v", c.name, read, counted)
		}
	}
}

func TestFar(t *testing.T) {
	t.Parallel()
	at := func(country string, lat, lon float64) *Place {
		return &Place{Place: verifyevent.Place{Country: country}, Lat: lat, Lon: lon, Located: lat != 0}
	}
	beijing, tianjin, tokyo, nowhere, france := at("China", 39.9, 116.4), at("China", 39.1, 117.2), at("Japan", 35.7, 139.7), at("", 0, 0), at("France", 0, 0)
	for _, c := range []struct {
		from, to *Place
		between  time.Duration
		want     bool
	}{
		{beijing, tokyo, time.Hour, true}, {beijing, tokyo, 4 * time.Hour, false}, {tokyo, beijing, 0, true},
		{beijing, tianjin, 0, false}, {beijing, beijing, 0, false}, {beijing, nil, 0, false}, {nil, beijing, 0, false},
		{beijing, nowhere, 0, false}, {beijing, france, time.Minute, true}, {beijing, france, 2 * time.Hour, false}, {france, france, 0, false},
	} {
		if got := Far(c.from, c.to, c.between); got != c.want {
			t.Errorf("%v to %v in %v: %v", c.from, c.to, c.between, got)
		}
	}
	if km := distanceKM(beijing, tokyo); km < 2050 || km > 2150 {
		t.Errorf("Beijing to Tokyo: %.0f km", km)
	}
}

func TestDevices(t *testing.T) {
	d, other := NewDevices([32]byte{1}), NewDevices([32]byte{2})
	base := Client{IP: ip("203.0.113.7"), Agent: "Mozilla/5.0", Language: "zh"}
	same := base
	same.Zone = "Asia/Shanghai"
	if d.Of(&base) == 0 || d.Of(&base) != d.Of(&same) {
		t.Error("the same device has two fingerprints")
	}
	for name, c := range map[string]Client{
		"address": {IP: ip("203.0.113.8"), Agent: "Mozilla/5.0", Language: "zh"},
		"agent":   {IP: ip("203.0.113.7"), Agent: "Mozilla/5.1", Language: "zh"},
		"borders": {IP: ip("203.0.113.7"), Agent: "hMozilla/5.0", Language: "z"},
	} {
		if d.Of(&c) == d.Of(&base) {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	if d.Of(&base) == other.Of(&base) {
		t.Error("the salt does not matter")
	}
	if d.Of(&Client{}) != 0 {
		t.Error("who is not known has a fingerprint")
	}
	if n := testing.AllocsPerRun(100, func() { d.Of(&base) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

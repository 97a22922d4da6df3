package verify

import (
	"math"
	"time"

	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Place is where a scan came from, as far as it is known.
type Place struct {
	verifyevent.Place
	Lat, Lon float64
	Located  bool // Lat and Lon are known
}

// Tally is what the sightings of one item add up to. Engines store it; what it means
// is here. It holds no pointers: there are many.
type Tally struct {
	Count           int64
	Sessions        int64
	FirstAt, LastAt int64  // microseconds; LastAt never goes back
	FirstIn, LastIn uint32 // places, as the engine numbers them; 0 = not known
	recent          [visitsKept]Visit
}

// Visit is a device's last scan of the item.
type Visit struct {
	Device uint32 // the upper half of its fingerprint
	Second uint32 // since 1970
}

const (
	// SessionWindow is within which a device's scans of one item are one session:
	// who shows a purchase around has scanned it once.
	SessionWindow = 24 * time.Hour
	visitsKept    = 3

	farKM       = 300.0       // below it, places by address are too uncertain
	farSpeedKMH = 900.0       // nobody carries an item faster
	farAbroad   = time.Hour   // two countries within it are far apart without coordinates
	microsOfDay = 86400 * 1e6 // a UTC day
)

// Add counts a scan and says what is particular about it. last is the place of the
// scan before, where that is known; at is microseconds.
func (t *Tally) Add(at int64, device uint64, in uint32, place, last *Place) (what verifyevent.What) {
	if t.Count == 0 {
		t.FirstAt, t.FirstIn = at, in
		what = verifyevent.First
	} else if Far(last, place, time.Duration(abs(at-t.LastAt))*time.Microsecond) {
		what = verifyevent.Far
	}
	if t.Count == 0 || at/microsOfDay > t.LastAt/microsOfDay {
		what |= verifyevent.FirstOfDay
	}
	if t.visit(device, uint32(at/1e6)) {
		what |= verifyevent.NewSession
	}
	t.count(at, in, what)
	return what
}

// AddDoubtful is Add for a scan that Shared was asked to count without an answer, when this tally
// said known. If it says more by now, from answers to other scans, this one may be in them: it
// is not added, and nobody hears of a scan too many. The summary, which has each scan once, mends
// what may be one too few.
func (t *Tally) AddDoubtful(known, at int64, device uint64, in uint32, place, last *Place) verifyevent.What {
	count, sessions := t.Count, t.Sessions
	what := t.Add(at, device, in, place, last)
	if count > known {
		t.Count, t.Sessions = count, sessions
		what &^= verifyevent.NewSession
	}
	return what
}

// Again counts a scan whose particulars were found before: it is read from the log.
func (t *Tally) Again(s *verifyevent.Sighting, in uint32) {
	if t.Count == 0 {
		t.FirstAt, t.FirstIn = s.At, in
	}
	t.visit(s.Device, uint32(s.At/1e6))
	if s.What.Has(verifyevent.Shared) { // as Counted took it over, but for what the log does not keep
		t.LastAt, t.LastIn = max(t.LastAt, s.At), in
		t.Count = max(t.Count, s.Count)
		return
	}
	count := t.Count
	t.count(s.At, in, s.What)
	t.Count = max(count, s.Count) // one more, unless it was doubtful
}

func (t *Tally) count(at int64, in uint32, what verifyevent.What) {
	t.Count++
	t.LastAt = max(t.LastAt, at)
	t.LastIn = in
	if what.Has(verifyevent.NewSession) {
		t.Sessions++
	}
}

// visit notes a device and reports whether its scan begins a session. A device that
// is not known is one that everybody shares.
func (t *Tally) visit(device uint64, second uint32) (begins bool) {
	id := uint32(device >> 32)
	at, oldest := -1, 0
	for i := range t.recent {
		if v := t.recent[i]; v.Second != 0 && v.Device == id {
			at = i
		}
		if t.recent[i].Second < t.recent[oldest].Second {
			oldest = i
		}
	}
	if at < 0 {
		t.recent[oldest] = Visit{id, max(second, 1)}
		return true
	}
	before := t.recent[at].Second
	t.recent[at].Second = max(before, second)
	return int64(second)-int64(before) > int64(SessionWindow/time.Second)
}

// Visits gives the kept visits for an engine to store, and Restore takes them back.
func (t *Tally) Visits() [visitsKept]Visit { return t.recent }

// Restore is the reverse of Visits.
func (t *Tally) Restore(v [visitsKept]Visit) { t.recent = v }

func abs(n int64) int64 { return max(n, -n) }

// Far reports whether nobody could have carried the item from one place to the other,
// of which either may be unknown.
func Far(from, to *Place, between time.Duration) bool {
	if from == nil || to == nil {
		return false
	}
	if from.Located && to.Located {
		km := distanceKM(from, to)
		return km > farKM && km > farSpeedKMH*between.Hours()
	}
	return from.Country != "" && to.Country != "" && from.Country != to.Country && between < farAbroad
}

// distanceKM is along a great circle.
func distanceKM(a, b *Place) float64 {
	const earthKM, rad = 6371.0, math.Pi / 180
	lat := math.Sin((b.Lat - a.Lat) * rad / 2)
	lon := math.Sin((b.Lon - a.Lon) * rad / 2)
	h := lat*lat + math.Cos(a.Lat*rad)*math.Cos(b.Lat*rad)*lon*lon
	return 2 * earthKM * math.Asin(math.Sqrt(min(1, h)))
}

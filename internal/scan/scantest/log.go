// Package scantest holds every engine of scan to its contract, and has a log of
// sightings in memory for tests that are not about the log.
//
// Each "must" of the interfaces in internal/scan/store.go has a subtest here whose
// name says it.
package scantest

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Start is when the suite's first scan is: some way into a UTC day.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// The stored numbers of some verdicts.
const (
	Inactive       = 1
	Authentic      = 2
	AuthenticAgain = 3
	Suspicious     = 5
	Void           = 8
)

// Log is a log of sightings in memory. What hot path and log know of an item, it
// knows too: it is a scan.Trail and a scan.Tallies.
type Log struct {
	Records   []stream.Record // what was flushed, in order
	trimmed   int             // so many of Records were trimmed away
	at        stream.Position
	open      []byte
	openN     uint16
	items     map[ids.Serial]*item
	Sightings []scan.Seen // all, in order
}

type item struct {
	last            verifyevent.Ref
	count           int64
	day             scan.Day
	firstAt, lastAt int64
	place           string
	devices         map[uint64]bool
}

// NewLog makes an empty log in its first generation.
func NewLog() *Log { return &Log{at: stream.At(1, 1), items: map[ids.Serial]*item{}} }

// Scan appends a sighting, of which it fills in what the hot path would know. Zero
// Brand, Product and No get values.
func (l *Log) Scan(s verifyevent.Sighting) verifyevent.Ref {
	if s.Brand == 0 {
		s.Brand, s.Product, s.No = 1001, 2001, 1
	}
	it := l.items[s.Serial]
	if it == nil {
		it = &item{devices: map[uint64]bool{}, firstAt: s.At, day: -1}
		l.items[s.Serial] = it
		s.What |= verifyevent.First
	}
	if day := scan.DayOf(s.At); day != it.day {
		it.day = day
		s.What |= verifyevent.FirstOfDay
	}
	if s.Device == 0 || !it.devices[s.Device] {
		it.devices[s.Device] = true
		s.What |= verifyevent.NewSession
	}
	it.count++
	s.Count, s.Prev = it.count, it.last
	ref := verifyevent.Ref{At: uint64(l.at), N: l.openN}
	it.last, it.lastAt, it.place = ref, s.At, s.Place.String()
	l.open = verifyevent.Append(l.open, &s)
	l.openN++
	l.Sightings = append(l.Sightings, scan.Seen{Ref: ref, Sighting: s})
	return ref
}

// Flush ends the record that is being filled.
func (l *Log) Flush() {
	if l.openN == 0 {
		return
	}
	r := stream.Record{At: l.at, Value: l.open}
	if n := len(l.Records); n > 0 {
		r.Prev = l.Records[n-1].At
	}
	l.Records = append(l.Records, r)
	l.at, l.open, l.openN = l.at+1, nil, 0
}

// NextGeneration is what opening the log again does to positions.
func (l *Log) NextGeneration() {
	l.Flush()
	l.at = stream.At(l.at.Generation()+1, 1)
}

// Trim forgets the first n records that are still there.
func (l *Log) Trim(n int) { l.trimmed = min(l.trimmed+n, len(l.Records)) }

// Last implements scan.Trail.
func (l *Log) Last(s ids.Serial) (verifyevent.Ref, error) {
	if it := l.items[s]; it != nil {
		return it.last, nil
	}
	return verifyevent.Ref{}, nil
}

// Read implements scan.Trail.
func (l *Log) Read(at uint64) (record []byte, ok bool, _ error) {
	l.Flush()
	for _, r := range l.Records[l.trimmed:] {
		if uint64(r.At) == at {
			return r.Value, true, nil
		}
	}
	return nil, false, nil
}

// Tally implements scan.Tallies.
func (l *Log) Tally(s ids.Serial) (scan.ItemTally, error) {
	it := l.items[s]
	if it == nil {
		return scan.ItemTally{}, nil
	}
	return scan.ItemTally{
		Count: it.count, FirstAt: time.UnixMicro(it.firstAt).UTC(), LastAt: time.UnixMicro(it.lastAt).UTC(), Place: it.place,
	}, nil
}

// Codes is a scan.Codes whose codes are the serials' own digits. Serials from Issued
// on were never issued.
type Codes struct{ Issued ids.Serial }

// Code implements scan.Codes.
func (Codes) Code(s ids.Serial) string { return fmt.Sprintf("%018d", uint64(s)) }

// Serial implements scan.Codes.
func (c Codes) Serial(_ context.Context, code string) (ids.Serial, error) {
	n, err := strconv.ParseUint(code, 10, 64)
	if len(code) != 18 || err != nil {
		return 0, ErrMalformed
	}
	if c.Issued != 0 && ids.Serial(n) >= c.Issued {
		return 0, scan.ErrUnknownCode
	}
	return ids.Serial(n), nil
}

// Dice gives numbers that look random and are the same in every run.
type Dice uint64

// Below rolls 0..n-1.
func (d *Dice) Below(n int64) int64 {
	*d += 0x9e3779b97f4a7c15 // splitmix64
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int64((z ^ z>>31) >> 1 % uint64(n))
}

// Traffic makes scans as a shop of many brands sees them: some brands and batches are
// hot, half of the scans are of items that were never scanned before, and most come
// from a few provinces with one of some hundred agents.
type Traffic struct {
	Dice    Dice
	Brands  int64
	Batches int64 // of each brand
	PerItem int64 // about how many scans an item gets
	items   int64
}

// Next makes a scan at a time.
func (t *Traffic) Next(at time.Time) verifyevent.Sighting {
	d := &t.Dice
	brand := min(d.Below(t.Brands), d.Below(t.Brands), d.Below(t.Brands))
	batch := min(d.Below(t.Batches), d.Below(t.Batches))
	t.items++
	no := d.Below(t.items/max(t.PerItem, 1)/t.Brands/t.Batches+10) + 1
	first := ids.Serial((brand*t.Batches + batch) * 1_000_000)
	verdict := uint8(Authentic)
	switch r := d.Below(100); {
	case r < 1:
		verdict = Suspicious
	case r < 3:
		verdict = Inactive
	case r < 30:
		verdict = AuthenticAgain
	}
	province := min(d.Below(31), d.Below(31))
	return verifyevent.Sighting{
		Serial: first + ids.Serial(no-1), At: at.UnixMicro(), Brand: ids.BrandID(1001 + brand), Product: ids.ProductID(2001 + brand*10 + batch%10),
		No: no, Verdict: verdict, Source: uint8(1 + d.Below(3)), Device: uint64(1 + d.Below(1<<40)),
		IP:    netip.AddrFrom4([4]byte{byte(1 + d.Below(200)), byte(d.Below(256)), byte(d.Below(256)), byte(d.Below(256))}),
		Place: verifyevent.Place{Country: "中国", Province: "省" + strconv.FormatInt(province, 10), City: "市" + strconv.FormatInt(d.Below(5), 10)},
		Agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_" + strconv.FormatInt(d.Below(7), 10) + " like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0." + strconv.FormatInt(d.Below(60), 10),
		Zone:  "Asia/Shanghai",
	}
}

// ErrMalformed is what Codes answers to what is no code.
var ErrMalformed = fault.Field("code.malformed", "code", "should be 18 digits")

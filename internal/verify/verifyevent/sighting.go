// Package verifyevent is the published form of a sighting: what the log of scans
// holds of each, for whoever reads it after the answer was given.
//
// A record of the log is a format byte and then one sighting after another. A field
// that comes later gets a bit in What and a place at the end: readers of an older
// form keep working (TestRecordsAreReadBack, FuzzParse).
package verifyevent

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
)

// Ref is a sighting's place in the log: the record's position, and which of its
// sightings. The zero Ref is none.
type Ref struct {
	At uint64
	N  uint16
}

// What is a set of facts about a sighting, taken when it was counted.
type What uint8

// The facts.
const (
	First      What = 1 << iota // the item's first scan ever
	FirstOfDay                  // its first on this day, UTC
	NewSession                  // by a device that had not scanned the item within the window
	Far                         // too far from the scan before for the time between
	Traced                      // carries a trace context
	Shared                      // counted beside those of other processes: Count and the facts are of all
	SignedIn                    // by a consumer with an account: User
)

// Has reports whether all of the facts hold.
func (w What) Has(facts What) bool { return w&facts == facts }

// Sighting is one scan.
type Sighting struct {
	Serial  ids.Serial
	At      int64 // microseconds since 1970 UTC
	Prev    Ref   // the item's sighting before this one
	Count   int64 // of the item, with this one
	Brand   ids.BrandID
	Product ids.ProductID
	No      int64 // the item's number in its batch: Serial − (No−1) is the batch's first
	Verdict uint8 // verify.Verdict
	Source  uint8 // verify.Source
	What    What
	Device  uint64     // salted fingerprint; 0 = not known
	IP      netip.Addr // of the caller; the zero Addr = not known
	Place   Place
	Agent   string // User-Agent, at most AgentMax bytes
	Zone    string // the caller's time zone where it said one
	Trace   Trace
	User    int64 // the account of a consumer who is signed in; 0 = none
}

// FirstOfBatch is the serial of the first item of the sighting's batch.
func (s *Sighting) FirstOfBatch() ids.Serial { return s.Serial - ids.Serial(s.No-1) }

// Place is where an address is, as far as it is known.
type Place struct{ Country, Province, City string }

// String is the known parts, the largest first.
func (p Place) String() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{p.Country, p.Province, p.City} {
		if part != "" && (len(parts) == 0 || parts[len(parts)-1] != part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// Trace is a sampled trace context (W3C): who looks at the scan's trace finds what
// came of it.
type Trace struct {
	ID   [16]byte
	Span [8]byte
}

// Limits of the texts, in bytes; longer ones are cut.
const (
	AgentMax = 200
	placeMax = 64
	zoneMax  = 64
)

// Format is the first byte of a record.
const Format = 2

// Append adds a sighting to a record; an empty record gets its format first.
func Append(record []byte, s *Sighting) []byte {
	b := record
	if len(b) == 0 {
		b = append(b, Format)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(s.Serial))
	b = binary.BigEndian.AppendUint64(b, uint64(s.At))
	b = binary.BigEndian.AppendUint64(b, s.Prev.At)
	b = binary.BigEndian.AppendUint16(b, s.Prev.N)
	b = binary.BigEndian.AppendUint64(b, s.Device)
	b = append(b, s.Verdict, s.Source, byte(s.What))
	b = binary.AppendUvarint(b, uint64(s.Count))
	b = binary.AppendUvarint(b, uint64(s.Brand))
	b = binary.AppendUvarint(b, uint64(s.Product))
	b = binary.AppendUvarint(b, uint64(s.No))
	b = appendIP(b, s.IP)
	b = appendText(b, s.Place.Country, placeMax)
	b = appendText(b, s.Place.Province, placeMax)
	b = appendText(b, s.Place.City, placeMax)
	b = appendText(b, s.Agent, AgentMax)
	b = appendText(b, s.Zone, zoneMax)
	if s.What.Has(Traced) {
		b = append(append(b, s.Trace.ID[:]...), s.Trace.Span[:]...)
	}
	if s.What.Has(SignedIn) {
		b = binary.AppendUvarint(b, uint64(s.User))
	}
	return b
}

func appendIP(b []byte, ip netip.Addr) []byte {
	switch {
	case ip.Is4():
		a := ip.As4()
		return append(append(b, 4), a[:]...)
	case ip.Is6():
		a := ip.As16()
		return append(append(b, 16), a[:]...)
	}
	return append(b, 0)
}

func appendText(b []byte, text string, most int) []byte {
	text = text[:min(len(text), most)]
	return append(append(b, byte(len(text))), text...)
}

// ErrDamaged says that bytes are not a record of sightings.
var ErrDamaged = errors.New("verifyevent: a record of sightings is damaged")

// Each calls fn for the sightings of a record in their order, until fn fails. The
// sighting is reused; its texts are copies.
func Each(record []byte, fn func(n uint16, s *Sighting) error) error {
	if len(record) == 0 || record[0] != Format {
		return ErrDamaged
	}
	d := decoder{rest: record[1:]}
	var s Sighting
	for n := 0; len(d.rest) > 0; n++ {
		d.sighting(&s)
		if d.bad || n > 1<<16-1 {
			return ErrDamaged
		}
		if err := fn(uint16(n), &s); err != nil {
			return err
		}
	}
	return nil
}

const fixedBytes = 8 + 8 + 8 + 2 + 8 + 3

// decoder takes fields off the front; bad sticks.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) sighting(s *Sighting) {
	f := d.take(fixedBytes)
	if d.bad {
		return
	}
	*s = Sighting{
		Serial: ids.Serial(binary.BigEndian.Uint64(f)), At: int64(binary.BigEndian.Uint64(f[8:])),
		Prev:   Ref{binary.BigEndian.Uint64(f[16:]), binary.BigEndian.Uint16(f[24:])},
		Device: binary.BigEndian.Uint64(f[26:]), Verdict: f[34], Source: f[35], What: What(f[36]),
	}
	s.Count, s.Brand, s.Product, s.No = int64(d.uvarint()), ids.BrandID(d.uvarint()), ids.ProductID(d.uvarint()), int64(d.uvarint())
	s.IP = d.ip()
	s.Place.Country, s.Place.Province, s.Place.City = d.text(), d.text(), d.text()
	s.Agent, s.Zone = d.text(), d.text()
	if s.What.Has(Traced) {
		copy(s.Trace.ID[:], d.take(len(s.Trace.ID)))
		copy(s.Trace.Span[:], d.take(len(s.Trace.Span)))
	}
	if s.What.Has(SignedIn) {
		s.User = int64(d.uvarint())
	}
}

func (d *decoder) take(n int) []byte {
	if d.bad || len(d.rest) < n {
		d.bad = true
		return nil
	}
	out := d.rest[:n]
	d.rest = d.rest[n:]
	return out
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) text() string {
	n := d.take(1)
	if d.bad {
		return ""
	}
	return string(d.take(int(n[0])))
}

func (d *decoder) ip() netip.Addr {
	n := d.take(1)
	if d.bad {
		return netip.Addr{}
	}
	switch n[0] {
	case 0:
		return netip.Addr{}
	case 4, 16:
		ip, _ := netip.AddrFromSlice(d.take(int(n[0])))
		return ip
	}
	d.bad = true
	return netip.Addr{}
}

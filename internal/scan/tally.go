package scan

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Grain is the width of a bucket of the statistics.
type Grain uint8

// The grains, as stored.
const (
	Minute  Grain = 1
	Hour    Grain = 2
	EachDay Grain = 3
)

// Seconds is the grain's width.
func (g Grain) Seconds() int64 {
	switch g {
	case Minute:
		return 60
	case Hour:
		return 3600
	default:
		return 86400
	}
}

// ParseGrain reads "minute", "hour" or "day".
func ParseGrain(s string) (Grain, bool) {
	g, ok := map[string]Grain{"minute": Minute, "hour": Hour, "day": EachDay}[s]
	return g, ok
}

// Cell names one count. The batch determines product and brand; they stand beside it
// so that a question about either needs no other domain.
type Cell struct {
	Grain    Grain
	Start    int64 // seconds since 1970, UTC
	Brand    ids.BrandID
	Product  ids.ProductID
	Batch    ids.Serial
	Province string // "" = not known; minutes are kept without it
	Verdict  uint8
}

// Counts is what is counted of a cell.
type Counts struct {
	Scans, Sessions, Firsts, FirstsOfDay int64
}

// Add adds other counts.
func (c *Counts) Add(o Counts) {
	c.Scans += o.Scans
	c.Sessions += o.Sessions
	c.Firsts += o.Firsts
	c.FirstsOfDay += o.FirstsOfDay
}

// BatchDay names a sketch.
type BatchDay struct {
	Day     Day
	Brand   ids.BrandID
	Product ids.ProductID
	Batch   ids.Serial
}

// Slim is what the statistics need of a sighting.
type Slim struct {
	At       int64 // microseconds since 1970
	Serial   ids.Serial
	Count    int64
	Brand    ids.BrandID
	Product  ids.ProductID
	Batch    ids.Serial
	Province string
	Verdict  uint8
	What     verifyevent.What
}

// SlimOf takes it from a sighting that was made to fit.
func SlimOf(s *verifyevent.Sighting) Slim {
	return Slim{
		At: s.At, Serial: s.Serial, Count: s.Count, Brand: s.Brand, Product: s.Product, Batch: s.FirstOfBatch(),
		Province: s.Place.Province, Verdict: s.Verdict, What: s.What,
	}
}

// Tally adds sightings up in memory.
type Tally struct {
	Cells     map[Cell]*Counts
	Codes     map[BatchDay]*Sketch
	Items     map[ids.BrandID][]Item // first scans, in the order in which they came
	Sightings int64
	Newest    int64 // microseconds
}

// NewTally makes an empty one.
func NewTally() *Tally {
	return &Tally{Cells: map[Cell]*Counts{}, Codes: map[BatchDay]*Sketch{}, Items: map[ids.BrandID][]Item{}}
}

// Add counts a sighting in its minute and its hour. Days are sums of hours: Days
// gives them when the tally is written down.
func (t *Tally) Add(s *Slim) {
	c := Counts{Scans: 1}
	if s.What.Has(verifyevent.NewSession) {
		c.Sessions = 1
	}
	if s.What.Has(verifyevent.First) {
		c.Firsts = 1
		t.Items[s.Brand] = append(t.Items[s.Brand], Item{Serial: s.Serial, At: time.UnixMicro(s.At).UTC()})
	}
	if s.What.Has(verifyevent.FirstOfDay) {
		c.FirstsOfDay = 1
		key := BatchDay{DayOf(s.At), s.Brand, s.Product, s.Batch}
		k := t.Codes[key]
		if k == nil {
			k = &Sketch{}
			t.Codes[key] = k
		}
		k.Add(s.Serial)
	}
	second := s.At / 1_000_000
	cell := Cell{Minute, second - second%60, s.Brand, s.Product, s.Batch, "", s.Verdict}
	t.add(cell, c)
	cell.Grain, cell.Start, cell.Province = Hour, second-second%3600, s.Province
	t.add(cell, c)
	t.Sightings++
	t.Newest = max(t.Newest, s.At)
}

func (t *Tally) add(cell Cell, c Counts) {
	have := t.Cells[cell]
	if have == nil {
		have = &Counts{}
		t.Cells[cell] = have
	}
	have.Add(c)
}

// Days gives the cells of days: the sums of the hours' cells.
func (t *Tally) Days() map[Cell]*Counts {
	days := &Tally{Cells: map[Cell]*Counts{}}
	for cell, c := range t.Cells {
		if cell.Grain == Hour {
			cell.Grain, cell.Start = EachDay, cell.Start-cell.Start%86400
			days.add(cell, *c)
		}
	}
	return days.Cells
}

// Empty reports whether nothing was counted.
func (t *Tally) Empty() bool { return t.Sightings == 0 }

// AppendSlim writes a sighting's slim form.
func AppendSlim(b []byte, s *Slim) []byte {
	b = binary.AppendUvarint(b, uint64(s.At))
	b = binary.AppendUvarint(b, uint64(s.Batch))
	b = binary.AppendUvarint(b, uint64(s.Serial-s.Batch))
	b = binary.AppendUvarint(b, uint64(s.Brand))
	b = binary.AppendUvarint(b, uint64(s.Product))
	b = binary.AppendUvarint(b, uint64(s.Count))
	province := s.Province[:min(len(s.Province), 255)]
	b = append(b, s.Verdict, byte(s.What), byte(len(province)))
	return append(b, province...)
}

var errSlim = errors.New("scan: stored sightings of the statistics are damaged")

// EachSlim reads what AppendSlim wrote.
func EachSlim(b []byte, fn func(*Slim)) error {
	for len(b) > 0 {
		var n [6]uint64
		for i := range n {
			v, used := binary.Uvarint(b)
			if used <= 0 {
				return errSlim
			}
			n[i], b = v, b[used:]
		}
		if len(b) < 3 || len(b) < 3+int(b[2]) {
			return errSlim
		}
		s := Slim{
			At: int64(n[0]), Batch: ids.Serial(n[1]), Serial: ids.Serial(n[1] + n[2]), Brand: ids.BrandID(n[3]),
			Product: ids.ProductID(n[4]), Count: int64(n[5]), Verdict: b[0], What: verifyevent.What(b[1]), Province: string(b[3 : 3+int(b[2])]),
		}
		b = b[3+int(b[2]):]
		fn(&s)
	}
	return nil
}

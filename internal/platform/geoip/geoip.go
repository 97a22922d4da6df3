// Package geoip answers where an IP address is, from a file that the operator gives:
// ip2region .xdb or MaxMind .mmdb, told apart by content.
//
// The promise: a file that is not one of these, or was cut short, is refused by Open
// with its name and the reason (TestOpenSaysWhatIsWrong). After that Lookup never
// fails: whatever the file holds, it neither panics nor loops, and an address without
// an answer is nil (FuzzDamagedFile). A place that was seen once costs no memory
// again (TestLookupAllocatesNothing).
//
// The file is mapped into memory, not read. Replace it by renaming a new one over it:
// a file that is cut or rewritten in place takes the program down with it, because
// the operating system has nothing to put behind the addresses.
package geoip

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
)

// Place is where an address is. Shared: never changed after it was given out.
type Place struct {
	Country, Province, City string  // as the file has them; "" = not known
	Lat, Lon                float64 // degrees, north and east
	Located                 bool    // Lat and Lon are known
	text                    string
}

// newPlace cleans the texts and finds coordinates. It gives nil when nothing is known.
func newPlace(country, province, city string) *Place {
	p := &Place{Country: clean(country), Province: clean(province), City: clean(city)}
	if p.Country == "" && p.Province == "" && p.City == "" {
		return nil
	}
	p.text = p.join()
	return p
}

// String is the known parts, largest first: "China Guangdong Shenzhen". A part that
// says the same as a larger one is left out. It is "" for nil.
func (p *Place) String() string {
	switch {
	case p == nil:
		return ""
	case p.text == "":
		return p.join() // made by hand, in a test
	}
	return p.text
}

func (p *Place) join() string {
	parts := make([]string, 0, 3)
	for _, part := range [...]string{p.Country, p.Province, p.City} {
		same := func(other string) bool { return sameWord(other, part) }
		if part != "" && !slices.ContainsFunc(parts, same) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, " ")
}

// sameWord knows that 上海 and 上海市 are one: the city that is its own province.
func sameWord(a, b string) bool {
	return strings.TrimSuffix(a, "市") == strings.TrimSuffix(b, "市")
}

// clean takes a text out of a file. The rest of the program (JSON, gRPC, logs) may
// count on UTF-8; a damaged file may hold anything. "0" is ip2region's "not known".
func clean(s string) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if s == "0" {
		return ""
	}
	return s
}

// DB is an open file. A nil DB, for who was given none, and the zero DB know nothing.
type DB struct {
	source atomic.Pointer[source]
}

// source is the file behind a DB, with what reads it.
type source struct {
	mapped *mapping // reader looks into it, so it lives as long as a Lookup does
	reader reader
}

// reader is one format. An implementation must not panic or loop, whatever its bytes.
type reader interface {
	// lookup gives nil for what it does not know. ip is valid, without a zone, and
	// IPv4 where it can be.
	lookup(ip netip.Addr) *Place
}

// Open opens a .xdb or .mmdb file. The error names the file and says what is wrong.
func Open(path string) (*DB, error) {
	mapped, err := openMapping(path)
	if err != nil {
		return nil, fmt.Errorf("open geo file: %w", err)
	}
	r, err := newReader(mapped.data)
	if err != nil {
		return nil, fmt.Errorf("open geo file %s: %w", path, err)
	}
	db := &DB{}
	db.source.Store(&source{mapped: mapped, reader: r})
	return db, nil
}

// openMapping looks before it opens: a pipe would wait for its writer.
func openMapping(path string) (*mapping, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err // it names the file
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory, not a file", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // a mapping outlives its file, and nothing was written
	mapped, err := mapFile(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("map %s into memory: %w", path, err)
	}
	return mapped, nil
}

// newReader tells the format by its marks: MaxMind's stands before the metadata at
// the end, ip2region has none but a header that must add up.
func newReader(data []byte) (reader, error) {
	if hasMetadata(data) {
		return newMMDB(data)
	}
	if x, err := newXDB(data); err == nil || !errors.Is(err, errNotXDB) {
		return x, err
	}
	for _, other := range [...]struct{ magic, advice string }{
		{"\x1f\x8b", "it is compressed with gzip: unpack it first"},
		{"PK\x03\x04", "it is a zip file: unpack it first"},
		{"version https://git-lfs", "it is only the Git LFS pointer to the file: fetch it with git lfs pull"},
	} {
		if bytes.HasPrefix(data, []byte(other.magic)) {
			return nil, errors.New(other.advice)
		}
	}
	return nil, errors.New("it is neither ip2region .xdb nor MaxMind .mmdb (or a .mmdb without its end: was it downloaded whole?)")
}

// Lookup says where an address is, or nil. An IPv4 address inside an IPv6 one is
// looked up as IPv4. Safe for concurrent use, also with Close.
func (d *DB) Lookup(ip netip.Addr) *Place {
	if d == nil {
		return nil
	}
	s := d.source.Load()
	if s == nil || !ip.IsValid() {
		return nil
	}
	p := s.reader.lookup(ip.Unmap().WithZone(""))
	runtime.KeepAlive(s.mapped)
	return p
}

// Close lets the file go; from then on Lookup knows nothing. Places stay good. The
// memory is given back after the last Lookup that was under way.
func (d *DB) Close() error {
	if d != nil {
		d.source.Store(nil)
	}
	return nil
}

package geoip

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// mmdb reads MaxMind files: City and Country, and those of others with their fields.
type mmdb struct {
	file      *maxminddb.Reader
	gazetteer gazetteer
	seen      *seen
}

// record is what we read of a record.
type record struct {
	Country      named   `maxminddb:"country"`
	Subdivisions []named `maxminddb:"subdivisions"`
	City         named   `maxminddb:"city"`
	Location     struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
	} `maxminddb:"location"`
}

type named struct {
	Names struct {
		Chinese string `maxminddb:"zh-CN"`
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// name is Chinese where the file has it and English otherwise, for each part on its
// own: MaxMind has Chinese names for all countries, but not for all cities.
func (n named) name() string {
	if n.Names.Chinese != "" {
		return n.Names.Chinese
	}
	return n.Names.English
}

// hasMetadata looks for MaxMind's mark where its format puts it: in the last 128 KiB.
func hasMetadata(data []byte) bool {
	return bytes.Contains(data[max(0, len(data)-128<<10):], []byte("\xab\xcd\xefMaxMind.com"))
}

func newMMDB(data []byte) (*mmdb, error) {
	file, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("MaxMind .mmdb is damaged: %w", err)
	}
	m := &mmdb{file: file, gazetteer: newGazetteer(), seen: newSeen(int(min(file.Metadata.NodeCount, seenMax)))}
	err = m.check()
	return m, err
}

// check looks for the first record with a place, so that a file of networks' owners
// or of anonymous addresses is refused instead of never answering.
//
// It asks for aliases and empty networks too: then each step of the iterator gives a
// network, and a damaged tree cannot keep it busy between two of them.
func (m *mmdb) check() error {
	const networksMax, recordsMax = 1 << 20, 10_000
	networks, records := 0, 0
	for res := range m.file.Networks(maxminddb.IncludeAliasedNetworks(), maxminddb.IncludeNetworksWithoutData()) {
		if err := res.Err(); err != nil {
			return fmt.Errorf("MaxMind .mmdb is damaged: %w", err)
		}
		if networks++; networks > networksMax {
			return nil // hardly anything in it, but a tree without an error so far
		}
		if !res.Found() {
			continue
		}
		if m.decode(res) != nil {
			return nil
		}
		if records++; records >= recordsMax {
			break
		}
	}
	return fmt.Errorf("MaxMind .mmdb of type %q: none of its first %d records has country.names, subdivisions.names or city.names, as City and Country files do",
		m.file.Metadata.DatabaseType, records)
}

func (m *mmdb) lookup(ip netip.Addr) *Place {
	res := m.file.Lookup(ip)
	if !res.Found() {
		return nil
	}
	key := uint64(res.Offset())
	if p, ok := m.seen.get(key); ok {
		return p
	}
	return m.seen.put(key, m.decode(res))
}

// decode gives nil for a record that cannot be read: one bad record is no reason to
// fail a scan, and Open has told what can be told about the file.
func (m *mmdb) decode(res maxminddb.Result) *Place {
	var r record
	if err := res.Decode(&r); err != nil {
		return nil
	}
	province := ""
	if len(r.Subdivisions) > 0 {
		province = r.Subdivisions[0].name()
	}
	p := newPlace(r.Country.name(), province, r.City.name())
	if p == nil {
		return nil
	}
	if lat, lon := r.Location.Latitude, r.Location.Longitude; lat != nil && lon != nil && onEarth(*lat, *lon) {
		p.Lat, p.Lon, p.Located = *lat, *lon, true
	} else {
		m.gazetteer.locate(p) // Country files have no coordinates
	}
	return p
}

// onEarth refuses also what is not a number.
func onEarth(lat, lon float64) bool {
	return math.Abs(lat) <= 90 && math.Abs(lon) <= 180
}

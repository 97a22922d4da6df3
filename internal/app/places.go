package app

import (
	"net/netip"

	"github.com/chopmark/chopmark/internal/platform/geoip"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// places tells verify where an address is, from the operator's file.
type places struct{ db *geoip.DB }

var _ verify.Places = (*places)(nil)

// openPlaces opens the file; without one every place is unknown.
func openPlaces(path string) (*places, error) {
	if path == "" {
		return &places{}, nil
	}
	db, err := geoip.Open(path)
	if err != nil {
		return nil, usage("geoip", "%v", err)
	}
	return &places{db}, nil
}

// Of implements verify.Places.
func (p *places) Of(ip netip.Addr) *verify.Place {
	found := p.db.Lookup(ip)
	if found == nil {
		return nil
	}
	return &verify.Place{
		Place: verifyevent.Place{Country: found.Country, Province: found.Province, City: found.City},
		Lat:   found.Lat, Lon: found.Lon, Located: found.Located,
	}
}

// Close ends the use of the file.
func (p *places) Close() error { return p.db.Close() }

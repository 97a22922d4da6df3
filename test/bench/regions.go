package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// regionsTable has the provinces with the place of their capital and the people of the
// census of 2020 in millions.
//
//go:embed regions.csv
var regionsTable string

// The cities where edges stand. Without them, all ask the first.
var (
	oneCity    = []string{"Shanghai"}
	threeCity  = []string{"Shanghai", "Beijing", "Guangdong"}
	sixCity    = []string{"Shanghai", "Beijing", "Guangdong", "Sichuan", "Hubei", "Xinjiang"}
	withoutOne = []string{"Shanghai", "Guangdong"} // Beijing is away
)

// The round trip between two places where nobody measured it: what the last mile costs,
// and fibre that takes detours, as operators in China publish it (Beijing to Guangzhou, 1,890 km: 44 ms).
const (
	lastMileMS = 6
	perKMMS    = 0.02
	serverMS   = 1
)

// region is where people are, and how far each site is for them.
type region struct {
	name     string
	lat, lon float64
	people   float64
	rtt      map[string]float64
}

// benchRegions simulates who asks which edge: a first visit takes three round trips (TCP,
// TLS 1.3, the request), a returning one over HTTP/3 takes one. What an edge answers of an
// item it holds itself; counts are in one Redis, in the first city, or in one of each city.
func benchRegions(_ context.Context, b *bench) error {
	regions, err := readRegions(b.latencies)
	if err != nil {
		return err
	}
	for _, visit := range []struct {
		name  string
		trips float64
	}{{"first visit, 3 round trips", 3}, {"return visit, 1 round trip", 1}} {
		all, tail := waited(regions, oneCity, visit.trips, false)
		for _, sites := range []struct {
			name, goal string
			at         []string
		}{{"3 cities", ">= 40 % less", threeCity}, {"6 cities", ">= 40 % less", sixCity}, {"3 cities, one of them away", "", withoutOne}} {
			mean, p95 := waited(regions, sites.at, visit.trips, false)
			counted, _ := waited(regions, sites.at, visit.trips, true)
			b.rowf(visit.name+": nearest of "+sites.name+" instead of one", sites.goal, "%.0f %% less (mean %.0f → %.0f ms, p95 %.0f → %.0f ms); counts in one city: %+.0f %%",
				100*(1-mean/all), all, mean, tail, p95, 100*(counted/all-1))
		}
	}
	return nil
}

// waited is the mean and the 95th percentile over people who each ask their nearest site,
// which asks the first for the count when they are all there.
func waited(regions []region, sites []string, trips float64, counts bool) (mean, p95 float64) {
	type share struct{ ms, people float64 }
	var shares []share
	var people float64
	for i := range regions {
		nearest := slices.MinFunc(sites, func(a, b string) int { return cmp.Compare(regions[i].rtt[a], regions[i].rtt[b]) })
		ms := trips*regions[i].rtt[nearest] + serverMS
		if counts && nearest != sites[0] {
			home := slices.IndexFunc(regions, func(r region) bool { return r.name == sites[0] })
			ms += regions[home].rtt[nearest] - lastMileMS
		}
		shares = append(shares, share{ms, regions[i].people})
		mean += ms * regions[i].people
		people += regions[i].people
	}
	slices.SortFunc(shares, func(a, b share) int { return cmp.Compare(a.ms, b.ms) })
	var seen float64
	for _, s := range shares {
		if seen += s.people; seen >= 0.95*people {
			return mean / people, s.ms
		}
	}
	return mean / people, shares[len(shares)-1].ms
}

// readRegions reads the provinces, and round trips that were measured from a file of
// province,site,milliseconds; those that are not in it are reckoned from the distance.
func readRegions(measured string) ([]region, error) {
	rows, err := csv.NewReader(strings.NewReader(regionsTable)).ReadAll()
	if err != nil {
		return nil, err
	}
	var all []region
	for _, row := range rows[1:] {
		r := region{name: row[0], rtt: map[string]float64{}}
		for i, to := range []*float64{&r.lat, &r.lon, &r.people} {
			if *to, err = strconv.ParseFloat(row[i+1], 64); err != nil {
				return nil, fmt.Errorf("regions.csv: %w", err)
			}
		}
		all = append(all, r)
	}
	for i := range all {
		for j := range all {
			all[i].rtt[all[j].name] = lastMileMS + perKMMS*distance(&all[i], &all[j])
		}
	}
	if measured == "" {
		return all, nil
	}
	f, err := os.Open(measured)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return all, override(all, f)
}

func override(all []region, from io.Reader) error {
	lines := csv.NewReader(from)
	lines.FieldsPerRecord = 3
	for {
		row, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		ms, err := strconv.ParseFloat(row[2], 64)
		at := slices.IndexFunc(all, func(r region) bool { return r.name == row[0] })
		if err != nil || ms <= 0 || at < 0 || all[at].rtt[row[1]] == 0 {
			return fmt.Errorf("%q is not province,site,milliseconds with names of regions.csv", strings.Join(row, ","))
		}
		all[at].rtt[row[1]] = ms
	}
}

// distance is along a great circle, in kilometres.
func distance(a, b *region) float64 {
	const radius, rad = 6371, math.Pi / 180
	h := math.Pow(math.Sin((b.lat-a.lat)*rad/2), 2) + math.Cos(a.lat*rad)*math.Cos(b.lat*rad)*math.Pow(math.Sin((b.lon-a.lon)*rad/2), 2)
	return 2 * radius * math.Asin(math.Sqrt(h))
}

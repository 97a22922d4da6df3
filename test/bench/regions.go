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

// home is where all are asked while there is one place, and where Redis is.
const home = "Shanghai"

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
// item it holds itself; counts are in one Redis in the home, for which an answer waits
// (--count-wait 150ms) or not (--count-wait 0). The cities are the best of their number.
func benchRegions(_ context.Context, b *bench) error {
	regions, err := readRegions(b.latencies)
	if err != nil {
		return err
	}
	for _, n := range []int{3, 4, 5, 6} {
		sites := best(regions, n)
		what := fmt.Sprintf("nearest of %d cities instead of %s alone", n, home)
		b.rowf(what+": where", "", "%s; without the busiest of the others %s", strings.Join(sites, ", "), saved(regions, without(regions, sites), 1, nowhere))
		b.rowf(what+": first visit, 3 round trips", ">= 40 % less", "%s; counts in one city %s, not waited for %s",
			saved(regions, sites, 3, nowhere), saved(regions, sites, 3, waitUsual), saved(regions, sites, 3, 0))
		b.rowf(what+": return visit, 1 round trip", ">= 40 % less", "%s; counts in one city %s, not waited for %s",
			saved(regions, sites, 1, nowhere), saved(regions, sites, 1, waitUsual), saved(regions, sites, 1, 0))
	}
	return nil
}

// How long an answer waits for a count in the home, in milliseconds.
const (
	waitUsual = 150
	nowhere   = -1 // each city has counts of its own
)

// saved tells how much sooner people have their answer than from the home alone.
func saved(regions []region, sites []string, trips, wait float64) string {
	all, tail := waited(regions, []string{home}, trips, nowhere)
	mean, p95 := waited(regions, sites, trips, wait)
	return fmt.Sprintf("%+.0f %% (mean %.0f → %.0f ms, p95 %.0f → %.0f ms)", 100*(mean/all-1), all, mean, tail, p95)
}

// best is the home with those n-1 cities that make the mean the smallest, of all that there are.
func best(regions []region, n int) []string {
	found, least := []string{}, math.Inf(1)
	var choose func(from int, sites []string)
	choose = func(from int, sites []string) {
		if len(sites) == n {
			if mean, _ := waited(regions, sites, 1, nowhere); mean < least {
				found, least = slices.Clone(sites), mean
			}
			return
		}
		for i := from; i < len(regions); i++ {
			if regions[i].name != home {
				choose(i+1, append(sites, regions[i].name))
			}
		}
	}
	choose(0, append(make([]string, 0, n), home))
	return found
}

// without leaves out the city beside the home whose loss costs most.
func without(regions []region, sites []string) []string {
	var worst []string
	most := 0.0
	for i := 1; i < len(sites); i++ {
		left := slices.Delete(slices.Clone(sites), i, i+1)
		if mean, _ := waited(regions, left, 1, nowhere); mean > most {
			worst, most = left, mean
		}
	}
	return worst
}

// waited is the mean and the 95th percentile over people who each ask their nearest site,
// which waits for a count in the first when they are all there.
func waited(regions []region, sites []string, trips, wait float64) (mean, p95 float64) {
	type share struct{ ms, people float64 }
	shares := make([]share, 0, len(regions))
	var people float64
	first := slices.IndexFunc(regions, func(r region) bool { return r.name == sites[0] })
	for i := range regions {
		nearest := sites[0]
		for _, site := range sites[1:] {
			if regions[i].rtt[site] < regions[i].rtt[nearest] {
				nearest = site
			}
		}
		ms := trips*regions[i].rtt[nearest] + serverMS
		if nearest != sites[0] && wait > 0 {
			ms += min(wait, regions[first].rtt[nearest]-lastMileMS)
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

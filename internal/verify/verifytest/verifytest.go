// Package verifytest holds every log of sightings to the contract of
// verify.Sightings: counts grow by exactly one, no two scans of an item are told
// the same count, and what was answered is still so after a reopening.
package verifytest

import (
	"math"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Start is the time of the first sighting in every test of the suite.
func Start() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 123_456_000, time.UTC) }

// Reopen gives the same log again: with what was recorded before, after it ended.
type Reopen func(t *testing.T) verify.Sightings

// Sightings runs the contract. open makes an empty log; each call of what it returns
// ends the log that is open and opens it again, the first call only opens it.
func Sightings(t *testing.T, open func(t *testing.T) Reopen) {
	t.Run("CountsGrowByOne", func(t *testing.T) { countsGrow(t, open(t)) })
	t.Run("FirstAndLast", func(t *testing.T) { firstAndLast(t, open(t)) })
	t.Run("SeenDoesNotCount", func(t *testing.T) { seenDoesNotCount(t, open(t)) })
	t.Run("ItemsAreApart", func(t *testing.T) { itemsAreApart(t, open(t)) })
	t.Run("ConcurrentScans", func(t *testing.T) { concurrent(t, open(t)) })
	t.Run("ReopenedTheSame", func(t *testing.T) { reopened(t, open(t)) })
	t.Run("SessionsOfDevices", func(t *testing.T) { sessions(t, open(t)) })
	t.Run("PlacesAreKept", func(t *testing.T) { places(t, open(t)) })
}

// numbers is what most tests are about.
func numbers(s verify.Seen) verify.Seen {
	return verify.Seen{Count: s.Count, FirstAt: s.FirstAt, LastAt: s.LastAt}
}

// sessions: a device that scans again within the window does not begin a session,
// also when the log was opened again in between.
func sessions(t *testing.T, reopen Reopen) {
	log := reopen(t)
	for i, step := range []struct {
		device   uint64
		after    time.Duration
		begins   bool
		sessions int64
	}{
		{1 << 32, 0, true, 1},
		{1 << 32, time.Hour, false, 1},
		{2 << 32, time.Hour, true, 2},
		{1 << 32, 24 * time.Hour, false, 2}, // 23 hours after its last
		{1 << 32, 49 * time.Hour, true, 3},  // 25 hours after
		{2 << 32, 50 * time.Hour, true, 4},
	} {
		s := Sighting(3, Start().Add(step.after))
		s.Device = step.device
		seen, err := log.Record(s)
		if err != nil || seen.Sessions != step.sessions || seen.What.Has(verifyevent.NewSession) != step.begins {
			t.Errorf("scan %d: %+v, %v; want %d sessions", i+1, seen, err, step.sessions)
		}
		if i%2 == 1 {
			log = reopen(t)
		}
	}
}

// places: the first and the last place are told, and far apart in a short time is a
// fact of the scan.
func places(t *testing.T, reopen Reopen) {
	log := reopen(t)
	city := func(name string, lat, lon float64) *verify.Place {
		return &verify.Place{Place: verifyevent.Place{Country: "中国", City: name}, Lat: lat, Lon: lon, Located: true}
	}
	beijing, tianjin, guangzhou := city("北京", 39.9, 116.4), city("天津", 39.1, 117.2), city("广州", 23.1, 113.3)
	for i, step := range []struct {
		at    time.Duration
		place *verify.Place
		last  string
		far   bool
	}{
		{0, beijing, "中国 北京", false},
		{time.Minute, tianjin, "中国 天津", false}, // near
		{time.Hour, guangzhou, "中国 广州", true},  // 1,800 km in an hour
		{5 * time.Hour, beijing, "中国 北京", false},
		{5*time.Hour + 1, nil, "", false},
		{5*time.Hour + 2, guangzhou, "中国 广州", false}, // after a place that is not known
	} {
		s := Sighting(4, Start().Add(step.at))
		s.Place = step.place
		seen, err := log.Record(s)
		if err != nil || seen.FirstIn != "中国 北京" || seen.LastIn != step.last || seen.What.Has(verifyevent.Far) != step.far {
			t.Errorf("scan %d: %+v, %v; want %q, far %v", i+1, seen, err, step.last, step.far)
		}
		log = reopen(t)
		if seen, err := log.Seen(4); err != nil || seen.FirstIn != "中国 北京" || seen.LastIn != step.last {
			t.Errorf("reopened after scan %d: %+v, %v", i+1, seen, err)
		}
	}
}

// Sighting is a scan of an item by one device at one place.
func Sighting(s ids.Serial, at time.Time) *verify.Sighting {
	return &verify.Sighting{
		Item: &verify.Item{Serial: s, BrandID: 1001, ProductID: 2001, No: int64(s) + 1}, At: at, Verdict: verify.Authentic, Source: verify.FromPage,
		Client: &verify.Client{IP: netip.MustParseAddr("203.0.113.7"), Agent: "Mozilla/5.0", Zone: "Asia/Shanghai"}, Device: 7 << 32,
		Place: &verify.Place{Place: verifyevent.Place{Country: "中国", Province: "贵州", City: "遵义"}},
	}
}

func record(t *testing.T, log verify.Sightings, s ids.Serial, at time.Time) verify.Seen {
	t.Helper()
	seen, err := log.Record(Sighting(s, at))
	if err != nil {
		t.Fatalf("Record(%d): %v", s, err)
	}
	return seen
}

func wantSeen(t *testing.T, log verify.Sightings, s ids.Serial, want verify.Seen) {
	t.Helper()
	got, err := log.Seen(s)
	if err != nil {
		t.Fatalf("Seen(%d): %v", s, err)
	}
	if diff := cmp.Diff(want, numbers(got)); diff != "" {
		t.Errorf("Seen(%d) (-want +got):\n%s", s, diff)
	}
}

func countsGrow(t *testing.T, reopen Reopen) {
	log := reopen(t)
	for n := range int64(300) {
		if seen := record(t, log, 7, Start()); seen.Count != n+1 {
			t.Fatalf("scan %d was told %d", n+1, seen.Count)
		}
	}
}

func firstAndLast(t *testing.T, reopen Reopen) {
	log := reopen(t)
	second := time.Second
	for i, step := range []struct {
		at          time.Duration
		first, last time.Duration
	}{
		{0, 0, 0},
		{3 * second, 0, 3 * second},
		{time.Microsecond, 0, 3 * second}, // the clock went back: last does not
		{-second, 0, 3 * second},          // and first stays what everybody was told
		{4 * second, 0, 4 * second},
	} {
		want := verify.Seen{Count: int64(i + 1), FirstAt: Start().Add(step.first), LastAt: Start().Add(step.last)}
		if diff := cmp.Diff(want, numbers(record(t, log, 9, Start().Add(step.at)))); diff != "" {
			t.Fatalf("scan %d (-want +got):\n%s", i+1, diff)
		}
		wantSeen(t, log, 9, want)
	}
}

func seenDoesNotCount(t *testing.T, reopen Reopen) {
	log := reopen(t)
	for range 3 {
		wantSeen(t, log, 5, verify.Seen{})
	}
	if seen := record(t, log, 5, Start()); seen.Count != 1 {
		t.Fatalf("the first scan after three looks was told %d", seen.Count)
	}
	for range 3 {
		wantSeen(t, log, 5, verify.Seen{Count: 1, FirstAt: Start(), LastAt: Start()})
	}
	log = reopen(t)
	wantSeen(t, log, 5, verify.Seen{Count: 1, FirstAt: Start(), LastAt: Start()})
}

func itemsAreApart(t *testing.T, reopen Reopen) {
	log := reopen(t)
	serials := []ids.Serial{0, 1, 255, 256, 1<<32 - 1, 1 << 32, ids.SerialCount - 1}
	for i, s := range serials {
		for n := range i + 1 {
			record(t, log, s, Start().Add(time.Duration(n)*time.Second))
		}
	}
	check := func() {
		t.Helper()
		for i, s := range serials {
			wantSeen(t, log, s, verify.Seen{
				Count: int64(i + 1), FirstAt: Start(), LastAt: Start().Add(time.Duration(i) * time.Second),
			})
			wantSeen(t, log, s+2, verify.Seen{}) // a neighbour that nobody scanned
		}
	}
	check()
	log = reopen(t)
	check()
}

// concurrent lets many scans of few and of many items meet.
func concurrent(t *testing.T, reopen Reopen) {
	const workers, items, scansEach = 64, 97, 60
	log := reopen(t)
	var mu sync.Mutex
	told := map[ids.Serial]map[int64]bool{}
	first := map[ids.Serial]time.Time{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range scansEach {
				s := ids.Serial((w*31 + n*n) % items)
				seen, err := log.Record(Sighting(s, Start().Add(time.Duration(w*1000+n)*time.Microsecond)))
				if err != nil {
					t.Errorf("Record(%d): %v", s, err)
					return
				}
				mu.Lock()
				if told[s] == nil {
					told[s], first[s] = map[int64]bool{}, seen.FirstAt
				}
				if told[s][seen.Count] {
					t.Errorf("two scans of item %d were told %d", s, seen.Count)
				}
				if !seen.FirstAt.Equal(first[s]) {
					t.Errorf("item %d was first seen at %v and at %v", s, first[s], seen.FirstAt)
				}
				told[s][seen.Count] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sums := func() (sum int64) {
		t.Helper()
		for s, counts := range told {
			seen, err := log.Seen(s)
			if err != nil {
				t.Fatal(err)
			}
			if seen.Count != int64(len(counts)) || !seen.FirstAt.Equal(first[s]) {
				t.Errorf("Seen(%d) = %+v, want %d since %v", s, seen, len(counts), first[s])
			}
			for n := range seen.Count {
				if !counts[n+1] {
					t.Errorf("no scan of item %d was told %d", s, n+1)
				}
			}
			sum += seen.Count
		}
		return sum
	}
	for _, when := range []string{"open", "reopened"} {
		if sum := sums(); sum != workers*scansEach {
			t.Errorf("%s: %d sightings in all, want %d", when, sum, workers*scansEach)
		}
		log = reopen(t)
	}
}

func reopened(t *testing.T, reopen Reopen) {
	log := reopen(t)
	const rounds, items = 5, 40
	for round := range rounds {
		for s := range ids.Serial(items) {
			at := Start().Add(time.Duration(round) * time.Hour)
			want := verify.Seen{Count: int64(round + 1), FirstAt: Start(), LastAt: at}
			if diff := cmp.Diff(want, numbers(record(t, log, s, at))); diff != "" {
				t.Fatalf("round %d, item %d (-want +got):\n%s", round, s, diff)
			}
		}
		log = reopen(t)
		if round == rounds-1 {
			log = reopen(t) // with nothing in between
		}
	}
	for s := range ids.Serial(items) {
		wantSeen(t, log, s, verify.Seen{Count: rounds, FirstAt: Start(), LastAt: Start().Add((rounds - 1) * time.Hour)})
	}
	wantSeen(t, log, math.MaxInt64, verify.Seen{})
}

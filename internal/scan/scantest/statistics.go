package scantest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// sum asks without limits.
func (w *World) sum(ask scan.SumAsk) []scan.Sum {
	w.T.Helper()
	return sumOf(w.T, w.Statistics, ask)
}

func sumOf(t *testing.T, s scan.Statistics, ask scan.SumAsk) []scan.Sum {
	t.Helper()
	ask.RowsMax = 1 << 20
	if ask.To == 0 {
		ask.To = math.MaxInt32 * 4
	}
	got, err := s.Sum(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// wantSums is how the model counts: one sighting after the other.
func wantSums(seen []scan.Seen, ask scan.SumAsk) []scan.Sum {
	type key struct {
		start, number int64
		province      string
	}
	sums := map[key]*scan.Sum{}
	for _, s := range seen {
		width := ask.Grain.Seconds()
		at := s.At / 1_000_000
		start := at - at%width
		if start < ask.From || ask.To != 0 && start >= ask.To || !ask.Matches(s.Brand, s.Product, s.FirstOfBatch()) {
			continue
		}
		k := key{start: start}
		if ask.Whole {
			k.start = 0
		}
		switch ask.By {
		case scan.ByBrand:
			k.number = int64(s.Brand)
		case scan.ByProduct:
			k.number = int64(s.Product)
		case scan.ByBatch:
			k.number = int64(s.FirstOfBatch())
		case scan.ByVerdict:
			k.number = int64(s.Verdict)
		case scan.ByProvince:
			k.province = s.Place.Province
		case scan.ByNothing:
		}
		if sums[k] == nil {
			sums[k] = &scan.Sum{Start: k.start, Number: k.number, Province: k.province}
		}
		c := scan.Counts{Scans: 1}
		for fact, n := range map[verifyevent.What]*int64{
			verifyevent.NewSession: &c.Sessions, verifyevent.First: &c.Firsts, verifyevent.FirstOfDay: &c.FirstsOfDay,
		} {
			if s.What.Has(fact) {
				*n = 1
			}
		}
		sums[k].Add(c)
	}
	return sorted(slices.Collect(func(yield func(scan.Sum) bool) {
		for _, s := range sums {
			if !yield(*s) {
				return
			}
		}
	}))
}

func sorted(sums []scan.Sum) []scan.Sum {
	slices.SortFunc(sums, func(a, b scan.Sum) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Province, b.Province))
	})
	return sums
}

// CheckStatistics holds all that statistics say against the sightings themselves.
func CheckStatistics(t *testing.T, s scan.Statistics, seen []scan.Seen) {
	t.Helper()
	asks := []scan.SumAsk{}
	for _, grain := range []scan.Grain{scan.Minute, scan.Hour, scan.EachDay} {
		for by := scan.ByNothing; by <= scan.ByVerdict; by++ {
			if grain != scan.Minute || by != scan.ByProvince {
				asks = append(asks, scan.SumAsk{Grain: grain, By: by}, scan.SumAsk{Grain: grain, By: by, Whole: true},
					scan.SumAsk{Grain: grain, By: by, Filter: scan.Filter{Brand: 1001}})
			}
		}
	}
	for _, ask := range asks {
		if diff := gocmp.Diff(wantSums(seen, ask), sorted(sumOf(t, s, ask)), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", ask, diff)
		}
	}
	codes, firsts, tops := map[ids.Serial]bool{}, map[ids.BrandID][]string{}, map[ids.BrandID]map[ids.Serial]int64{}
	for _, v := range seen {
		codes[v.Serial] = true
		if v.What.Has(verifyevent.First) {
			firsts[v.Brand] = append(firsts[v.Brand], fmt.Sprintf("%d %d", v.At, v.Serial))
		}
		if tops[v.Brand] == nil {
			tops[v.Brand] = map[ids.Serial]int64{}
		}
		tops[v.Brand][v.Serial] = max(tops[v.Brand][v.Serial], v.Count)
	}
	k, ok, err := s.Distinct(t.Context(), scan.Filter{}, 0, 1<<20)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if n, exact := k.Count(); exact && n != int64(len(codes)) {
		t.Errorf("%d distinct codes, want %d", n, len(codes))
	}
	for brand, want := range firsts {
		all, err := s.Items(t.Context(), brand, time.Time{}, time.UnixMicro(scan.Latest).Add(time.Second), 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range all {
			got = append(got, fmt.Sprintf("%d %d", i.At.UnixMicro(), i.Serial))
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatalf("scanned codes of brand %d (-want +got):\n%s", brand, diff)
		}
		checkTop(t, s, brand, tops[brand])
	}
}

// checkTop compares counts: of equal counts any code may be listed.
func checkTop(t *testing.T, s scan.Statistics, brand ids.BrandID, counts map[ids.Serial]int64) {
	t.Helper()
	top, err := s.TopCodes(t.Context(), brand, scan.TopCodesKept)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(maps.Values(counts))
	slices.Reverse(want)
	want = want[:min(len(want), scan.TopCodesKept)]
	var got []int64
	for _, c := range top {
		got = append(got, c.Count)
		if counts[c.Serial] != c.Count {
			t.Errorf("brand %d: code %d has %d scans in the list, %d in truth", brand, c.Serial, c.Count, counts[c.Serial])
		}
	}
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("top codes of brand %d (-want +got):\n%s", brand, diff)
	}
}

func countsOnce(w *World) {
	w.traffic(300, 3*time.Hour)
	w.both()
	w.both()
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
	w.must(w.Fold(w.T.Context()))
	w.both()
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
	w.must(w.Fold(w.T.Context()))
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
}

func sums(w *World) {
	w.traffic(500, 30*time.Hour)
	w.both()
	w.must(w.Fold(w.T.Context()))
	w.traffic(500, 50*time.Hour) // half of it pending
	w.both()
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
	s := w.Log.Sightings[0]
	for _, f := range []scan.Filter{
		{Brand: s.Brand, Product: s.Product}, {Brand: s.Brand, Product: s.Product, Batch: s.FirstOfBatch(), HasBatch: true},
		{Product: s.Product}, {Brand: 99},
	} {
		ask := scan.SumAsk{Filter: f, Grain: scan.Hour, By: scan.ByProvince, From: Start().Unix() / 3600 * 3600, To: Start().Add(5*time.Hour).Unix() / 3600 * 3600}
		if diff := gocmp.Diff(wantSums(w.Log.Sightings, ask), w.sum(ask), cmpopts.EquateEmpty()); diff != "" {
			w.T.Errorf("%+v (-want +got):\n%s", ask, diff)
		}
	}
}

func sumRefuses(w *World) {
	w.traffic(300, 30*time.Hour)
	w.both()
	for range 2 {
		_, err := w.Statistics.Sum(w.T.Context(), scan.SumAsk{Grain: scan.Minute, To: math.MaxInt32, RowsMax: 5})
		if !errors.Is(err, scan.ErrTooMuch) {
			w.T.Errorf("error %v, want ErrTooMuch", err)
		}
		w.must(w.Fold(w.T.Context()))
	}
}

func distinct(w *World) {
	ctx := w.T.Context()
	const codes = 4000 // of one batch on each of two days, half of them the same: beyond what is exact
	for day := range 2 {
		for i := range codes {
			serial := ids.Serial(day*codes/2 + i)
			w.Log.Scan(verifyevent.Sighting{
				Serial: serial, At: Start().AddDate(0, 0, day).UnixMicro(), Brand: 1001, Product: 2001, No: int64(serial) + 1, Verdict: Authentic,
			})
			if i%50 == 0 {
				w.Log.Flush()
			}
		}
	}
	w.both()
	first := scan.DayAt(Start())
	for range 2 {
		for _, f := range []scan.Filter{{}, {Brand: 1001}, {Brand: 1001, Product: 2001}, {Brand: 1001, Product: 2001, HasBatch: true}} {
			k, ok, err := w.Statistics.Distinct(ctx, f, first, first+2)
			w.must(err)
			n, exact := k.Count()
			if off := math.Abs(float64(n)/(1.5*codes) - 1); !ok || exact || off > 4*scan.SketchError {
				w.T.Errorf("%+v: %d codes (exact %v), want about %d", f, n, exact, codes*3/2)
			}
		}
		k, _, err := w.Statistics.Distinct(ctx, scan.Filter{Brand: 7}, first, first+2)
		w.must(err)
		if n, exact := k.Count(); n != 0 || !exact {
			w.T.Errorf("%d codes of a brand without any", n)
		}
		if got := w.sum(scan.SumAsk{Grain: scan.EachDay}); len(got) != 2 || got[0].FirstsOfDay != codes || got[1].FirstsOfDay != codes {
			w.T.Errorf("days %+v, want exactly %d codes each", got, codes)
		}
		w.must(w.Fold(ctx))
	}
}

func topCodes(w *World) {
	d := Dice(3)
	for i := range 6000 {
		serial := ids.Serial(min(d.Below(400), d.Below(400)))
		w.Log.Scan(verifyevent.Sighting{Serial: serial, At: Start().Add(time.Duration(i) * time.Second).UnixMicro(), Brand: 1001, Product: 1, No: int64(serial) + 1, Verdict: Authentic})
		if i%20 == 19 {
			w.Log.Flush()
		}
	}
	w.both()
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
	w.must(w.Fold(w.T.Context()))
	CheckStatistics(w.T, w.Statistics, w.Log.Sightings)
	if few, err := w.Statistics.TopCodes(w.T.Context(), 1001, 3); err != nil || len(few) != 3 || few[0].LastAt.Before(Start()) {
		w.T.Errorf("the first three: %v, %v", few, err)
	}
}

func items(w *World) {
	for i := range 20 {
		w.Log.Scan(verifyevent.Sighting{Serial: ids.Serial(i), At: Start().Add(time.Duration(i/3) * time.Second).UnixMicro(), Verdict: Authentic})
		if i == 9 {
			w.both()
			w.must(w.Fold(w.T.Context()))
		}
	}
	w.both()
	var got []ids.Serial
	before, serial := Start().Add(time.Hour), ids.Serial(0)
	for {
		page, err := w.Statistics.Items(w.T.Context(), 1001, Start().Add(time.Second), before, serial, 4)
		w.must(err)
		if len(page) == 0 {
			break
		}
		for _, i := range page {
			got = append(got, i.Serial)
		}
		before, serial = page[len(page)-1].At, page[len(page)-1].Serial
	}
	want := []ids.Serial{19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3}
	if diff := gocmp.Diff(want, got); diff != "" {
		w.T.Errorf("codes since a second after the start (-want +got):\n%s", diff)
	}
}

func prune(w *World) {
	w.traffic(100, time.Hour)
	w.both()
	w.must(w.Fold(w.T.Context()))
	left := func(g scan.Grain) bool { return len(w.sum(scan.SumAsk{Grain: g})) > 0 }
	for _, step := range []struct {
		after             time.Duration
		minute, hour, day bool
	}{{2 * time.Hour, true, true, true}, {51 * time.Hour, false, true, true}, {92 * 24 * time.Hour, false, false, true}} {
		*w.Now = Start().Add(step.after)
		w.must(w.Prune(w.T.Context()))
		if got := [3]bool{left(scan.Minute), left(scan.Hour), left(scan.EachDay)}; got != [3]bool{step.minute, step.hour, step.day} {
			w.T.Errorf("after %s minutes, hours, days are left: %v", step.after, got)
		}
	}
}

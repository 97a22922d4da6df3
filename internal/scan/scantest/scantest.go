package scantest

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Engine is what the suite drives: the contracts, and the upkeep that makes their
// promises come true.
type Engine struct {
	Records interface {
		scan.Records
		stream.Handler
	}
	Statistics interface {
		scan.Statistics
		stream.Handler
	}
	Policies  scan.Policies
	Forget    func(ctx context.Context) error
	CloseDays func(ctx context.Context) error // of all that is over
	DropDays  func(ctx context.Context) error
	Fold      func(ctx context.Context) error // now
	Prune     func(ctx context.Context) error
	Split     stream.Split
}

// World is an engine under the suite, with a clock that the test sets.
type World struct {
	Engine

	T   *testing.T
	Log *Log
	Now *time.Time
}

// Open gives an empty engine that takes its time from now and its codes from Codes.
type Open func(t *testing.T, now *time.Time) Engine

// Suite runs the contracts.
func Suite(t *testing.T, open Open) {
	for name, test := range map[string]func(*World){
		"AddLeavesAloneWhatItHas":      addTwice,
		"RecordsAreReadBack":           readBack,
		"ClosedDaysHaveAnIndex":        closedDays,
		"LateRecordsGoIntoClosedDays":  lateRecords,
		"OldDaysAreDeleted":            oldDays,
		"AddressesArePolicy":           addresses,
		"PolicyIsTiedToItsRequest":     policyRequest,
		"EachSightingCountsOnce":       countsOnce,
		"SumsAreThoseOfTheLog":         sums,
		"SumRefusesTooMuch":            sumRefuses,
		"DistinctCodes":                distinct,
		"TopCodesAreExact":             topCodes,
		"ItemsAreListedNewestFirst":    items,
		"OldBucketsArePruned":          prune,
		"AbsurdTimesAreBounded":        absurdTimes,
		"UnfitSightingsAreBuriedAlone": unfit,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := Start().Add(time.Hour)
			test(&World{T: t, Engine: open(t, &now), Log: NewLog(), Now: &now})
		})
	}
}

func (w *World) must(err error) {
	w.T.Helper()
	if err != nil {
		w.T.Fatal(err)
	}
}

// Consume runs a group over records to their end.
func Consume(t *testing.T, name string, h stream.Handler, split stream.Split, records []stream.Record) []stream.Letter {
	t.Helper()
	letters := &Letters{}
	c := stream.Config{Wait: time.Millisecond, Backoff: time.Millisecond, HandlerTries: 2}
	if err := stream.Run(t.Context(), c, NewGroup(name, records), letters, split, h); !errors.Is(err, stream.ErrClosed) {
		t.Fatal(err)
	}
	return letters.Buried
}

// both lets both groups consume all of the log.
func (w *World) both() {
	w.T.Helper()
	w.Log.Flush()
	for name, h := range map[string]stream.Handler{scan.GroupRecords: w.Records, scan.GroupStatistics: w.Statistics} {
		if buried := Consume(w.T, name, h, w.Split, w.Log.Records); len(buried) > 0 {
			w.T.Fatalf("%s: buried %v", name, buried)
		}
	}
}

// traffic logs n scans over a span of time.
func (w *World) traffic(n int, span time.Duration) {
	t := &Traffic{Dice: 11, Brands: 3, Batches: 4, PerItem: 4}
	for i := range n {
		w.Log.Scan(t.Next(Start().Add(span * time.Duration(i) / time.Duration(n))))
		if i%7 == 6 {
			w.Log.Flush()
		}
	}
	w.Log.Flush()
}

func (w *World) days() []scan.DayInfo {
	w.T.Helper()
	days, err := w.Records.Days(w.T.Context())
	w.must(err)
	return days
}

func (w *World) all() (records []scan.Record) {
	w.T.Helper()
	for _, d := range w.days() {
		w.must(w.Records.Each(w.T.Context(), d.Day, func(r scan.Record) error { records = append(records, r); return nil }))
	}
	return records
}

func addTwice(w *World) {
	w.traffic(200, 20*time.Hour)
	w.both()
	w.both()
	if got := len(w.all()); got != 200 {
		w.T.Errorf("%d records of 200 scans that were delivered twice", got)
	}
}

func readBack(w *World) {
	w.traffic(300, 20*time.Hour)
	w.Log.Scan(verifyevent.Sighting{Serial: 5, At: Start().UnixMicro(), Verdict: Authentic, IP: netip.MustParseAddr("2001:db8:1:2::3")})
	w.Log.Scan(verifyevent.Sighting{
		Serial: 5, At: Start().UnixMicro(), Verdict: Void, Source: 2, What: verifyevent.Far | verifyevent.Traced | verifyevent.SignedIn, User: 1<<52 - 1,
		Trace: verifyevent.Trace{ID: [16]byte{1, 2}}, IP: netip.MustParseAddr("::ffff:192.0.2.7"),
	})
	w.both()
	*w.Now = Start().Add(time.Hour)
	for _, s := range w.Log.Sightings {
		want := scan.RecordOf(&s, Codes{}.Code(s.Serial))
		got, ok, err := w.Records.Find(w.T.Context(), s.Ref)
		w.must(err)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); !ok || diff != "" {
			w.T.Fatalf("record %s (-want +got):\n%s", scan.RefText(s.Ref), diff)
		}
	}
	if _, ok, err := w.Records.Find(w.T.Context(), verifyevent.Ref{At: 5}); ok || err != nil {
		w.T.Errorf("a record that never was: %v, %v", ok, err)
	}
}

func closedDays(w *World) {
	w.traffic(400, 40*time.Hour)
	w.both()
	*w.Now = scan.DayAt(Start()).End().Add(9 * time.Minute)
	w.must(w.CloseDays(w.T.Context()))
	if d := w.days(); len(d) != 3 && len(d) != 2 || d[0].Closed {
		w.T.Fatalf("days %v: the first is closed within its grace", d)
	}
	*w.Now = w.Now.Add(2 * time.Minute)
	w.must(w.CloseDays(w.T.Context()))
	w.must(w.CloseDays(w.T.Context()))
	d := w.days()
	if !d[0].Closed || d[1].Closed {
		w.T.Fatalf("days %v, want the first closed", d)
	}
	byCode := map[string]int{}
	for _, s := range w.Log.Sightings {
		if scan.DayOf(s.At) == d[0].Day {
			byCode[Codes{}.Code(s.Serial)]++
		}
	}
	for code, want := range byCode {
		got, err := w.Records.OfDay(w.T.Context(), d[0].Day, code, 1000)
		w.must(err)
		if len(got) != want {
			w.T.Errorf("%d scans of %s on the day, want %d", len(got), code, want)
		}
		if open, err := w.Records.OfDay(w.T.Context(), d[1].Day, code, 1000); len(open) > 0 || err != nil {
			w.T.Errorf("an open day was asked by an index that it has not: %v, %v", open, err)
		}
	}
	w.both() // once more, now that there are indexes
	if got := len(w.all()); got != 400 {
		w.T.Errorf("%d records, want 400", got)
	}
}

func lateRecords(w *World) {
	w.traffic(10, time.Hour)
	w.both()
	*w.Now = Start().Add(48 * time.Hour)
	w.must(w.CloseDays(w.T.Context()))
	w.Log.NextGeneration()
	ref := w.Log.Scan(verifyevent.Sighting{Serial: 77, At: Start().UnixMicro(), Verdict: Authentic})
	w.both()
	got, ok, err := w.Records.Find(w.T.Context(), ref)
	w.must(err)
	if !ok || got.Serial != 77 {
		w.T.Errorf("the late record is not found: %v %v", got, ok)
	}
	day, err := w.Records.OfDay(w.T.Context(), scan.DayAt(Start()), got.Code, 10)
	w.must(err)
	if len(day) != 1 {
		w.T.Errorf("by the index: %v", day)
	}
}

func oldDays(w *World) {
	w.traffic(100, 40*time.Hour)
	w.both()
	*w.Now = Start().Add(800 * 24 * time.Hour)
	w.must(w.DropDays(w.T.Context()))
	if len(w.days()) == 0 {
		w.T.Fatal("days that are open were deleted")
	}
	w.must(w.CloseDays(w.T.Context()))
	*w.Now = scan.DayAt(Start()).Start().Add(731 * 24 * time.Hour)
	w.must(w.DropDays(w.T.Context()))
	if d := w.days(); len(d) == 0 || d[0].Day != scan.DayAt(Start())+1 {
		w.T.Errorf("days %v, want only the first deleted", d)
	}
	if _, ok, err := w.Records.Find(w.T.Context(), w.Log.Sightings[0].Ref); ok || err != nil {
		w.T.Errorf("a record of a deleted day: %v, %v", ok, err)
	}
}

func addresses(w *World) {
	ctx := w.T.Context()
	ip := netip.MustParseAddr("203.0.113.77")
	shown := func(brand ids.BrandID) bool {
		w.T.Helper()
		for _, r := range w.all() {
			if r.Brand == brand {
				if r.Net != "203.0.113.0/24" {
					w.T.Errorf("network %q", r.Net)
				}
				return r.IP == ip
			}
		}
		w.T.Fatalf("no record of brand %d", brand)
		return false
	}
	_, _, err := w.Policies.SetPolicy(ctx, ids.Request{}, scan.Policy{Brand: 1003, IPDays: 0})
	w.must(err)
	_, _, err = w.Policies.SetPolicy(ctx, ids.Request{}, scan.Policy{Brand: 1002, IPDays: 5})
	w.must(err)
	for i, brand := range []ids.BrandID{1001, 1002, 1003} {
		w.Log.Scan(verifyevent.Sighting{Serial: ids.Serial(i), At: Start().UnixMicro(), Brand: brand, Product: 1, No: 1, IP: ip, Verdict: Authentic})
	}
	w.both()
	for day, want := range map[int][3]bool{0: {true, true, false}, 5: {true, true, false}} {
		*w.Now = Start().AddDate(0, 0, day)
		w.must(w.Forget(ctx))
		if got := [3]bool{shown(1001), shown(1002), shown(1003)}; got != want {
			w.T.Errorf("after %d days addresses are shown: %v, want %v", day, got, want)
		}
	}
	*w.Now = Start().AddDate(0, 0, 6)
	if shown(1002) {
		w.T.Error("an address that is too old is shown before the sweep")
	}
	w.must(w.Forget(ctx))
	*w.Now = Start() // a clock that steps back brings nothing back
	if shown(1002) {
		w.T.Error("a forgotten address came back")
	}
	_, _, err = w.Policies.SetPolicy(ctx, ids.Request{}, scan.Policy{Brand: 1001, IPDays: 0})
	w.must(err)
	if shown(1001) {
		w.T.Error("the policy keeps none, and one is shown")
	}
	_, _, err = w.Policies.SetPolicy(ctx, ids.Request{}, scan.Policy{Brand: 1001, IPDays: 30})
	w.must(err)
	if shown(1001) {
		w.T.Error("a longer policy brought a forgotten address back")
	}
}

func policyRequest(w *World) {
	ctx := w.T.Context()
	p, err := w.Policies.Policy(ctx, 1001)
	w.must(err)
	if p.IPDays != scan.IPDaysUsual || !p.ChangedAt.IsZero() {
		w.T.Errorf("the usual policy is %+v", p)
	}
	r := ids.Request{Key: [32]byte{1}, Body: [32]byte{2}}
	_, replayed, err := w.Policies.SetPolicy(ctx, r, scan.Policy{Brand: 1001, IPDays: 7})
	w.must(err)
	if replayed {
		w.T.Error("the first is replayed")
	}
	_, _, err = w.Policies.SetPolicy(ctx, ids.Request{}, scan.Policy{Brand: 1001, IPDays: 9})
	w.must(err)
	got, replayed, err := w.Policies.SetPolicy(ctx, r, scan.Policy{Brand: 1001, IPDays: 7})
	w.must(err)
	if !replayed || got.IPDays != 7 {
		w.T.Errorf("the retry: %+v, %v", got, replayed)
	}
	if p, err = w.Policies.Policy(ctx, 1001); err != nil || p.IPDays != 9 || !p.ChangedAt.Equal(*w.Now) {
		w.T.Errorf("policy %+v, %v; the retry must not have changed it", p, err)
	}
	if _, _, err = w.Policies.SetPolicy(ctx, ids.Request{Key: r.Key}, scan.Policy{Brand: 1001, IPDays: 8}); err == nil {
		w.T.Error("another body under the same key was taken")
	}
}

func absurdTimes(w *World) {
	for i, at := range []int64{-62135596800000000, 0, 253402300799000000, 1 << 62, -1 << 62} {
		w.Log.Scan(verifyevent.Sighting{Serial: ids.Serial(i), At: at, Verdict: Authentic})
	}
	w.both()
	w.must(w.Fold(w.T.Context()))
	var got []string
	for _, d := range w.days() {
		got = append(got, d.Day.String())
	}
	if want := []string{"2000-01-01", "2099-12-31"}; !slices.Equal(got, want) {
		w.T.Errorf("days %v, want %v", got, want)
	}
	if n := len(w.all()); n != 5 {
		w.T.Errorf("%d records, want 5", n)
	}
	w.T.Log(w.Statistics.Newest())
}

func unfit(w *World) {
	good := verifyevent.Sighting{Serial: 10, At: Start().UnixMicro(), Brand: 1001, Product: 1, No: 1, Verdict: Authentic}
	w.Log.Scan(good)
	for _, spoil := range []func(*verifyevent.Sighting){
		func(s *verifyevent.Sighting) { s.No = 0 },
		func(s *verifyevent.Sighting) { s.No = 12 },
		func(s *verifyevent.Sighting) { s.Brand = -1 },
		func(s *verifyevent.Sighting) { s.Product = 0 },
		func(s *verifyevent.Sighting) { s.Serial = ids.SerialCount; s.No = 1 },
	} {
		bad := good
		spoil(&bad)
		w.Log.Scan(bad)
	}
	w.Log.Scan(verifyevent.Sighting{Serial: 11, At: Start().UnixMicro(), Brand: 1001, Product: 1, No: 2, Verdict: 250, Agent: "\xff\x00bad"})
	w.Log.Flush()
	w.Log.Records = append(w.Log.Records, stream.Record{At: w.Log.at, Prev: w.Log.at - 1, Value: []byte("junk")})
	for name, h := range map[string]stream.Handler{scan.GroupRecords: w.Records, scan.GroupStatistics: w.Statistics} {
		buried := Consume(w.T, name, h, w.Split, w.Log.Records)
		if len(buried) != 6 {
			w.T.Errorf("%s: buried %d, want the five that are unfit and the junk", name, len(buried))
		}
	}
	if n := len(w.all()); n != 2 {
		w.T.Errorf("%d records, want the two that are fit", n)
	}
	if got := w.sum(scan.SumAsk{Grain: scan.EachDay, Whole: true}); len(got) != 1 || got[0].Scans != 2 {
		w.T.Errorf("counted %v, want the two that are fit", got)
	}
}

package scan

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// TestVerdictsAreVerifys holds our copy of the names to verify's.
func TestVerdictsAreVerifys(t *testing.T) {
	t.Parallel()
	if got, want := len(verdictNames), len(verify.Verdicts()); got != want {
		t.Fatalf("%d names for %d verdicts", got, want)
	}
	for _, v := range verify.Verdicts() {
		if got := VerdictName(uint8(v)); got != v.String() {
			t.Errorf("verdict %d is %q here and %q there", v, got, v)
		}
		result, word := Judge(&verifyevent.Sighting{Verdict: uint8(v)})
		want, wantWord := Failure, v.String()
		switch {
		case v.Valid():
			want, wantWord = Success, ""
		case v == verify.Suspicious:
			want = Abnormal
		}
		if result != want || word != wantWord {
			t.Errorf("%s is %s %q, want %s %q", v, result, word, want, wantWord)
		}
		if result, word = Judge(&verifyevent.Sighting{Verdict: uint8(v), What: verifyevent.Far}); result != Abnormal || word != FarApart {
			t.Errorf("%s too far apart is %s %q", v, result, word)
		}
	}
	for source, name := range map[verify.Source]string{verify.FromPage: "page", verify.FromAPI: "api", verify.FromGRPC: "grpc"} {
		if got := SourceName(uint8(source)); got != name {
			t.Errorf("source %d is %q, want %q", source, got, name)
		}
	}
	if VerdictName(250) != "verdict_250" || SourceName(9) != "source_9" || Result(7).String() != "unknown" {
		t.Error("numbers of a later version have no name")
	}
}

func TestDays(t *testing.T) {
	t.Parallel()
	for at, want := range map[int64]string{
		0: "1970-01-01", -1: "1969-12-31", dayMicros - 1: "1970-01-01", dayMicros: "1970-01-02", Earliest: "2000-01-01", Latest: "2099-12-31",
	} {
		day := DayOf(at)
		if day.String() != want || at < day.Start().UnixMicro() || at >= day.End().UnixMicro() {
			t.Errorf("%d is of %s (%v to %v), want %s", at, day, day.Start(), day.End(), want)
		}
		if back, ok := ParseDay(want); !ok || back != day {
			t.Errorf("%s is read as %d, %v", want, back, ok)
		}
	}
	for _, bad := range []string{"", "2026-1-1", "2026-02-30", "scan", "2026-01-01x"} {
		if _, ok := ParseDay(bad); ok {
			t.Errorf("%q is taken for a day", bad)
		}
	}
}

func TestCoarse(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"203.0.113.77": "203.0.113.0/24", "::ffff:203.0.113.77": "203.0.113.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := CoarseText(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s becomes %s, want %s", ip, got, want)
		}
	}
	if got := CoarseText(netip.Addr{}); got != "" {
		t.Errorf("no address becomes %q", got)
	}
}

func TestSealing(t *testing.T) {
	t.Parallel()
	key := NewSealKey()
	s, nonce := NewSealer(key), make([]byte, NonceBytes)
	for _, text := range []string{"203.0.113.77", "2001:db8::1"} {
		ip := netip.MustParseAddr(text)
		sealed := s.Seal(nonce, ip)
		if got, err := s.Open(sealed); err != nil || got != ip {
			t.Errorf("%s comes back as %v, %v", ip, got, err)
		}
		sealed[len(sealed)-1] ^= 1
		if _, err := s.Open(sealed); err == nil {
			t.Error("changed bytes were opened")
		}
	}
	if _, err := s.Open(nil); err == nil {
		t.Error("nothing was opened")
	}
	wrapped := Wrap([32]byte{1}, 1001, 5, key)
	if got, err := Unwrap([32]byte{1}, 1001, 5, wrapped); err != nil || got != key {
		t.Errorf("the key does not come back: %v", err)
	}
	for name, try := range map[string]func() (SealKey, error){
		"another installation's key": func() (SealKey, error) { return Unwrap([32]byte{2}, 1001, 5, wrapped) },
		"another brand":              func() (SealKey, error) { return Unwrap([32]byte{1}, 1002, 5, wrapped) },
		"another day":                func() (SealKey, error) { return Unwrap([32]byte{1}, 1001, 6, wrapped) },
		"nothing":                    func() (SealKey, error) { return Unwrap([32]byte{1}, 1001, 5, nil) },
	} {
		if _, err := try(); err == nil {
			t.Errorf("%s unwraps", name)
		}
	}
}

func TestPolicyKeeps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		days, age int
		want      bool
	}{{0, 0, false}, {1, 0, true}, {1, 1, true}, {1, 2, false}, {30, 30, true}, {30, 31, false}} {
		if got := (Policy{IPDays: c.days}).Keeps(Day(1000-c.age), 1000); got != c.want {
			t.Errorf("%d days, age %d: %v", c.days, c.age, got)
		}
	}
}

func TestSketch(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, sketchExact, sketchExact + 1, 5000, 20_000, 100_000, 1_000_000} {
		k, odd := &Sketch{}, &Sketch{}
		for i := range n {
			k.Add(ids.Serial(i))
			k.Add(ids.Serial(i))
			if i%2 == 1 {
				odd.Add(ids.Serial(i))
			}
		}
		again, err := ParseSketch(k.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		again.Unite(odd) // all of them are in it
		got, exact := again.Count()
		if was, _ := k.Count(); was != got || exact != (n <= sketchExact) {
			t.Errorf("%d: %d before and %d after a union that adds nothing, exact %v", n, was, got, exact)
		}
		if off := math.Abs(float64(got)/max(float64(n), 1) - 1); exact && got != int64(n) || n > 0 && off > 4*SketchError {
			t.Errorf("%d items are counted as %d", n, got)
		}
	}
	for _, bad := range [][]byte{nil, {0}, {1, 2}, {2, 1, 1}, append([]byte{1}, make([]byte, 8*sketchExact+8)...)} {
		if _, err := ParseSketch(bad); err == nil {
			t.Errorf("%d damaged bytes are a sketch", len(bad))
		}
	}
}

func FuzzEachSlim(f *testing.F) {
	s := Slim{At: 5_000_000, Batch: 100, Serial: 107, Brand: 1001, Product: 2001, Count: 3, Province: "贵州", Verdict: 2, What: verifyevent.First}
	f.Add(AppendSlim(nil, &s))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var again []byte
		err := EachSlim(raw, func(s *Slim) { again = AppendSlim(again, s) })
		if err != nil {
			return
		}
		var twice []byte
		if err := EachSlim(again, func(s *Slim) { twice = AppendSlim(twice, s) }); err != nil || !bytes.Equal(twice, again) {
			t.Errorf("%x is read as %x and then %x: %v", raw, again, twice, err)
		}
	})
}

func TestSlimIsReadBack(t *testing.T) {
	t.Parallel()
	want := []Slim{
		{At: 5_000_000, Batch: 100, Serial: 107, Brand: 1001, Product: 2001, Count: 3, Province: "贵州", Verdict: 2, What: verifyevent.First},
		{At: Latest, Batch: 1 << 59, Serial: 1<<59 + 1, Brand: math.MaxInt32, Product: 1, Count: math.MaxInt64},
	}
	var raw []byte
	for i := range want {
		raw = AppendSlim(raw, &want[i])
	}
	var got []Slim
	if err := EachSlim(raw, func(s *Slim) { got = append(got, *s) }); err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(want, got))
	}
	if EachSlim(raw[:len(raw)-1], func(*Slim) {}) == nil {
		t.Error("a part is read as a whole")
	}
}

func TestParseStates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		state gs1.Disposition
		scans int64
		want  bool
	}{
		{"", gs1.Void, 0, true}, {"active", gs1.RetailSold, 0, true}, {"active", gs1.Void, 9, false}, {"scanned", gs1.Void, 1, true},
		{"scanned", gs1.Active, 0, false}, {"void,recalled", gs1.Recalled, 0, true}, {"void,recalled", gs1.Active, 1, false}, {"active,scanned", gs1.Encoded, 1, true},
	} {
		f, err := ParseStates(c.text)
		if err != nil || f.lets(c.state, c.scans) != c.want {
			t.Errorf("%q lets %s with %d scans through: %v (%v)", c.text, c.state, c.scans, !c.want, err)
		}
	}
	for _, bad := range []string{"nonsense", "active,", ",", "ACTIVE", fmt.Sprintf("%513d", 1)} {
		if _, err := ParseStates(bad); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// asked counts what a store is asked.
type asked struct {
	Statistics

	sums, distinct atomic.Int64
	gate           chan struct{}
}

func (a *asked) Sum(context.Context, SumAsk) ([]Sum, error) {
	a.sums.Add(1)
	<-a.gate
	return []Sum{{Counts: Counts{Scans: 1}}}, nil
}

func (a *asked) Distinct(context.Context, Filter, Day, Day) (*Sketch, bool, error) {
	a.distinct.Add(1)
	return &Sketch{}, true, nil
}

// TestCacheAsksOnce: of many dashboards that ask the same, one reaches the store.
func TestCacheAsksOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	store := &asked{gate: make(chan struct{})}
	c, err := NewCached(store, clock.Func(func() time.Time { return now }))
	if err != nil {
		t.Fatal(err)
	}
	ask := SumAsk{Grain: Hour, From: now.Unix() - 7200, To: now.Unix() - 3600, RowsMax: 10}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if got, err := c.Sum(t.Context(), ask); err != nil || len(got) != 1 {
				t.Error(got, err)
			}
		})
	}
	close(store.gate)
	all.Wait()
	for range 3 {
		if _, _, err := c.Distinct(t.Context(), Filter{Brand: 1}, 1, 2); err != nil {
			t.Fatal(err)
		}
	}
	if s, d := store.sums.Load(), store.distinct.Load(); s != 1 || d != 1 {
		t.Errorf("the store was asked for sums %d times and for codes %d times, want once each", s, d)
	}
	ask.By = ByBatch
	if _, err := c.Sum(t.Context(), ask); err != nil || store.sums.Load() != 2 {
		t.Errorf("another question: asked %d times, %v", store.sums.Load(), err)
	}
}

func TestLivesOfAnswers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		end         time.Duration
		least, most time.Duration
	}{
		{time.Hour, 4 * time.Second, 5 * time.Second}, {0, 4 * time.Second, 5 * time.Second}, {-2 * time.Minute, 4 * time.Minute, 5 * time.Minute},
		{-47 * time.Hour, 4 * time.Minute, 5 * time.Minute}, {-49 * time.Hour, 48 * time.Minute, time.Hour},
	} {
		for i := range 100 {
			at := now.Add(time.Duration(i) * 1237 * time.Microsecond)
			if got := life(now.Add(c.end), at); got < c.least || got > c.most {
				t.Errorf("a range that ends %v from now lives for %v", c.end, got)
			}
		}
	}
}

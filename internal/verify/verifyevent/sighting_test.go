package verifyevent

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func examples() []Sighting {
	return []Sighting{
		{},
		{Serial: 1e18 - 1, At: -1, Prev: Ref{1<<64 - 1, 65535}, Count: 1<<63 - 1, Brand: 1<<31 - 1, Product: 1<<31 - 1, No: 10_000_000_000,
			Verdict: 10, Source: 3, What: First | FirstOfDay | NewSession | Far, Device: 1<<64 - 1,
			IP: netip.MustParseAddr("203.0.113.7"), Place: Place{"中国", "贵州", "遵义"}, Agent: "Mozilla/5.0 (Linux; Android 14)", Zone: "Asia/Shanghai"},
		{Serial: 7, At: 1_700_000_000_000_000, Prev: Ref{3 << 40, 0}, Count: 2, Brand: 1001, Product: 2001, No: 8, IP: netip.MustParseAddr("2001:db8::1"),
			What: Traced, Trace: Trace{[16]byte{1, 2, 3, 15: 9}, [8]byte{8, 7: 1}}},
		{Serial: 8, At: 1_700_000_000_000_001, Count: 1, Brand: 1001, Product: 2001, No: 9, What: Traced | SignedIn, Trace: Trace{ID: [16]byte{1}}, User: 1<<52 - 1},
		{Serial: 9, At: 1_700_000_000_000_002, Count: 1, Brand: 1001, Product: 2001, No: 10, What: SignedIn, User: 7},
	}
}

func TestRecordsAreReadBack(t *testing.T) {
	t.Parallel()
	want := examples()
	var record []byte
	for i := range want {
		record = Append(record, &want[i])
	}
	var got []Sighting
	err := Each(record, func(n uint16, s *Sighting) error {
		if int(n) != len(got) {
			t.Errorf("sighting %d comes as number %d", len(got), n)
		}
		got = append(got, *s)
		return nil
	})
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	stop := errors.New("enough")
	if err := Each(record, func(uint16, *Sighting) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the reader's own error: %v", err)
	}
	for cut := range record {
		if cut == 0 || errors.Is(Each(record[:cut], func(uint16, *Sighting) error { return nil }), ErrDamaged) {
			continue
		}
		whole := 0
		_ = Each(record[:cut], func(uint16, *Sighting) error { whole++; return nil })
		if again := len(appendAll(want[:whole])); again != cut {
			t.Errorf("cut after %d bytes, between sightings, it read %d as if it were whole", cut, whole)
		}
	}
}

func appendAll(all []Sighting) (record []byte) {
	record = []byte{Format}
	for i := range all {
		record = Append(record, &all[i])
	}
	return record
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	record := Append(nil, &Sighting{Agent: long, Zone: long, Place: Place{long, long, long}})
	if err := Each(record, func(_ uint16, s *Sighting) error {
		if len(s.Agent) != AgentMax || len(s.Zone) != zoneMax || len(s.Place.City) != placeMax {
			t.Errorf("kept %d, %d and %d bytes", len(s.Agent), len(s.Zone), len(s.Place.City))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestPlacesInWords(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Place{
		"": {}, "中国 贵州 遵义": {"中国", "贵州", "遵义"}, "中国 北京": {"中国", "北京", "北京"}, "贵州": {Province: "贵州"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%v is %q, want %q", p, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(appendAll(examples()))
	f.Add([]byte{Format, 0xff})
	f.Fuzz(func(t *testing.T, record []byte) {
		var again []byte
		err := Each(record, func(_ uint16, s *Sighting) error {
			again = Append(again, s)
			return nil
		})
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
	})
}

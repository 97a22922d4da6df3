package trace

import (
	"context"
	"math"
	"strings"
	"testing"

	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

const (
	exampleSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	exampleNot     = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// ratio gives a Tracer that can only sample.
func ratio(t testing.TB, share float64) *Tracer {
	t.Helper()
	limit, err := threshold(share)
	if err != nil {
		t.Fatal(err)
	}
	return &Tracer{threshold: limit}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for name, tc := range map[string]struct {
		text        string
		ok, sampled bool
	}{
		"sampled":                {exampleSampled, true, true},
		"not sampled":            {exampleNot, true, false},
		"unknown flags":          {"00-" + id + "-" + span + "-fe", true, false},
		"unknown and sampled":    {"00-" + id + "-" + span + "-ff", true, true},
		"later version":          {"cc-" + id + "-" + span + "-01", true, true},
		"later version and more": {"cc-" + id + "-" + span + "-01-what.comes", true, true},
		"later version, runs on": {"cc-" + id + "-" + span + "-01x", false, false},
		"version 00 and more":    {exampleSampled + "-what", false, false},
		"version 00, dash":       {exampleSampled + "-", false, false},
		"version ff":             {"ff-" + id + "-" + span + "-01", false, false},
		"version of letters":     {"0x-" + id + "-" + span + "-01", false, false},
		"capital digits":         {"00-" + strings.ToUpper(id) + "-" + span + "-01", false, false},
		"capital span":           {"00-" + id + "-" + strings.ToUpper(span) + "-01", false, false},
		"no trace":               {"00-" + strings.Repeat("0", 32) + "-" + span + "-01", false, false},
		"no span":                {"00-" + id + "-" + strings.Repeat("0", 16) + "-01", false, false},
		"flags of letters":       {"00-" + id + "-" + span + "-0g", false, false},
		"short":                  {exampleSampled[:54], false, false},
		"empty":                  {"", false, false},
		"a space before":         {" " + exampleSampled, false, false},
		"a space after":          {exampleSampled + " ", false, false},
		"other separators":       {strings.ReplaceAll(exampleSampled, "-", "_"), false, false},
	} {
		c, sampled, ok := parse(tc.text)
		if ok != tc.ok || sampled != tc.sampled {
			t.Errorf("%s: parse(%q) = %v, sampled %v, ok %v", name, tc.text, c, sampled, ok)
		}
		if !ok && !c.IsZero() {
			t.Errorf("%s: what cannot be read gave %v", name, c)
		}
	}
}

func TestTraceparentIsReadBack(t *testing.T) {
	t.Parallel()
	if c := Parse(exampleSampled); c.Traceparent() != exampleSampled {
		t.Errorf("%q comes back as %q", exampleSampled, c.Traceparent())
	}
	for _, none := range []string{"", exampleNot, exampleSampled + "-what"} {
		if c := Parse(none); !c.IsZero() || c.Traceparent() != "" {
			t.Errorf("%q gives %v, %q", none, c, c.Traceparent())
		}
	}
}

// FuzzParse holds the parser to OpenTelemetry's for ids.
func FuzzParse(f *testing.F) {
	for _, s := range []string{exampleSampled, exampleNot, "cc-" + exampleSampled[3:] + "-x", "", strings.ToUpper(exampleSampled), strings.Repeat("-", 55), strings.Repeat("0", 60)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, sampled, ok := parse(s)
		if !ok {
			if !c.IsZero() || sampled {
				t.Fatalf("%q cannot be read and gave %v", s, c)
			}
			return
		}
		id, err1 := oteltrace.TraceIDFromHex(s[3:35])
		span, err2 := oteltrace.SpanIDFromHex(s[36:52])
		if err1 != nil || err2 != nil || id != c.ID || span != c.Span {
			t.Fatalf("%q gave %v; OpenTelemetry reads %v %v (%v, %v)", s, c, id, span, err1, err2)
		}
	})
}

func TestStrangersDoNotDecide(t *testing.T) {
	t.Parallel()
	want, _, _ := parse(exampleSampled)
	call := incoming(t, exampleSampled)
	never, always := ratio(t, 0), ratio(t, 1)
	for range 1000 {
		if _, sampled := never.Sample(exampleSampled, false); sampled {
			t.Fatal("a stranger's flag is believed")
		}
		if _, sampled := never.SampleCall(call, false); sampled {
			t.Fatal("the flag of a stranger's call is believed")
		}
	}
	if parent, sampled := always.Sample(exampleNot, false); !sampled || parent != want {
		t.Errorf("a stranger keeps a request from the sample, or its id is lost: %v %v", parent, sampled)
	}
	if parent, sampled := never.Sample(exampleSampled, true); !sampled || parent != want {
		t.Errorf("a trusted caller's flag is not believed: %v %v", parent, sampled)
	}
	if parent, sampled := never.SampleCall(call, true); !sampled || parent != want {
		t.Errorf("the flag of a trusted caller's call is not believed: %v %v", parent, sampled)
	}
	if _, sampled := always.Sample(exampleNot, true); sampled {
		t.Error("a trusted caller's no is not believed")
	}
	for _, bad := range []string{"", "00-x", strings.ToUpper(exampleSampled)} {
		if parent, sampled := always.Sample(bad, true); !sampled || !parent.IsZero() {
			t.Errorf("%q from a trusted caller: %v %v, the ratio should decide", bad, parent, sampled)
		}
		if _, sampled := never.Sample(bad, true); sampled {
			t.Errorf("%q from a trusted caller is sampled, the ratio should decide", bad)
		}
	}
	if parent, sampled := always.SampleCall(incoming(t, exampleNot, exampleSampled), true); !sampled || !parent.IsZero() {
		t.Errorf("a traceparent that is there twice gave %v %v", parent, sampled)
	}
}

// incoming is the context of a call that carries the traceparents.
func incoming(t testing.TB, traceparents ...string) context.Context {
	return metadata.NewIncomingContext(t.Context(), metadata.MD{"traceparent": traceparents})
}

// TestRatio asks each ratio for a million draws; a right generator fails at six
// standard deviations once in 10^8 runs.
func TestRatio(t *testing.T) {
	t.Parallel()
	const draws = 1_000_000
	for _, share := range []float64{0, 0.0001, 0.1, 0.5, 0.999, 1} {
		tr, hits := ratio(t, share), 0
		for range draws {
			if _, sampled := tr.Sample("", false); sampled {
				hits++
			}
		}
		if off := math.Abs(float64(hits) - draws*share); off > 6*math.Sqrt(draws*share*(1-share)) {
			t.Errorf("ratio %v: %d of %d", share, hits, draws)
		}
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		if _, err := threshold(bad); err == nil {
			t.Errorf("the ratio %v is taken", bad)
		}
	}
}

// TestDrawsAreIndependent looks at neighbouring draws: a sample that comes in bursts
// would be of one caller.
func TestDrawsAreIndependent(t *testing.T) {
	t.Parallel()
	const draws = 1_000_000
	tr, pairs, before := ratio(t, 0.5), 0, false
	for range draws {
		now := tr.draw()
		if now && before {
			pairs++
		}
		before = now
	}
	if off := math.Abs(float64(pairs) - draws/4); off > 6*math.Sqrt(draws*3/16*2) {
		t.Errorf("%d of %d neighbours are both sampled", pairs, draws)
	}
}

func TestUnsampledAllocatesNothing(t *testing.T) {
	tr, call := ratio(t, 0), incoming(t, exampleSampled)
	var off *Tracer
	for name, fn := range map[string]func(){
		"off":                func() { off.Sample(exampleSampled, true) },
		"stranger":           func() { tr.Sample(exampleSampled, false) },
		"stranger's call":    func() { tr.SampleCall(call, false) },
		"trusted, unsampled": func() { tr.Sample(exampleNot, true) },
		"trusted, sampled":   func() { tr.Sample(exampleSampled, true) },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

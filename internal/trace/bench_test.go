package trace

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

// noItems are a repository's without coded items.
type noItems struct{}

func (noItems) Find(string) (Item, bool, error) { return Item{}, false, nil }
func (noItems) Code(ids.Serial) string          { return "" }
func (noItems) Prefixes(ids.BrandID) []string   { return nil }

// BenchmarkExamples reads GS1's examples, and has the official schema judge them in turn. What
// counts is the time of the processor, the collector's included: others run on the machine too.
func BenchmarkExamples(b *testing.B) {
	c, all, s := NewCodec(UsualLimits()), examples(b), officialSchema(b)
	var reader, schema time.Duration
	for b.Loop() {
		from := cpu(b)
		for range 20 {
			for _, raw := range all {
				if _, err := c.ReadJSON(raw); err != nil {
					b.Fatal(err)
				}
			}
		}
		between := cpu(b)
		for _, raw := range all {
			if err := bySchema(b, s, raw); err != nil {
				b.Fatal(err)
			}
		}
		reader, schema = reader+(between-from)/20, schema+cpu(b)-between
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(reader.Microseconds())/float64(b.N), "reader-µs/op")
	b.ReportMetric(float64(schema.Microseconds())/float64(b.N), "schema-µs/op")
	b.ReportMetric(schema.Seconds()/reader.Seconds(), "times")
}

// cpu is what this process has computed.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkItems reads and hashes an event of 1,000 items.
func BenchmarkItems(b *testing.B) {
	c := NewCodec(UsualLimits())
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf("%q", fmt.Sprintf("https://id.gs1.org/01/04012345111118/21/%018d", uint64(i)*6364136223846793005%1_000_000_000_000_000_000))
	}
	raw := []byte(`{"@context":"` + StandardContext + `","type":"ObjectEvent","eventTime":"2026-02-01T10:00:00Z","eventTimeZoneOffset":"+00:00",` +
		`"action":"OBSERVE","epcList":[` + strings.Join(list, ",") + `]}`)
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.ReadEvent(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Record(e, 1, noItems{}); err != nil {
			b.Fatal(err)
		}
	}
}

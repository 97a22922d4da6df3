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

func (noItems) Finder() Finder {
	return func(string) (Item, bool, error) { return Item{}, false, nil }
}
func (noItems) Code(ids.Serial) string        { return "" }
func (noItems) Prefixes(ids.BrandID) []string { return nil }

// BenchmarkExamples reads GS1's examples, reads and hashes them, and has the official schema judge
// them, in turn. What counts is the time of the processor, the collector's included: others run on
// the machine too.
func BenchmarkExamples(b *testing.B) {
	c, s := NewCodec(UsualLimits()), officialSchema(b)
	var all []string
	for _, raw := range examples(b) {
		all = append(all, string(raw))
	}
	const often = 20
	read := func(each func(e *Event)) time.Duration {
		from := cpu(b)
		for range often {
			for _, doc := range all {
				d, err := c.ReadJSON(doc)
				if err != nil {
					b.Fatal(err)
				}
				for i := range d.Events {
					each(d.Events[i].Event)
				}
			}
		}
		return (cpu(b) - from) / often
	}
	var reader, hashed, schema time.Duration
	for b.Loop() {
		reader += read(func(*Event) {})
		hashed += read(func(e *Event) { c.Hash(e) })
		from := cpu(b)
		for _, doc := range all {
			if err := bySchema(b, s, []byte(doc)); err != nil {
				b.Fatal(err)
			}
		}
		schema += cpu(b) - from
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(reader.Microseconds())/float64(b.N), "read-µs/op")
	b.ReportMetric(float64(hashed.Microseconds())/float64(b.N), "read+hash-µs/op")
	b.ReportMetric(float64(schema.Microseconds())/float64(b.N), "schema-µs/op")
	b.ReportMetric(schema.Seconds()/reader.Seconds(), "times")
	b.ReportMetric(schema.Seconds()/hashed.Seconds(), "times-with-hash")
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
	doc := `{"@context":"` + StandardContext + `","type":"ObjectEvent","eventTime":"2026-02-01T10:00:00Z","eventTimeZoneOffset":"+00:00",` +
		`"action":"OBSERVE","epcList":[` + strings.Join(list, ",") + `]}`
	b.ReportAllocs()
	for b.Loop() {
		e, err := c.ReadEvent(doc)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Record(e, 1, noItems{}); err != nil {
			b.Fatal(err)
		}
	}
}

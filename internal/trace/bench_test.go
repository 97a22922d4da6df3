package trace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/ids"
)

// noItems are a repository's without coded items.
type noItems struct{}

func (noItems) Find(string) (Item, bool, error) { return Item{}, false, nil }
func (noItems) Code(ids.Serial) string          { return "" }

// BenchmarkExamples reads GS1's examples, and has the official schema judge them beside it.
func BenchmarkExamples(b *testing.B) {
	c, all := NewCodec(UsualLimits()), examples(b)
	b.Run("reader", func(b *testing.B) {
		for b.Loop() {
			for _, raw := range all {
				if _, err := c.ReadJSON(raw); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	s := officialSchema(b)
	b.Run("schema", func(b *testing.B) {
		for b.Loop() {
			for _, raw := range all {
				if err := bySchema(b, s, raw); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
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

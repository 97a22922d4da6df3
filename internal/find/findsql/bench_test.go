package findsql

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/find"
)

// packings are events such as `go run ./test/bench -only timeline` captures.
func packings(from, n int) (all []find.Document) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := from; i < from+n; i++ {
		d := find.Document{
			Kind: find.Event, ID: fmt.Sprintf("ni:///sha-256;%032x%032x?ver=CBV2.0", uint64(i)*0x9e3779b97f4a7c15, uint64(i)*0xc2b2ae3d27d4eb4f), Brand: 1001, Title: "packing",
			At: at.Add(time.Duration(i) * time.Second), Version: int64(i),
			Words: []string{"AggregationEvent", "packing", "urn:epc:id:sscc:4012345.9" + fmt.Sprintf("%09d", i)},
		}
		for c := range 10 {
			code := fmt.Sprintf("%018d", (uint64(i)*10+uint64(c))*0x9e3779b97f4a7c15%1_000_000_000_000_000_000)
			d.Words = append(d.Words, "https://id.gs1.org/01/04012345000115/21/"+code)
		}
		all = append(all, d)
	}
	return all
}

// processor is what this process has computed.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkApply writes events, so many at once.
func BenchmarkApply(b *testing.B) {
	for _, page := range []int{200, 1000, 4000} {
		b.Run(strconv.Itoa(page), func(b *testing.B) {
			i := fresh(b, b.TempDir(), "a")
			n, from := 0, processor(b)
			for b.Loop() {
				if err := i.Apply(b.Context(), packings(n, page), find.Standing{Cursor: "c"}); err != nil {
					b.Fatal(err)
				}
				n += page
			}
			b.ReportMetric(float64((processor(b)-from).Microseconds())/float64(n), "CPU-µs/document")
			b.ReportMetric(0, "ns/op")
		})
	}
}

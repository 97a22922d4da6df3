package trace_test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/trace"
)

// thread is what this thread has computed.
func thread(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestWideXMLIsLinear reads elements of very many distinct names in one parent: sixteen times as
// many take about sixteen times the work. If each looked through all before it, it would be 256
// times.
func TestWideXMLIsLinear(t *testing.T) {
	t.Parallel()
	codec := trace.NewCodec(trace.UsualLimits())
	for name, element := range map[string]func(n int) string{
		"no namespace":   func(n int) string { return fmt.Sprintf("<f%d>1</f%d>", n, n) },
		"one namespace":  func(n int) string { return fmt.Sprintf("<x:f%d>1</x:f%d>", n, n) },
		"its own":        func(n int) string { return fmt.Sprintf(`<f xmlns="urn:x:%d">1</f>`, n) },
		"of attributes":  func(n int) string { return fmt.Sprintf(`<x:f xmlns:y%d="urn:y:%d" y%d:a="1"/>`, n, n, n) },
		"in one another": func(n int) string { return fmt.Sprintf("<x:f%d><x:g>1</x:g></x:f%d>", n, n) },
	} {
		t.Run(name, func(t *testing.T) {
			document := func(n int) string {
				var b strings.Builder
				b.WriteString(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2" xmlns:x="urn:x" schemaVersion="2.0" creationDate="2026-01-01T00:00:00Z"><EPCISBody><EventList><ObjectEvent>` +
					`<eventTime>2026-01-01T00:00:00Z</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset><epcList><epc>urn:epc:id:sgtin:4012345.012345.1</epc></epcList><action>OBSERVE</action>`)
				for i := range n {
					b.WriteString(element(i))
				}
				b.WriteString(`</ObjectEvent></EventList></EPCISBody></epcis:EPCISDocument>`)
				return b.String()
			}
			const small, times = 3000, 16
			few, many := document(small), document(small*times)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			took := func(doc string) time.Duration {
				best := time.Hour
				for range 3 {
					start := thread(t)
					_, _ = codec.ReadXML(doc) // some of it is no EPCIS, which must be found out as quickly
					best = min(best, thread(t)-start)
				}
				return best
			}
			if a, b := took(few), took(many); b > 4*times*max(a, time.Millisecond) {
				t.Errorf("%d elements take %v, %d take %v", small, a, small*times, b)
			}
		})
	}
}

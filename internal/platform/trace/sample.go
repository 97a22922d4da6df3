package trace

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/maphash"

	"google.golang.org/grpc/metadata"
)

// Context is a place in a sampled trace (W3C trace context): what an event carries
// so that its consumers can say where it came from. The zero Context is none. It
// converts to any struct of the same two fields.
type Context struct {
	ID   [16]byte
	Span [8]byte
}

// IsZero reports whether there is no trace.
func (c Context) IsZero() bool { return c == Context{} }

// Parse reads a traceparent that an event carries. One that is not sampled, or cannot
// be read, is none.
func Parse(traceparent string) Context {
	c, sampled, ok := parse(traceparent)
	if !ok || !sampled {
		return Context{}
	}
	return c
}

// Traceparent is the form in which an event carries it; "" for none.
func (c Context) Traceparent() string {
	if c.IsZero() {
		return ""
	}
	return "00-" + hex.EncodeToString(c.ID[:]) + "-" + hex.EncodeToString(c.Span[:]) + "-01"
}

// Form of a traceparent of version 00: 00-<trace id>-<span id>-<flags>.
const (
	traceparentLen = 55
	idAt           = 3
	spanAt         = 36
	flagsAt        = 53
	flagSampled    = 1
	versionNever   = 0xff
)

// parse reads a traceparent as W3C Trace Context (level 1, section 3.2) says:
// lower-case hexadecimal digits, no id of zeros, nothing after version 00, and of
// later versions the part that is known. It allocates nothing.
func parse(traceparent string) (c Context, sampled, ok bool) {
	s := traceparent
	if len(s) < traceparentLen || s[idAt-1] != '-' || s[spanAt-1] != '-' || s[flagsAt-1] != '-' {
		return Context{}, false, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s) || !unhex(c.ID[:], s[idAt:]) || !unhex(c.Span[:], s[spanAt:]) || !unhex(flags[:], s[flagsAt:]) {
		return Context{}, false, false
	}
	if len(s) > traceparentLen && (version[0] == 0 || s[traceparentLen] != '-') || version[0] == versionNever {
		return Context{}, false, false
	}
	if c.ID == [16]byte{} || c.Span == [8]byte{} {
		return Context{}, false, false
	}
	return c, flags[0]&flagSampled != 0, true
}

// unhex fills dst from the beginning of s. encoding/hex would take capitals, too.
func unhex(dst []byte, s string) bool {
	if len(s) < 2*len(dst) {
		return false
	}
	for i := range dst {
		high, low := nibble(s[2*i]), nibble(s[2*i+1])
		if high|low > 0xf {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// Sample decides whether a request is traced and gives the parent for Start. Of a
// trusted caller the parent's flag decides. A stranger's flag does not, or strangers
// could make us trace everything: the ratio decides, and a sampled request keeps
// their ids as its parent. Without a parent, or with one that cannot be read, the
// ratio decides.
func (t *Tracer) Sample(traceparent string, trusted bool) (parent Context, sampled bool) {
	if t == nil || !trusted && !t.draw() {
		return Context{}, false
	}
	return t.judge(traceparent, trusted)
}

// SampleCall is Sample for a gRPC call that is being answered. A traceparent that is
// there twice counts as one that cannot be read.
func (t *Tracer) SampleCall(ctx context.Context, trusted bool) (parent Context, sampled bool) {
	if t == nil || !trusted && !t.draw() {
		return Context{}, false
	}
	given := metadata.ValueFromIncomingContext(ctx, "traceparent")
	if len(given) != 1 {
		return t.judge("", trusted)
	}
	return t.judge(given[0], trusted)
}

// judge decides for a request that a stranger has drawn the lot for, or that comes
// from a trusted caller.
func (t *Tracer) judge(traceparent string, trusted bool) (parent Context, sampled bool) {
	parent, flag, ok := parse(traceparent)
	switch {
	case !trusted:
		return parent, true
	case !ok:
		return Context{}, t.draw()
	case !flag:
		return Context{}, false
	}
	return parent, true
}

const drawBits = 53 // what a float64 holds exactly

func threshold(ratio float64) (uint64, error) {
	if !(ratio >= 0 && ratio <= 1) { // NaN is neither
		return 0, fmt.Errorf("the sampling ratio is %v: give a number from 0 to 1", ratio)
	}
	return uint64(ratio * (1 << drawBits)), nil
}

// draw is true for the share of calls that the ratio names. The trace id would do
// as the lot, as in OpenTelemetry's own sampler, if strangers did not choose it. A
// fresh hash seed comes from the runtime's generator (ChaCha8, one for each thread,
// seeded by the system): nobody can foresee it, and unlike a counter it has no cache
// line for all cores to pull at (BenchmarkDraw).
func (t *Tracer) draw() bool {
	return t.threshold != 0 && maphash.String(maphash.MakeSeed(), "")>>(64-drawBits) < t.threshold
}

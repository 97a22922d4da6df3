package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
)

var _ Work = (*Scan)(nil)

// Scan asks for verdicts and holds every answer to what is known of its code: the
// verdict is one of those expected, its own count is above every count that had
// been answered before it was asked, a forged code gets the one refusal, a stale
// token is superseded, what is malformed is refused as its form demands. TestChecker
// and TestMalformed plant a breach of each.
type Scan struct {
	codes   Codes
	mix     Mix
	expect  []string
	draw    func(n int) int // an index below n
	forms   []form
	tokens  []string        // of the last len(tokens) codes, once ours
	highest []atomic.Uint32 // by code: the highest count answered
	next    atomic.Int64    // the first code not asked for yet
	refusal atomic.Pointer[[]byte]
}

// ScanOptions says what a Scan asks for and what it allows.
type ScanOptions struct {
	Mix    Mix
	Expect []string // verdicts of fresh and repeat
	Pick   Pick     // which code a repeat asks for
	HTTP2  bool     // leaves out what an HTTP/2 client cannot send
}

// NewScan makes the work. Stale tokens come from Supersede.
func NewScan(codes Codes, o ScanOptions) (*Scan, error) {
	for _, verdict := range o.Expect {
		if !slices.Contains([]string{"authentic", "authentic_again", "sold", "inactive"}, verdict) {
			return nil, fmt.Errorf("expect: %q is none of authentic, authentic_again, sold, inactive", verdict)
		}
	}
	if len(o.Expect) == 0 {
		return nil, fmt.Errorf("expect: no verdict is allowed")
	}
	s := &Scan{codes: codes, mix: o.Mix, expect: o.Expect, draw: rand.IntN, forms: forms(), highest: make([]atomic.Uint32, len(codes))}
	if o.Pick == Zipf {
		s.draw = newZipf(len(codes)).draw
	}
	if o.HTTP2 {
		s.forms = slices.DeleteFunc(s.forms, func(f form) bool { return f.bare })
	}
	return s, nil
}

// pool is how many codes are scanned without a token.
func (s *Scan) pool() int { return len(s.codes) - len(s.tokens) }

// asked is how many codes a repeat may ask for: those that were asked for, or all of
// them when nothing is ever fresh.
func (s *Scan) asked() int {
	if s.mix[Fresh] == 0 {
		return s.pool()
	}
	return int(min(s.next.Load(), int64(s.pool())))
}

// RanOut reports that every code was asked for, so that some "fresh" were repeats.
func (s *Scan) RanOut() bool { return s.next.Load() > int64(s.pool()) }

// Next implements Work. A repeat before anything was asked for is fresh.
func (s *Scan) Next(q *Query) bool {
	q.Kind = s.mix.pick()
	if q.Kind == Repeat && s.asked() == 0 {
		q.Kind = Fresh
	}
	path := append(q.Path[:0], "/api/v1/codes/"...)
	switch q.Kind {
	case Fresh:
		if q.item = int(s.next.Add(1) - 1); q.item >= s.pool() {
			q.Kind, q.item = Repeat, s.draw(s.pool())
		}
	case Repeat:
		q.item = s.draw(s.asked())
	case Malformed:
		q.item = rand.IntN(len(s.forms))
		q.Path = s.appendForm(q.Path[:0], &s.forms[q.item])
		return true
	case Stale:
		n := rand.IntN(len(s.tokens))
		q.item = s.pool() + n
		q.seen = s.highest[q.item].Load()
		path = appendCode(append(path[:0], '/'), s.codes[q.item])
		q.Path = append(append(path, '/'), s.tokens[n]...)
		return true
	default:
		q.Path = append(appendCode(path, s.codes.forge()), "/verify"...)
		return true
	}
	q.seen = s.highest[q.item].Load()
	q.Path = append(appendCode(path, s.codes[q.item]), "/verify"...)
	return true
}

// Judge implements Work.
func (s *Scan) Judge(q *Query, a *Answer) error {
	switch q.Kind {
	case Forged:
		return s.judgeRefusal(a)
	case Malformed:
		return s.judgeForm(&s.forms[q.item], a)
	}
	if err := s.judgeVerdict(q, a); err != nil {
		return fmt.Errorf("%w; it answered %d %.300s", err, a.Status, bytes.TrimSpace(a.Body))
	}
	return nil
}

// judgeRefusal: what was never ours gets 404 with the bytes that all of it gets.
func (s *Scan) judgeRefusal(a *Answer) error {
	if a.Status != http.StatusNotFound || !bytes.Contains(a.Body, []byte(`"error":"code.unknown"`)) || !json.Valid(a.Body) {
		return fmt.Errorf("what was never ours must be refused with 404 code.unknown; it answered %d %.300s", a.Status, bytes.TrimSpace(a.Body))
	}
	first := s.refusal.Load()
	if first == nil {
		body := bytes.Clone(a.Body)
		s.refusal.CompareAndSwap(nil, &body)
		first = s.refusal.Load()
	}
	if !bytes.Equal(*first, a.Body) {
		return fmt.Errorf("refusals differ: %.300s and %.300s", bytes.TrimSpace(*first), bytes.TrimSpace(a.Body))
	}
	return nil
}

func (s *Scan) judgeVerdict(q *Query, a *Answer) error {
	status, want := http.StatusOK, ""
	if q.Kind == Stale {
		status, want = http.StatusGone, "superseded"
	}
	if a.Status != status {
		return fmt.Errorf("want %d", status)
	}
	if !json.Valid(a.Body) {
		return fmt.Errorf("not JSON")
	}
	var code [digits]byte
	if got, ok := field(a.Body, `"code":"`); !ok || !bytes.Equal(got, appendCode(code[:0], s.codes[q.item])) {
		return fmt.Errorf("want the code that was asked for, not %q", got)
	}
	verdict, _ := field(a.Body, `"verdict":"`)
	if want != "" && string(verdict) != want || want == "" && !slices.Contains(s.expect, string(verdict)) {
		return fmt.Errorf("unexpected verdict %q", verdict)
	}
	valid := want == "" && string(verdict) != "inactive"
	if got, _ := field(a.Body, `"valid":`); string(got) != strconv.FormatBool(valid) {
		return fmt.Errorf("valid contradicts the verdict %q", verdict)
	}
	return s.judgeCount(q, a, string(verdict))
}

// judgeCount holds the count above all that were answered before the request.
func (s *Scan) judgeCount(q *Query, a *Answer, verdict string) error {
	raw, _ := field(a.Body, `"scan_count":`)
	count, err := strconv.ParseUint(string(raw), 10, 32)
	if err != nil {
		return fmt.Errorf("scan_count is missing")
	}
	if !bytes.Contains(a.Body, []byte(`"counted":true`)) {
		return fmt.Errorf("the scan was not counted")
	}
	for n := uint32(count); ; {
		most := s.highest[q.item].Load()
		if n <= most || s.highest[q.item].CompareAndSwap(most, n) {
			break
		}
	}
	if count <= uint64(q.seen) {
		return fmt.Errorf("scan_count %d, though %d was answered before", count, q.seen)
	}
	if verdict == "authentic" && count != 1 || verdict == "authentic_again" && count == 1 {
		return fmt.Errorf("scan_count %d contradicts the verdict", count)
	}
	return nil
}

// field is the text after a key, up to what ends its value. Our keys are told apart
// from their copies inside texts by their quotes, which JSON escapes there.
func field(body []byte, key string) ([]byte, bool) {
	_, rest, ok := bytes.Cut(body, []byte(key))
	if !ok {
		return nil, false
	}
	if end := bytes.IndexAny(rest, `",}`); end >= 0 {
		return rest[:end], true
	}
	return nil, false
}

package verifyhttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/verify"
)

// verification is the answer to a scan as a client declares it.
type verification struct {
	Code    int     `json:"code"`
	Message string  `json:"message"`
	Error   string  `json:"error,omitempty"`
	Data    verdict `json:"data"`
}

type verdict struct {
	Valid           *bool       `json:"valid"`
	Verdict         string      `json:"verdict"`
	Reasons         []string    `json:"reasons"`
	Code            string      `json:"code"`
	Version         uint16      `json:"version"`
	Product         productInfo `json:"product_info"`
	Trace           traceInfo   `json:"trace_info"`
	FirstScan       moment      `json:"first_scan"`
	ScanCount       int64       `json:"scan_count"`
	ExpiresAt       *string     `json:"expires_at"`
	ExpiresAtLocal  *string     `json:"expires_at_local,omitempty"`
	Sold            *moment     `json:"sold,omitempty"`
	Inner           *innerInfo  `json:"inner,omitempty"`
	Superseded      *string     `json:"superseded_since,omitempty"`
	SupersededLocal *string     `json:"superseded_since_local,omitempty"`
	Counted         bool        `json:"counted"`
	Partial         bool        `json:"partial,omitempty"`
	*Partly
}

// Partly is there only for an answer that may not know all changes.
type Partly struct {
	AsOf      *string `json:"as_of"`
	AsOfLocal *string `json:"as_of_local,omitempty"`
}

type productInfo struct {
	Name           string  `json:"name"`
	Brand          string  `json:"brand"`
	BatchNo        string  `json:"batch_no"`
	ProductionDate *string `json:"production_date"`
}

type traceInfo struct {
	Production struct {
		BatchNo        string  `json:"batch_no"`
		ProductionDate *string `json:"production_date"`
	} `json:"production"`
	Logistics struct{} `json:"logistics"`
	Sales     struct {
		SoldAt      *string `json:"sold_at,omitempty"`
		SoldAtLocal *string `json:"sold_at_local,omitempty"`
		Place       string  `json:"place,omitempty"`
	} `json:"sales"`
}

type moment struct {
	At      *string `json:"at"`
	AtLocal *string `json:"at_local,omitempty"`
	Place   string  `json:"place"`
}

type innerInfo struct {
	OK           *bool   `json:"ok,omitempty"`
	TriesLeft    *int    `json:"tries_left,omitempty"`
	FirstAt      *string `json:"first_at"`
	FirstAtLocal *string `json:"first_at_local,omitempty"`
}

// strict decodes an answer that may hold nothing but what a client declares.
func strict(t *testing.T, body []byte) (v verification) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

// times gives a time as the answer writes it, and its local copy.
func times(at time.Time, zone *time.Location) (utc, local *string) {
	if at.IsZero() {
		return nil, nil
	}
	text := at.UTC().Format(time.RFC3339Nano)
	if zone == nil {
		return &text, nil
	}
	here := at.In(zone).Format(time.RFC3339Nano)
	return &text, &here
}

// expected is the same answer, made the slow way.
func expected(status int, c codebook.Code, a *verify.Answer, zone *time.Location) verification {
	v := verification{Code: status, Message: "success"}
	if status != 200 {
		v.Message, v.Error = "this code is "+a.Verdict.String(), "code."+a.Verdict.String()
	}
	nullable := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	soldIn := a.SoldIn
	if soldIn == "" {
		soldIn = "unknown"
	}
	d := &v.Data
	d.Verdict, d.Reasons, d.Code, d.Version = a.Verdict.String(), a.Reasons, c.String(), a.Version
	if valid := a.Verdict.Valid(); a.Verdict != verify.Unconfirmed {
		d.Valid = &valid
	}
	if d.Reasons == nil {
		d.Reasons = []string{}
	}
	d.Product = productInfo{a.Text.Name, a.Text.Brand, a.Item.BatchNo, nullable(a.Item.ProductionDate)}
	d.Trace.Production.BatchNo, d.Trace.Production.ProductionDate = a.Item.BatchNo, nullable(a.Item.ProductionDate)
	if !a.SoldAt.IsZero() {
		d.Trace.Sales.SoldAt, d.Trace.Sales.SoldAtLocal = times(a.SoldAt, zone)
		d.Trace.Sales.Place = soldIn
	}
	d.FirstScan.Place = "unknown"
	d.FirstScan.At, d.FirstScan.AtLocal = times(a.Seen.FirstAt, zone)
	d.ScanCount, d.Counted, d.Partial = a.Seen.Count, a.Counted, a.Partial || a.Seen.Partial
	d.ExpiresAt, d.ExpiresAtLocal = times(a.Item.ExpiresAt, zone)
	if a.Verdict == verify.Sold || !a.SoldAt.IsZero() || a.SoldIn != "" {
		d.Sold = &moment{Place: soldIn}
		d.Sold.At, d.Sold.AtLocal = times(a.SoldAt, zone)
	}
	if in := a.Inner; in != nil && (in.Asked || !in.FirstAt.IsZero()) {
		d.Inner = &innerInfo{}
		if in.Asked {
			d.Inner.OK, d.Inner.TriesLeft = &in.OK, &in.TriesLeft
		}
		d.Inner.FirstAt, d.Inner.FirstAtLocal = times(in.FirstAt, zone)
	}
	d.Superseded, d.SupersededLocal = times(a.Since, zone)
	if a.Partial {
		d.Partly = &Partly{}
		d.AsOf, d.AsOfLocal = times(a.AsOf, zone)
	}
	return v
}

// tokens are a document's tokens: what it says and in which order, however it is
// escaped.
func tokens(t *testing.T, doc []byte) (all []json.Token) {
	t.Helper()
	if !json.Valid(doc) {
		t.Fatalf("not JSON: %q", doc)
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v: %q", err, doc)
		}
		all = append(all, tok)
	}
}

// nasty gives strings of what breaks hand-written JSON.
func nasty(rng *rand.Rand) string {
	parts := []string{
		"", "a", `"`, `\`, "\\\\\"", "\n", "\r", "\t", "\b", "\f", "\x00", "\x1f", "\x7f", "<", ">", "&", "'", "/",
		"\u2028", "\u2029", "\u2027", "\u202a", "绿茶", "🍵", "\u00e9", "\ufffd", "\ufeff", "\U0010ffff",
		"\xff", "\xc3", "\xe2\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\x80",
		"</script>", `{"valid":true}`, `","valid":true,"x":"`,
	}
	var b strings.Builder
	for range rng.IntN(6) {
		b.WriteString(parts[rng.IntN(len(parts))])
		if rng.IntN(4) == 0 {
			b.WriteByte(byte(rng.Uint32()))
		}
	}
	return b.String()
}

func randomTime(rng *rand.Rand) time.Time {
	if rng.IntN(3) == 0 {
		return time.Time{}
	}
	return time.UnixMicro(rng.Int64N(4e15)).UTC()
}

func randomAnswer(rng *rand.Rand) *verify.Answer {
	a := &verify.Answer{
		Verdict: verify.Verdicts()[rng.IntN(len(verify.Verdicts()))], Version: uint16(rng.Uint32()),
		Item: verify.Item{BatchNo: nasty(rng), ProductionDate: nasty(rng), ExpiresAt: randomTime(rng), State: gs1.Active},
		Text: verify.Text{Name: nasty(rng), Brand: nasty(rng)},
		Seen: verify.Seen{Count: rng.Int64(), FirstAt: randomTime(rng), Partial: rng.IntN(2) == 0}, Counted: rng.IntN(2) == 0,
		SoldAt: randomTime(rng), SoldIn: nasty(rng), Since: randomTime(rng),
		Partial: rng.IntN(2) == 0, AsOf: randomTime(rng),
	}
	for range rng.IntN(3) {
		a.Reasons = append(a.Reasons, nasty(rng))
	}
	if rng.IntN(2) == 0 {
		a.Inner = &verify.InnerAnswer{
			Asked: rng.IntN(2) == 0, OK: rng.IntN(2) == 0, FirstAt: randomTime(rng), TriesLeft: rng.IntN(6),
		}
	}
	return a
}

// The answer that is written by hand says what encoding/json would say, in the same
// order.
func TestAppendAnswerAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	shanghai := time.FixedZone("CST", 8*3600)
	for range 5000 {
		a, c := randomAnswer(rng), book.Code(printed)
		status := []int{200, 410}[rng.IntN(2)]
		zone := []*time.Location{nil, shanghai, time.UTC}[rng.IntN(3)]
		got := appendAnswer(nil, status, c, a, appendProduct(nil, a), zone)
		slow, err := json.Marshal(expected(status, c, a, zone))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tokens(t, slow), tokens(t, got)); diff != "" {
			t.Fatalf("%+v\n%q\n(-encoding/json +ours):\n%s", a, got, diff)
		}
		for _, raw := range []string{"<", ">", "&", "\u2028", "\u2029", "\x7f"} { // safe inside a script
			if bytes.Contains(got, []byte(raw)) {
				t.Fatalf("%q is not escaped in %q", raw, got)
			}
		}
		if got[len(got)-1] != '\n' || bytes.Count(got, []byte("\n")) != 1 {
			t.Fatalf("not one line: %q", got)
		}
	}
}

func BenchmarkAppendAnswer(b *testing.B) {
	a := &verify.Answer{
		Verdict: verify.AuthenticAgain, Version: 1, Reasons: []string{"scanned.before"},
		Item: verify.Item{BatchNo: "LOT-1", ProductionDate: "2026-10-31"}, Text: verify.Text{Name: "绿茶", Brand: "Brand"},
		Seen: verify.Seen{Count: 5, FirstAt: made}, Counted: true,
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = appendAnswer(out[:0], 200, book.Code(printed), a, appendProduct(nil, a), nil)
	}
}

package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/gs1"
)

// grown is what a tree holds, as encoding/json has it.
func (t *tree) grown(v ref) any {
	switch t.kind(v) {
	case list:
		out := []any{}
		for one := range t.elements(v) {
			out = append(out, t.grown(one))
		}
		return out
	case object:
		out := map[string]any{}
		members := 0
		for key, one := range t.members(v) {
			out[key] = t.grown(one)
			members++
		}
		if members != len(out) || t.len(v) != len(out) {
			return fmt.Sprintf("%d members, %d of them counted, in %v", members, t.len(v), out)
		}
		return out
	case boolean:
		return t.text(v) == "true"
	case number:
		return json.Number(t.text(v))
	case text:
		return t.text(v)
	default:
		return nil
	}
}

// TestReadsJSONAsOthersDo damages documents byte by byte: the parser takes what encoding/json
// takes, and makes the same of it. It is stricter with lone surrogates and bytes that are no UTF-8.
func TestReadsJSONAsOthersDo(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	all := examples(t)
	documents := [][]byte{
		[]byte(`{"a":1,"b":{"a":2,"a":[3]},"a":{"é":"\u00e9\ud83d\ude00\n"},"":0,"":-1.5e+3}`), []byte(`[]`), []byte(` {"":{}} `),
		[]byte(`"` + strings.Repeat(`x`, 20) + `\"` + strings.Repeat(`y`, 20) + `"`),
	}
	var many []string // names of which some come again
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"n%d":%d`, i*7%80, i))
	}
	documents = append(documents, []byte("{"+strings.Join(many, ", ")+"}"))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		documents = append(documents, all[name])
	}
	const damage = "\"\\{}[],: \n\t0-1.eEaut\x01\x1f/"
	taken, refused := 0, 0
	for _, raw := range documents {
		for n := range 300 {
			doc := slices.Clone(raw)
			if n > 0 {
				doc[rnd.IntN(len(doc))] = damage[rnd.IntN(len(damage))]
			}
			tr := &tree{}
			err := parseJSON(string(doc), UsualLimits(), tr)
			d := json.NewDecoder(bytes.NewReader(doc))
			d.UseNumber()
			var want any
			wantErr := d.Decode(&want)
			if wantErr == nil && !json.Valid(doc) {
				wantErr = fmt.Errorf("something follows")
			}
			switch {
			case err != nil && (!utf8.Valid(doc) || strings.Contains(err.Error(), "no escape") && bytes.Contains(doc, []byte(`\ud`))):
				continue
			case err != nil && wantErr == nil:
				t.Fatalf("only we refuse it: %v\n%s", err, doc)
			case err == nil && wantErr != nil:
				t.Fatalf("only we take it: %v\n%s", wantErr, doc)
			case err != nil:
				refused++
				continue
			}
			taken++
			if got := tr.grown(0); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s\nis read as\n%v\nnot\n%v", doc, got, want)
			}
		}
	}
	if taken < 1000 || refused < 1000 {
		t.Errorf("%d documents were taken, %d refused: they show little", taken, refused)
	}
}

// TestProblemsSayWhere holds problems to their paths.
func TestProblemsSayWhere(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	for event, want := range map[string]string{
		`"action":"EAT"`:                                 "$.epcisBody.eventList[1].action: ",
		`"action":"EAT","action":"OBSERVE"`:              "",
		`"action":"OBSERVE","action":"EAT"`:              "$.epcisBody.eventList[1].action: ",
		`"epcList":["urn:a:b",5]`:                        "$.epcisBody.eventList[1].epcList[1]: ",
		`"epcList":["urn:epc:id:sscc:4012345.1"]`:        "$.epcisBody.eventList[1].epcList[0]: ",
		`"readPoint":{"id":"urn:epc:id:sgln:4012345.0"}`: "$.epcisBody.eventList[1].readPoint.id: ",
		`"readPoint":{}`:                                 "$.epcisBody.eventList[1].readPoint: id is missing",
		`"bizTransactionList":[{"type":"po","bizTransaction":"urn:a:b"},{"type":"po","bizTransaction":"x"}]`: "$.epcisBody.eventList[1].bizTransactionList[1].bizTransaction: ",
		`"sensorElementList":[{"sensorReport":[{"type":"Mass"},{"type":"Mass","value":"1"}]}]`:               "$.epcisBody.eventList[1].sensorElementList[0].sensorReport[1].value: ",
		`"errorDeclaration":{}`:                  "$.epcisBody.eventList[1].errorDeclaration: declarationTime is missing",
		`"bad\u0020name":1`:                      "$.epcisBody.eventList[1].bad name: ",
		`"eventTime":"2026-02-29T00:00:00.000Z"`: "$.epcisBody.eventList[1].eventTime: ",
		`"parentID":"urn:a:b"`:                   "$.epcisBody.eventList[1].parentID: is not a field here",
	} {
		good := `{"type":"ObjectEvent","eventTime":"2026-02-01T10:00:00.000Z","eventTimeZoneOffset":"+08:00","action":"OBSERVE","epcList":[]`
		d, err := c.ReadJSON(`{"@context":"` + StandardContext + `","type":"EPCISDocument","schemaVersion":"2.0","creationDate":"2026-03-01T00:00:00Z",
			"epcisBody":{"eventList":[` + good + `},` + good + `,` + event + `}]}}`)
		if err != nil || len(d.Events) != 2 || len(d.Events[0].Problems) > 0 {
			t.Fatalf("%s: %v", event, err)
		}
		switch got := d.Events[1].Problems; {
		case want == "" && len(got) > 0, want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), want)):
			t.Errorf("%s: %v, want %q", event, got, want)
		}
	}
}

// TestShortWaysAgree holds what is told at a glance to what takes the thing apart.
func TestShortWaysAgree(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(7, 8))
	const damage = "0123456789.:*-aZ/?#@ %TZ"
	short := map[string]int{}
	for _, seed := range []string{
		"urn:epc:id:sgtin:4012345.011111.987", "urn:epc:class:lgtin:4012345.012345.AB1", "urn:epc:idpat:sgtin:4012345.011111.*", "urn:epc:id:sscc:4012345.0000000111",
		"urn:epc:id:sgln:4012345.00011.7", "urn:epc:id:grai:4012345.55555.987", "urn:epc:id:giai:4012345.12ab", "urn:epc:id:gsrn:4012345.0000000123",
		"https://id.gs1.org/01/04012345111118/21/123456789012345678", "https://example.com/a?b=c#d", "urn:x:y(z)", "2026-02-28T23:59:59.999Z", "0.5", "-120", "10.25",
	} {
		for range 3000 {
			b := []byte(seed)
			for range rnd.IntN(3) {
				b[rnd.IntN(len(b))] = damage[rnd.IntN(len(damage))]
			}
			if s := string(b); !agrees(t, s, short) {
				t.Errorf("%q", s)
			}
		}
	}
	for _, way := range []string{"URN", "item", "URI", "time", "number"} {
		if short[way] < 1000 {
			t.Errorf("%s: %d times, which shows little", way, short[way])
		}
	}
}

func agrees(t *testing.T, s string, short map[string]int) bool {
	t.Helper()
	ok := true
	if plainURN(s) {
		short["URN"]++
		_, err := gs1.ParseEPC(s)
		ok = ok && err == nil
	}
	if plainItem(s) {
		short["item"]++
		l, err := gs1.ParseLink(s)
		ok = ok && err == nil && l.ID.String() == s
	}
	if colon := plainScheme(s); colon > 0 && plain(s[colon+1:]) {
		short["URI"]++
		u, err := url.Parse(s)
		ok = ok && err == nil && u.IsAbs()
	}
	if len(s) == len(timeForm) && plainTime(s) {
		short["time"]++
		want, err := time.Parse(time.RFC3339Nano, s)
		ok = ok && err == nil && plainMoment(s).Equal(want) && formatTime(want) == s
	}
	if isPlainNumber(s) {
		short["number"]++
		ok = ok && plainNumber(s+"e0") == s
	}
	return ok
}

// TestManyItems holds lists of our names, which are sorted as numbers, to what sorting texts gives.
func TestManyItems(t *testing.T) {
	t.Parallel()
	c := NewCodec(UsualLimits())
	rnd := rand.New(rand.NewPCG(9, 10))
	all := make([]string, 1000)
	for i := range all {
		all[i] = fmt.Sprintf("https://id.gs1.org/01/04012345111118/21/%018d", rnd.Uint64N(1_000_000_000_000_000_000))
	}
	read := func(all []string) (*Event, error) {
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return c.ReadEvent(`{"@context":"` + StandardContext + `","type":"ObjectEvent","eventTime":"2026-02-01T10:00:00.000Z","eventTimeZoneOffset":"+00:00",` +
			`"action":"OBSERVE","epcList":` + string(raw) + `}`)
	}
	e, err := read(all)
	if err != nil {
		t.Fatal(err)
	}
	want := "eventType=ObjectEventeventTime=2026-02-01T10:00:00.000ZeventTimeZoneOffset=+00:00epcListepc=" +
		strings.Join(slices.Sorted(slices.Values(all)), "epc=") + "action=OBSERVE"
	if got := string(prehash(c, e)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	all[700] = all[3]
	if _, err := read(all); err == nil || !strings.Contains(err.Error(), all[3]) {
		t.Errorf("%s comes twice: %v", all[3], err)
	}
}

package httpx

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

type order struct {
	Name  string `json:"name"`
	Count int32  `json:"count"`
	Sure  bool   `json:"sure"`
	Lines []struct {
		ID uint8 `json:"id"`
	} `json:"lines"`
	Extra map[string]string `json:"extra"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const limit = 200
	field := func(code, name, reason string) *fault.Error {
		return &fault.Error{Kind: fault.Invalid, Code: code, Details: []fault.Detail{{Field: name, Reason: reason}}}
	}
	for name, c := range map[string]struct {
		kind, body string
		want       *fault.Error // nil = taken
	}{
		"whole":                {"application/json", `{"name":"a","count":2,"sure":true,"lines":[{"id":3}],"extra":{"k":"v"}}`, nil},
		"charset":              {"application/json; charset=utf-8", `{}`, nil},
		"as capitals":          {"Application/JSON", `{}`, nil},
		"a dialect":            {"application/ld+json", `{}`, nil},
		"space around":         {"application/json", " {} \n", nil},
		"no kind":              {"", `{}`, ErrNotJSON},
		"form":                 {"application/x-www-form-urlencoded", `a=b`, ErrNotJSON},
		"text":                 {"text/json", `{}`, ErrNotJSON},
		"broken kind":          {"application/json; charset", `{}`, ErrNotJSON},
		"looks like it":        {"application/jsonp", `{}`, ErrNotJSON},
		"the most":             {"application/json", `{"name":"` + strings.Repeat("a", limit-11) + `"}`, nil},
		"too large":            {"application/json", `{"name":"` + strings.Repeat("a", limit-10) + `"}`, ErrBodyTooLarge},
		"too large, of spaces": {"application/json", `{}` + strings.Repeat(" ", limit), ErrBodyTooLarge},
		"unknown field":        {"application/json", `{"nom":"a"}`, field("input.unknown_field", "nom", "is not a field of this request")},
		"unknown inside":       {"application/json", `{"lines":[{"i\"d":1}]}`, field("input.unknown_field", `i"d`, "is not a field of this request")},
		"text for number":      {"application/json", `{"count":"2"}`, field("input.bad_type", "count", "must be a whole number in its range, not a JSON string")},
		"fraction":             {"application/json", `{"count":2.5}`, field("input.bad_type", "count", "must be a whole number in its range, not a JSON number 2.5")},
		"out of range":         {"application/json", `{"count":2147483648}`, field("input.bad_type", "count", "must be a whole number in its range, not a JSON number 2147483648")},
		"number for text":      {"application/json", `{"name":1}`, field("input.bad_type", "name", "must be a string, not a JSON number")},
		"text for bool":        {"application/json", `{"sure":"yes"}`, field("input.bad_type", "sure", "must be true or false, not a JSON string")},
		"object for list":      {"application/json", `{"lines":{}}`, field("input.bad_type", "lines", "must be a list, not a JSON object")},
		"list for object":      {"application/json", `{"extra":[]}`, field("input.bad_type", "extra", "must be an object, not a JSON array")},
		"wrong inside":         {"application/json", `{"lines":[{"id":256}]}`, field("input.bad_type", "lines.id", "must be a whole number in its range, not a JSON number 256")},
		"a list":               {"application/json", `[]`, field("input.bad_type", "body", "must be an object, not a JSON array")},
		"twice":                {"application/json", `{"name":"a","count":1,"name":"b"}`, field("input.repeated_field", "name", "is there twice")},
		"twice, escaped":       {"application/json", `{"name":"a","n\u0061me":"b"}`, field("input.repeated_field", "name", "is there twice")},
		"twice inside":         {"application/json", `{"lines":[{"id":1},{"id":2,"id":3}]}`, field("input.repeated_field", "id", "is there twice")},
		"once in each":         {"application/json", `{ "lines" : [ {"id":1} , { "id" : 2 } ] , "name" : "\"}\\" }`, nil},
		"other case":           {"application/json", `{"Name":"a"}`, field("input.unknown_field", "Name", "is not a field of this request")},
		"other case inside":    {"application/json", `{"lines":[{"ID":1}]}`, field("input.unknown_field", "ID", "is not a field of this request")},
		"null":                 {"application/json", `null`, field("input.bad_type", "body", "must be an object, not a JSON null")},
		"nothing in it":        {"application/json", `{"name":null,"lines":null,"extra":null}`, nil},
		"half a character":     {"application/json", `{"name":"a\ud800"}`, ErrBadJSON},
		"the other half":       {"application/json", `{"name":"\udc00\ud800"}`, ErrBadJSON},
		"two halves":           {"application/json", `{"name":"\ud83c\udf7a\\ud800"}`, nil},
		"not UTF-8":            {"application/json", "{\"name\":\"\xff\"}", ErrBadJSON},
		"cut short":            {"application/json", `{"name":`, ErrBadJSON},
		"empty":                {"application/json", ``, ErrBadJSON},
		"no JSON":              {"application/json", `name=a`, ErrBadJSON},
		"a second value":       {"application/json", `{}{}`, ErrBadJSON},
		"something after":      {"application/json", `{} x`, ErrBadJSON},
		"a brace after":        {"application/json", `{}}`, ErrBadJSON},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body))
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			var into order
			raw, err := Decode(httptest.NewRecorder(), r, limit, &into)
			if c.want == nil {
				if err != nil || string(raw) != c.body {
					t.Errorf("%v, raw %q", err, raw)
				}
				return
			}
			f, ok := fault.From(err)
			if !ok || f.Code != c.want.Code || f.Kind != c.want.Kind {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if diff := cmp.Diff(c.want.Details, f.Details); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeOfWhoBreaksOff(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "/", iotest.ErrReader(errors.New("connection reset")))
	r.Header.Set("Content-Type", "application/json")
	if _, err := Decode(httptest.NewRecorder(), r, 100, &order{}); !errors.Is(err, ErrBadJSON) {
		t.Errorf("%v", err)
	}
}

func idemRequest(t *testing.T, method, path, key string) (ids.Request, error) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Header["Idempotency-Key"] = []string{key}
	return Request(r, "key_1", []byte("body"))
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"empty": "", "quoted nothing": `""`, "256 characters": strings.Repeat("k", 256), "quoted 256": `"` + strings.Repeat("k", 256) + `"`,
		"control": "a\x01b", "newline": "a\nb", "delete": "a\x7f", "no ASCII": "schlüssel", "no UTF-8": "a\xff",
	} {
		if got, err := idemRequest(t, "POST", "/x", key); !errors.Is(err, ErrBadIdemKey) || !got.IsZero() {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, key := range map[string]string{
		"bare": "k", "quoted": `"k"`, "a quote": `"`, "255": strings.Repeat("k", 255), "quoted 255": `"` + strings.Repeat("k", 255) + `"`, "space": "a b",
	} {
		if got, err := idemRequest(t, "POST", "/x", key); err != nil || got.IsZero() || got.Body != sha256.Sum256([]byte("body")) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/x", nil)
	if got, err := Request(r, "key_1", nil); err != nil || !got.IsZero() {
		t.Errorf("no key: %v, %v", got, err)
	}
}

// The scope of a key is credential, method and route.
func TestRequestScope(t *testing.T) {
	t.Parallel()
	of := func(principal, method, path, key string) [32]byte {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Idempotency-Key", key)
		got, err := Request(r, principal, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Key
	}
	base := of("p", "POST", "/x", "k")
	if quoted := of("p", "POST", "/x", `"k"`); quoted != base {
		t.Error("quoted and bare are two keys")
	}
	if query := of("p", "POST", "/x?a=1", "k"); query != base {
		t.Error("the query is part of the scope")
	}
	seen := map[[32]byte]string{base: "base"}
	for name, key := range map[string][32]byte{
		"credential": of("q", "POST", "/x", "k"), "method": of("p", "PUT", "/x", "k"), "route": of("p", "POST", "/y", "k"), "key": of("p", "POST", "/x", "l"),
	} {
		if other, taken := seen[key]; taken {
			t.Errorf("another %s gives the key of %s", name, other)
		}
		seen[key] = name
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]int{"": 20, "limit=1": 1, "limit=100": 100, "limit=0": 0, "limit=101": 0, "limit=-1": 0, "limit=x": 0, "limit=1e1": 0} {
		got, err := Page(httptest.NewRequest(http.MethodGet, "/?"+query, nil), 20, 100)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", query, got, err)
		}
	}
}

func TestZone(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"": "", "tz=Asia/Shanghai": "Asia/Shanghai", "tz=UTC": "UTC",
		"tz=Local": "!", "tz=../../etc/passwd": "!", "tz=%2Fetc%2Fpasswd": "!", "tz=Mars/Olympus": "!", "tz=" + strings.Repeat("a", 65): "!",
	} {
		zone, err := Zone(httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		switch {
		case want == "!" && (err == nil || zone != nil), want != "!" && err != nil,
			want == "" && zone != nil, want != "" && want != "!" && zone.String() != want:
			t.Errorf("%q: %v, %v", query, zone, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/?tz=UTC", nil)
	r.Header.Set("Time-Zone", "Asia/Shanghai")
	if zone, err := Zone(r); err != nil || zone.String() != "UTC" {
		t.Errorf("the query is stronger than the header: %v, %v", zone, err)
	}
}

func TestCoarse(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		"203.0.113.77:4711": "203.0.113.0/24", "[::ffff:203.0.113.77]:1": "203.0.113.0/24", "[2001:db8:1:2::3]:80": "2001:db8:1::/48",
		"[fe80::1%eth0]:80": "fe80::/48", "": "", "pipe": "", "203.0.113.77": "",
	} {
		if got := coarse(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}

// failing is a client that has gone.
type failing struct{ http.ResponseWriter }

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestClientThatHasGoneIsNoError(t *testing.T) {
	t.Parallel()
	w := failing{httptest.NewRecorder()}
	if err := OK(w, nil); !errors.Is(err, errClientGone) {
		t.Errorf("OK: %v", err)
	}
	var log bytes.Buffer
	Fail(w, httptest.NewRequest(http.MethodGet, "/", nil), jsonLog(&log), ErrNoRoute)
	Fail(w, httptest.NewRequest(http.MethodGet, "/", nil), jsonLog(&log), errClientGone)
	if log.Len() != 0 {
		t.Errorf("logged %s", &log)
	}
}

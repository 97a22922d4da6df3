package resolvehttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/resolve"
)

const (
	root    = "https://id.example"
	rice    = "/01/09506000134352"
	genuine = "692931865931847536"
	forged  = "123456789012345678"
	lost    = "111111111111111111" // cannot be looked up
)

var now = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

// world is a resolver over links that are written down here.
type world struct {
	h       http.Handler
	item    Verification
	country string
}

func (w *world) Item(_ context.Context, code codebook.Code, gtin gs1.GTIN, lot string) (resolve.Item, bool, error) {
	if code.String() == lost {
		return resolve.Item{}, false, errors.New("secret: the disk is on fire")
	}
	known := code.String() == genuine && "/01/"+gtin.String() == rice && (lot == "" || lot == "L1")
	return resolve.Item{Brand: 7, Batch: "bat_1", No: 7, Page: "/" + genuine + "/TOKEN"}, known, nil
}

func (w *world) Verification(ctx context.Context, code codebook.Code, gtin gs1.GTIN, _ netip.Addr) (Verification, error) {
	item, known, err := w.Item(ctx, code, gtin, "")
	if err != nil || !known {
		return Verification{}, err
	}
	v := w.item
	v.Known, v.Item = true, item
	return v, nil
}

type plainPages struct{}

func (plainPages) Malformed(w io.Writer, lang, reason string) error {
	_, err := io.WriteString(w, "<html "+lang+">"+reason)
	return err
}
func (plainPages) ContentSecurityPolicy() string { return "default-src 'none'" }

type noMetrics struct{}

func (noMetrics) Request(string, string, int, time.Time, time.Duration) {}

// record is a set as it is kept.
func record(t *testing.T, version int64, anchor string, links ...resolve.Link) resolve.Record {
	t.Helper()
	body, err := json.Marshal(links)
	if err != nil {
		t.Fatal(err)
	}
	return resolve.Record{Name: anchor, BrandID: 7, Body: body, Version: version}
}

func link(kind, name string, languages ...string) resolve.Link {
	return resolve.Link{Type: kind, Href: "https://brand.example/" + name, Title: "About " + name, Languages: languages}
}

func newWorld(t *testing.T) *world { return newLimitedWorld(t, nil) }

func newLimitedWorld(t *testing.T, limits *httpx.Limits) *world {
	t.Helper()
	w := &world{item: Verification{Lot: "L1", Valid: true, ExpiresAt: time.Date(2027, 12, 31, 12, 0, 0, 0, time.UTC)}}
	index := resolve.NewIndex()
	policy := resolve.Record{Name: "policy:7", BrandID: 7, Body: []byte(`{"schemes":["https"],"hosts":["brand.example"],"gln":"9506000134376"}`), Version: 1}
	chinese := link("gs1:pip", "china", "zh")
	chinese.Countries = []string{"China"}
	err := index.Apply([]resolve.Record{
		policy,
		record(t, 2, rice, link("gs1:defaultLink", "rice#top"), link("gs1:pip", "rice#top"), link("gs1:pip", "reis?a=b", "de"), chinese),
		record(t, 3, rice+"/10/L1", link("gs1:certificationInfo", "l1")),
		record(t, 4, "/417/9506000134376", link("gs1:defaultLink", "us"), link("gs1:homepage", "us")),
		record(t, 5, "/8004/9506000134370-1", link("gs1:defaultLink", "crate"), link("gs1:homepage", "crate")),
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	rt := httpx.NewRouter(nil, noMetrics{}, log)
	h := New(Deps{
		Resolver: resolve.NewResolver(index, w), Verifier: w, URL: root, Pages: plainPages{}, Limits: limits, Clock: clock.Func(func() time.Time { return now }), Log: log,
		Country: func(*http.Request) string { return w.country },
		BrandOf: func(_ context.Context, gtin gs1.GTIN) ids.BrandID {
			if "/01/"+gtin.String() == rice {
				return 7
			}
			return 0
		},
		Item: func(rw http.ResponseWriter, r *http.Request, id *gs1.ID) int {
			rw.Header().Set("Location", "/item/"+id.Value("21"))
			rw.WriteHeader(http.StatusTemporaryRedirect)
			return http.StatusTemporaryRedirect
		},
	})
	h.Mount(rt)
	rt.Hot("/", "/", func(rw http.ResponseWriter, r *http.Request) int {
		if status, taken := h.Compressed(rw, r); taken {
			return status
		}
		rw.WriteHeader(http.StatusTeapot)
		return http.StatusTeapot
	})
	w.h = rt
	return w
}

func (w *world) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	return rec
}

func wantLocation(t *testing.T, rec *httptest.ResponseRecorder, to string) {
	t.Helper()
	if got := rec.Header().Get("Location"); rec.Code != http.StatusTemporaryRedirect || got != to {
		t.Errorf("%d to %q, want %q: %s", rec.Code, got, to, rec.Body)
	}
}

// TestRedirect: 307 to the best link, with the whole query.
func TestRedirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ target, to string }{
		{rice, "https://brand.example/rice#top"},
		{"/01/9506000134352", "https://brand.example/rice#top"},
		{rice + "/", "https://brand.example/rice#top"},
		{rice + "?17=271231&utm=%20x&y", "https://brand.example/rice?17=271231&utm=%20x&y#top"},
		{rice + "?17=271231;utm=x", "https://brand.example/rice?17=271231;utm=x#top"},
		{rice + "?linkType=gs1:pip", "https://brand.example/rice?linkType=gs1:pip#top"},
		{rice + "?linkType=https%3A%2F%2Fgs1.org%2Fvoc%2Fpip", "https://brand.example/rice?linkType=https%3A%2F%2Fgs1.org%2Fvoc%2Fpip#top"},
		{rice + "/10/L1?linkType=gs1:certificationInfo", "https://brand.example/l1?linkType=gs1:certificationInfo"},
		{rice + "/10/L1", "https://brand.example/rice#top"},
		{rice + "/10/L%31", "https://brand.example/rice#top"},
		{"/417/9506000134376", "https://brand.example/us"},
		{"/8004/9506000134370-1", "https://brand.example/crate"},
		{rice + "/21/" + genuine, "/item/" + genuine},
		{rice + "/21/" + forged, "/item/" + forged},
		{rice + "/21/" + genuine + "?linkType=gs1:verificationService&corrUUID=1", root + "/gs1/verify" + rice + "/21/" + genuine + "?linkType=gs1:verificationService&corrUUID=1"},
	} {
		rec := w.ask("GET", c.target)
		wantLocation(t, rec, c.to)
		head := w.ask("HEAD", c.target)
		wantLocation(t, head, c.to)
		for _, h := range []string{rec.Header().Get("Link"), head.Header().Get("Link")} {
			if !strings.Contains(h, `rel="linkset"; type="application/linkset+json"; title="`) {
				t.Errorf("%s: Link %s", c.target, h)
			}
		}
	}
	wantLocation(t, w.ask("GET", rice+"?linkType=gs1:pip", "Accept-Language", "de-AT"), "https://brand.example/reis?a=b&linkType=gs1:pip")
	w.country = "China"
	wantLocation(t, w.ask("GET", rice+"?linkType=gs1:pip", "Accept-Language", "de-AT"), "https://brand.example/china?linkType=gs1:pip")
}

// TestHeaders: what every answer of the resolver has.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, target := range []string{rice, rice + "?linkType=linkset", "/01/09506000134353", rice + "?linkType=gs1:recipeInfo", "/gs1/verify" + rice + "/21/" + genuine} {
		h := w.ask("GET", target).Header()
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Link, Location", "Cache-Control": "no-store", "Vary": "Accept, Accept-Language",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", target, name, h.Get(name))
			}
		}
		rec := w.ask("OPTIONS", target)
		if rec.Code != http.StatusNoContent && !strings.Contains(target, "353") || rec.Code == http.StatusNoContent && rec.Header().Get("Access-Control-Allow-Methods") != allowed {
			t.Errorf("OPTIONS %s: %d %v", target, rec.Code, rec.Header())
		}
	}
	rec := w.ask("POST", rice)
	if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != allowed {
		t.Errorf("POST: %d %v", rec.Code, rec.Header())
	}
}

// TestProblems: 400 for what is no Digital Link, 404 for what is one and has no links;
// never 200, and every problem names itself.
func TestProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		target string
		status int
		code   string
	}{
		{"/01/09506000134353", 400, "gs1.bad_link"},
		{"/01/0950600013435", 400, "gs1.bad_link"},
		{"/01/%EF%BC%90950600013435", 400, "gs1.bad_link"},
		{rice + "/foo", 400, "gs1.bad_link"},
		{rice + "/10", 400, "gs1.bad_link"},
		{rice + "/10/%00", 400, "gs1.bad_link"},
		{rice + "/10/" + strings.Repeat("A", 21), 400, "gs1.bad_link"},
		{rice + "/10/A/10/A", 400, "gs1.bad_link"},
		{rice + "/21/A/10/B", 400, "gs1.bad_link"},
		{rice + "/17/271231", 400, "gs1.bad_link"},
		{rice + "/254/A", 400, "gs1.bad_link"},
		{rice + "/89/A", 400, "gs1.bad_link"},
		{rice + "?17=271301", 400, "gs1.bad_link"},
		{rice + "?89=1", 400, "gs1.bad_link"},
		{rice + "?17=271231&17=271231", 400, "gs1.bad_link"},
		{"/%2530/1", 418, ""}, // decoded once it is no key
		{"/01/" + strings.Repeat("0", 9000), 400, "gs1.bad_link"},
		{rice + "?linkType=", 400, "resolve.bad_query"},
		{rice + "?linkType=%3Cscript%3E", 400, "resolve.bad_query"},
		{rice + "?linkType=gs1:pip&linkType=gs1:epcis", 400, "resolve.bad_query"},
		{rice + "?linkType=gs1:recipeInfo", 404, "resolve.no_link_type"},
		{"/01/04006381333931", 404, "resolve.nothing"},
		{"/01/04006381333931?linkType=linkset", 404, "resolve.nothing"},
		{rice + "/21/" + forged + "?linkType=gs1:pip", 404, "resolve.no_item"},
		{rice + "/21/" + forged + "?linkType=linkset", 404, "resolve.no_item"},
		{rice + "/21/MADEUP", 404, "resolve.nothing"},
		{rice + "/21/" + lost + "?linkType=gs1:pip", 500, "internal"},
		{"/gs1/verify" + rice, 400, "resolve.bad_verification"},
		{"/gs1/verify" + rice + "/21/" + genuine + "?reqGLN=9506000134377", 400, "resolve.bad_verification"},
		{"/gs1/verify" + rice + "/21/" + genuine + "?corrUUID=" + strings.Repeat("x", 65), 400, "resolve.bad_verification"},
	} {
		rec := w.ask("GET", c.target)
		if rec.Code != c.status || strings.Contains(rec.Body.String(), "fire") {
			t.Errorf("%.80s: %d %s, want %d", c.target, rec.Code, rec.Body, c.status)
		}
		if c.code == "" {
			continue
		}
		var p problem
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || p.Error != c.code || p.Status != c.status || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.80s: %+v, %v, %s", c.target, p, err, rec.Header().Get("Content-Type"))
		}
	}
	rec := w.ask("GET", "/01/09506000134353", "Accept", "text/html", "Accept-Language", "zh")
	if rec.Code != 400 || !strings.Contains(rec.Body.String(), "<html zh>(01): check digit is 3, should be 2") {
		t.Errorf("for a person: %d %s", rec.Code, rec.Body)
	}
}

// TestCompressed: the same answer as for the long form, which is named.
func TestCompressed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, long := range []string{rice, rice + "/10/L1", rice + "/21/" + genuine} {
		l, err := gs1.ParseLink(root + long + "?17=271231")
		if err != nil {
			t.Fatal(err)
		}
		short := strings.TrimPrefix(l.Compressed(), root)
		rec := w.ask("GET", short+"?x=y")
		if want := w.ask("GET", long+"?17=271231&x=y").Header().Get("Location"); want != rec.Header().Get("Location") {
			t.Errorf("%s leads to %s, %s to %s", long, want, short, rec.Header().Get("Location"))
		}
		if !strings.Contains(rec.Header().Get("Link"), "<"+root+long+`>; rel="owl:sameAs"`) {
			t.Errorf("Link: %s", rec.Header().Get("Link"))
		}
	}
	// An EPC as a tag holds it: SGTIN+ with a serial of 18 digits.
	tag := "/eh" + fmt.Sprintf("f70%s12%015x", strings.TrimPrefix(rice, "/01/"), number(t, genuine))
	rec := w.ask("GET", tag+"?x=y")
	wantLocation(t, rec, w.ask("GET", rice+"/21/"+genuine+"?x=y").Header().Get("Location"))
	if !strings.Contains(rec.Header().Get("Link"), "<"+root+rice+"/21/"+genuine+`>; rel="owl:sameAs"`) {
		t.Errorf("Link: %s", rec.Header().Get("Link"))
	}
	wantLocation(t, w.ask("GET", "/eh30"+"66C4409047E140075BCD15"+"?linkType=gs1:pip"), w.ask("GET", rice+"/21/123456789?linkType=gs1:pip").Header().Get("Location"))
	if rec := w.ask("GET", tag[:len(tag)-3]); rec.Code != http.StatusTeapot {
		t.Errorf("a tag that was cut short: %d", rec.Code)
	}
	behind := gs1.Link{ID: gs1.ID{Key: gs1.Element{AI: "10", Value: "L1"}}}
	wantLocation(t, w.ask("GET", rice+behind.Compressed()+"?linkType=gs1:certificationInfo"), "https://brand.example/l1?linkType=gs1:certificationInfo")
	if rec := w.ask("GET", "/nothing-of-the-kind"); rec.Code != http.StatusTeapot {
		t.Errorf("another path: %d", rec.Code)
	}
}

func number(t *testing.T, digits string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// linksets are read as RFC 9264 says, member by member.
type linkset struct {
	Context string                       `json:"@context"`
	Linkset []map[string]json.RawMessage `json:"linkset"`
}

// TestLinkset: an array of link context objects with absolute anchors, one default at
// most in each, and a target, a title and a type for every link.
func TestLinkset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		target  string
		anchors []string
	}{
		{rice, []string{rice}},
		{rice + "/10/L1", []string{rice + "/10/L1", rice}},
		{rice + "/22/V/10/L1", []string{rice + "/10/L1", rice}},
		{rice + "/10/L1/21/" + genuine, []string{rice + "/10/L1/21/" + genuine, rice + "/10/L1", rice}},
		{"/417/9506000134376/7040/1ABC", []string{"/417/9506000134376"}},
	} {
		for _, how := range []func() *httptest.ResponseRecorder{
			func() *httptest.ResponseRecorder { return w.ask("GET", c.target+"?linkType=linkset") },
			func() *httptest.ResponseRecorder { return w.ask("GET", c.target+"?linkType=all") },
			func() *httptest.ResponseRecorder { return w.ask("GET", c.target, "Accept", linksetType) },
		} {
			rec := how()
			var set linkset
			if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || rec.Code != 200 || rec.Header().Get("Content-Type") != linksetType || rec.Header().Get("Location") != "" {
				t.Fatalf("%s: %d %v %s", c.target, rec.Code, err, rec.Body)
			}
			if !slices.ContainsFunc(rec.Header()["Link"], func(l string) bool { return strings.Contains(l, `rel="http://www.w3.org/ns/json-ld#context"`) }) {
				t.Errorf("%s: Link %v", c.target, rec.Header()["Link"])
			}
			if diff := cmp.Diff(c.anchors, wholeLinkset(t, set)); diff != "" {
				t.Errorf("%s: %s", c.target, diff)
			}
		}
	}
	rec := w.ask("GET", rice+"?linkType=linkset", "Accept", "application/ld+json")
	var set linkset
	if err := json.Unmarshal(rec.Body.Bytes(), &set); err != nil || set.Context != linksetContext || rec.Header().Get("Content-Type") != "application/ld+json" {
		t.Errorf("JSON-LD: %v %s", err, rec.Body)
	}
	rec = w.ask("GET", rice+"/21/"+genuine+"?linkType=linkset")
	for _, want := range []string{
		`"https://gs1.org/voc/defaultLink":[{"href":"` + root + "/" + genuine + `/TOKEN"`, `"https://gs1.org/voc/verificationService":[{"href":"` + root + "/gs1/verify" + rice,
	} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("an item's linkset has no %s: %s", want, rec.Body)
		}
	}
}

// wholeLinkset checks every member and gives the anchors.
func wholeLinkset(t *testing.T, set linkset) (anchors []string) {
	t.Helper()
	links := 0
	for _, object := range set.Linkset {
		for name, raw := range object {
			if name == "anchor" {
				continue
			}
			var targets []target
			if err := json.Unmarshal(raw, &targets); err != nil || len(targets) == 0 || !strings.HasPrefix(name, resolve.Vocabulary) {
				t.Errorf("%s: %s", name, raw)
			}
			if name == resolve.Vocabulary+"defaultLink" && len(targets) != 1 {
				t.Errorf("%d defaults", len(targets))
			}
			for _, one := range targets {
				links++
				if u, err := url.Parse(one.Href); err != nil || !u.IsAbs() || one.Title == "" {
					t.Errorf("%s: %+v", name, one)
				}
			}
		}
		var anchor string
		if err := json.Unmarshal(object["anchor"], &anchor); err != nil {
			t.Error(err)
		}
		if l, err := gs1.ParseLink(anchor); err != nil || l.Stem != root {
			t.Errorf("anchor %s: %v", anchor, err)
		}
		anchors = append(anchors, strings.TrimPrefix(anchor, root))
	}
	if links == 0 {
		t.Error("no links")
	}
	return anchors
}

func TestDescription(t *testing.T) {
	t.Parallel()
	rec := newWorld(t).ask("GET", "/.well-known/gs1resolver")
	var d description
	if err := json.Unmarshal(rec.Body.Bytes(), &d); err != nil || d.ResolverRoot != root || !slices.Equal(d.Keys, []string{"all"}) || d.Contact.Name == "" {
		t.Errorf("%v %s", err, rec.Body)
	}
}

// TestEveryKey: every primary key is resolved, with each of its qualifiers.
func TestEveryKey(t *testing.T) {
	t.Parallel()
	values := map[gs1.AI]string{
		"00": "376104250021234569", "01": "09506000134352", "253": "9506000134376D", "255": "95060001343761", "401": "9506000A", "402": "95060001343520000",
		"414": "9506000134376", "415": "9506000134376", "417": "9506000134376", "8003": "09506000134376A", "8004": "9506000A", "8006": "095060001343520102",
		"8010": "9506000A", "8013": "1987654Ad4X4bL5ttr2310c2K", "8017": "950600013437600004", "8018": "950600013437600004",
	}
	qualifiers := map[gs1.AI][]string{
		"01": {"/22/V", "/10/L", "/21/S", "/235/T", "/22/V/10/L/21/S"}, "8006": {"/22/V", "/10/L", "/21/S"}, "414": {"/254/X", "/7040/1ABC"}, "417": {"/7040/1ABC"},
		"8004": {"/7040/1ABC"}, "8010": {"/8011/1"}, "8017": {"/8019/1"}, "8018": {"/8019/1"}, "415": {"/8020/R"},
	}
	w := newWorld(t)
	for _, key := range gs1.Keys() {
		value, ok := values[key]
		if !ok {
			t.Errorf("(%s) has no example", key)
		}
		for _, q := range append(qualifiers[key], "") {
			rec := w.ask("GET", "/"+string(key)+"/"+value+q+"?linkType=linkset")
			if rec.Code != 200 && rec.Code != 404 || rec.Code == 404 && !strings.Contains(rec.Body.String(), "resolve.") {
				t.Errorf("/%s/%s%s: %d %s", key, value, q, rec.Code, rec.Body)
			}
		}
	}
}

func TestVerification(t *testing.T) {
	t.Parallel()
	at := "/gs1/verify" + rice
	for _, c := range []struct {
		name, target string
		change       func(*Verification)
		want         messageData
	}{
		{"right", at + "/10/L1/21/" + genuine + "?17=271231", nil, messageData{Verified: true}},
		{"month's end", at + "/10/L1/21/" + genuine + "?17=271200", nil, messageData{Verified: true}},
		{"lot not said", at + "/21/" + genuine, nil, messageData{Verified: true}},
		{"forged", at + "/21/" + forged, nil, messageData{Failure: noMatch}},
		{"of another", at + "/21/SERIAL", nil, messageData{Failure: noMatch}},
		{"another GTIN", "/gs1/verify/01/04006381333931/21/" + genuine, nil, messageData{Failure: noMatch}},
		{"lot", at + "/10/L2/21/" + genuine + "?17=271231", nil, messageData{Failure: noMatchLot}},
		{"expiry", at + "/10/L1/21/" + genuine + "?17=271230", nil, messageData{Failure: noMatchExpiry}},
		{"both", at + "/10/L2/21/" + genuine + "?17=271230", nil, messageData{Failure: noMatchLotExpiry}},
		{"recalled", at + "/21/" + genuine, func(v *Verification) { v.Recalled, v.Valid = true, false }, messageData{Verified: true, Info: "recalled"}},
		{"void", at + "/21/" + genuine, func(v *Verification) { v.Valid = false }, messageData{Failure: noReason}},
		{"no expiry", at + "/21/" + genuine + "?17=200101", func(v *Verification) { v.ExpiresAt = time.Time{} }, messageData{Verified: true}},
	} {
		w := newWorld(t)
		if c.change != nil {
			c.change(&w.item)
		}
		glue := "?"
		if strings.Contains(c.target, "?") {
			glue = "&"
		}
		rec := w.ask("GET", c.target+glue+"corrUUID=c-1&reqGLN=9506000134376")
		var m message
		if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil || rec.Code != 200 {
			t.Fatalf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
		if diff := cmp.Diff(c.want, m.Data); diff != "" || m.Corr != "c-1" || m.At != "2026-11-01T08:00:00Z" || m.Responder == "" && m.Data.Failure != noMatch {
			t.Errorf("%s: %+v %s", c.name, m, diff)
		}
	}
	var one, two message
	w := newWorld(t)
	for _, m := range []*message{&one, &two} {
		if err := json.Unmarshal(w.ask("GET", at+"/21/"+genuine).Body.Bytes(), m); err != nil {
			t.Fatal(err)
		}
	}
	if len(one.Corr) != 36 || one.Corr == two.Corr {
		t.Errorf("%s and %s", one.Corr, two.Corr)
	}
}

// TestGuessesAreLimited: a code that does not verify is a guess at every door of the
// resolver, and who guesses too often is answered nothing.
func TestGuessesAreLimited(t *testing.T) {
	t.Parallel()
	item := rice + "/21/"
	for _, door := range []string{item + forged + "?linkType=gs1:pip", item + forged + "?linkType=linkset", "/gs1/verify" + item + forged} {
		guard := limit.NewGuard(limit.Options{
			Limits: limit.Limits{Requests: limit.Steady(100, time.Second), Misses: limit.Within(4, time.Hour), Budget: limit.Steady(1000, time.Hour)},
			Clock:  clock.Func(func() time.Time { return now }), ProofKey: func() [32]byte { return [32]byte{5} },
		})
		w := newLimitedWorld(t, httpx.NewLimits(guard, httpx.Proxies{}))
		for range 2 {
			if rec := w.ask("GET", door); rec.Code == http.StatusTooManyRequests {
				t.Fatalf("%s: %d %s", door, rec.Code, rec.Body)
			}
		}
		for _, target := range []string{rice, item + genuine + "?linkType=gs1:pip", item + genuine + "?linkType=linkset", "/gs1/verify" + item + genuine} {
			if rec := w.ask("GET", target); rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
				t.Errorf("after guesses at %s, %s: %d %s", door, target, rec.Code, rec.Body)
			}
		}
	}
}

// TestGuessesCountForTheirBrand: who names a GTIN of a brand guesses about that brand, and
// takes nothing of what all strangers share.
func TestGuessesCountForTheirBrand(t *testing.T) {
	t.Parallel()
	for _, gtin := range []string{rice, "/01/09506000134369"} {
		for _, door := range []string{gtin + "/21/" + forged + "?linkType=gs1:pip", gtin + "/21/" + forged + "?linkType=linkset", "/gs1/verify" + gtin + "/21/" + forged} {
			guard := limit.NewGuard(limit.Options{
				Limits: limit.Limits{Misses: limit.Within(100, time.Hour), Budget: limit.Steady(1000, time.Hour)},
				Clock:  clock.Func(func() time.Time { return now }), ProofKey: func() [32]byte { return [32]byte{5} },
				Realm: func(int32) (limit.Rate, bool) { return limit.Within(2, time.Hour), true },
			})
			w := newLimitedWorld(t, httpx.NewLimits(guard, httpx.Proxies{}))
			w.ask("GET", door)
			known := gtin == rice
			if full := guard.Realm(netip.MustParseAddr("192.0.2.1"), 7) != nil; full != known || (guard.Counts().BudgetLeft == 1) != known {
				t.Errorf("%s: the brand's account is drawn on %v, of what all share %v is left", door, full, guard.Counts().BudgetLeft)
			}
		}
	}
}

// TestPlainPaths: what the fast way takes by its look, and what it must not.
func TestPlainPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		rice: true, "/00/1": true, "/8004/x": true, "/414/9506000134376": true, "/01/": true,
		"": false, "/": false, "/01": false, "/0": false, "//": false, "/10/A": false, "/" + genuine: false, "/80040/x": false, "/api/v1": false, "/99/x": false,
	} {
		if isLink(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}

var _ resolve.Items = (*world)(nil)

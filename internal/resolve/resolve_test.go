package resolve

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/accept"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	rice    = "/01/09506000134352"
	genuine = "692931865931847536" // a code of an item of ours, number 7 of its batch
	forged  = "123456789012345678"
)

// memory is a store, a catalog and the items, as small as they can be.
type memory struct {
	mu      sync.Mutex
	records []Record // guarded by mu
	head    int64    // guarded by mu
}

func (m *memory) Put(_ context.Context, r Record, ifVersion int64) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := slices.IndexFunc(m.records, func(o Record) bool { return o.Name == r.Name })
	if at >= 0 {
		old := m.records[at]
		switch {
		case old.BrandID != r.BrandID:
			return 0, false, ErrTaken
		case ifVersion >= 0 && old.Version != ifVersion:
			return 0, false, ErrVersion
		case bytes.Equal(old.Body, r.Body):
			return old.Version, false, nil
		}
		m.records = slices.Delete(m.records, at, at+1)
	}
	m.head++
	r.Version = m.head
	m.records = append(m.records, r)
	return r.Version, true, nil
}

func (m *memory) Record(_ context.Context, name string) (Record, error) {
	for _, r := range m.records {
		if r.Name == name {
			return r, nil
		}
	}
	return Record{}, ErrUnknown
}

func (m *memory) List(context.Context, ids.BrandID, string, int) ([]Record, error) {
	return m.records, nil
}

func (m *memory) Changes(_ context.Context, after int64, _ int) (some []Record, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if r.Version > after {
			some = append(some, r)
		}
	}
	return some, nil
}

func (m *memory) Head(context.Context) (int64, error) { return m.head, nil }

var errNoBrand = fault.New(fault.NotFound, "brand.unknown", "no such brand")

func (m *memory) Brand(_ context.Context, id ids.BrandID) error {
	if id > 9 {
		return errNoBrand
	}
	return nil
}

func (m *memory) Batch(_ context.Context, id ids.BatchID) (ids.BrandID, int64, error) {
	if id != "bat_1" {
		return 0, 0, fault.New(fault.NotFound, "batch.unknown", "no such batch")
	}
	return 7, 100, nil
}

func (m *memory) Item(_ context.Context, code codebook.Code, gtin gs1.GTIN, lot string) (Item, bool, error) {
	known := code.String() == genuine && "/01/"+gtin.String() == rice && (lot == "" || lot == "L1")
	return Item{Brand: 7, Batch: "bat_1", No: 7, Page: "/" + genuine + "/TOKEN"}, known, nil
}

type world struct {
	t *testing.T
	*Service
	*Resolver
}

func newWorld(t *testing.T) *world {
	t.Helper()
	m, index := &memory{}, NewIndex()
	w := &world{t, NewService(m, index, m, clock.Func(func() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) })), NewResolver(index, m)}
	w.policy("brand.example", "*.brand.example")
	return w
}

func (w *world) policy(hosts ...string) {
	w.t.Helper()
	if _, err := w.PutPolicy(w.t.Context(), Policy{BrandID: 7, Schemes: []string{"https"}, Hosts: hosts}, AnyVersion); err != nil {
		w.t.Fatal(err)
	}
}

// put gives an anchor links, each "type name"; the first gets to be the default too when
// its type is "default".
func (w *world) put(anchor string, links ...Link) {
	w.t.Helper()
	a, err := ParseAnchor(anchor)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Put(w.t.Context(), Set{Anchor: a, BrandID: 7, Links: links}, AnyVersion); err != nil {
		w.t.Fatal(err)
	}
}

func link(kind, name string) Link {
	return Link{Type: kind, Href: "https://brand.example/" + name, Title: name}
}

func idOf(t *testing.T, path string) *gs1.ID {
	t.Helper()
	id, err := gs1.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	return &id
}

// leads tells in a word where a path leads.
func (w *world) leads(path, kind string, wishes Wishes) string {
	w.t.Helper()
	id := idOf(w.t, path)
	var a Answer
	var err error
	if kind == "" {
		a, err = w.Default(id, &wishes)
	} else {
		a, err = w.Of(w.t.Context(), id, kind, &wishes)
	}
	switch {
	case errors.Is(err, ErrNothing):
		return "nothing"
	case errors.Is(err, ErrNoType):
		return "no type"
	case errors.Is(err, ErrNoItem):
		return "no item"
	case err != nil:
		w.t.Fatal(err)
	case a.ToItem:
		return "item"
	case a.ToVerification:
		return "verification"
	}
	return strings.TrimPrefix(a.Href, "https://brand.example/")
}

func TestLevels(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][]string{
		rice:                            {rice},
		rice + "/235/T":                 {rice + "/235/T", rice},
		rice + "/10/L":                  {rice + "/10/L", rice},
		rice + "/22/V":                  {rice + "/22/V", rice},
		rice + "/22/V/10/L":             {rice + "/22/V/10/L", rice + "/10/L", rice + "/22/V", rice},
		rice + "/22/V/10/L/21/S":        {rice + "/21/S", rice + "/22/V/10/L", rice + "/10/L", rice + "/22/V", rice},
		"/8006/095060001343520102/21/S": {"/8006/095060001343520102/21/S", "/8006/095060001343520102"},
		"/414/9506000134376/254/X":      {"/414/9506000134376/254/X", "/414/9506000134376"},
		"/00/376104250021234569":        {"/00/376104250021234569"},
	} {
		all, n := levels(idOf(t, path))
		var got []string
		for _, l := range all[:n] {
			got = append(got, l.Path())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", path, diff)
		}
	}
}

// TestWalkUp: an explicit link type is looked for on every level, the nearest first.
func TestWalkUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(rice, link(DefaultLink, "rice"), link("gs1:pip", "rice"), link("gs1:recallStatus", "recalls"))
	w.put(rice+"/10/L1", link("gs1:certificationInfo", "certificate-of-l1"), link("gs1:recallStatus", "recall-of-l1"))
	w.put("prefix:9506000", link(DefaultLink, "brand"), link("gs1:homepage", "brand"), link("gs1:pip", "any"))
	w.put("/00/376104250021234569", link(DefaultLink, "pallet"), link("gs1:logisticsInfo", "pallet"))
	for _, c := range []struct{ path, kind, want string }{
		{rice, "", "rice"},
		{rice, "gs1:pip", "rice"},
		{rice, "gs1:homepage", "brand"},
		{rice, "gs1:recipeInfo", "no type"},
		{rice + "/10/L1", "", "rice"}, // a lot is a class of things
		{rice + "/10/L1", "gs1:recallStatus", "recall-of-l1"},
		{rice + "/22/V/10/L1", "gs1:certificationInfo", "certificate-of-l1"},
		{rice + "/10/L2", "gs1:recallStatus", "recalls"},
		{"/01/09506000134369", "", "brand"},
		{"/01/09506000134369", "gs1:pip", "any"},
		{"/414/9506000134376/254/X", "gs1:homepage", "brand"},
		{"/01/04006381333931", "", "nothing"},
		{"/01/04006381333931", "gs1:pip", "no type"},
		{"/00/376104250021234569", "", "pallet"},
	} {
		if got := w.leads(c.path, c.kind, Wishes{}); got != c.want {
			t.Errorf("%s %s leads to %s, want %s", c.path, c.kind, got, c.want)
		}
	}
}

// TestItemsNeverWalkUp: neither the default nor the verification of an item is ever its
// product's, and a code that does not verify has nothing of the product at all.
func TestItemsNeverWalkUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(rice, link(DefaultLink, "rice"), link("gs1:pip", "rice"), link(VerificationService, "wrong"), link("gs1:epcis", "events"))
	w.put(rice+"/10/L1", link(DefaultLink, "l1"), link("gs1:pip", "l1"))
	w.put("batch:bat_1:1-10", link("gs1:traceability", "first-ten"))
	w.put("batch:bat_1:7-7", link("gs1:traceability", "seven"))
	w.put("batch:bat_1:8-20", link("gs1:traceability", "others"))
	w.put(rice+"/21/OTHER", link(DefaultLink, "other"), link("gs1:pip", "other"))
	for _, c := range []struct{ path, kind, want string }{
		{rice + "/21/" + genuine, "", "item"},
		{rice + "/10/L1/21/" + genuine, "", "item"},
		{rice + "/21/" + genuine, DefaultLink, "item"},
		{rice + "/21/" + genuine, DefaultLinkMulti, "no type"},
		{rice + "/21/" + genuine, VerificationService, "verification"},
		{rice + "/21/" + genuine, "gs1:pip", "rice"},
		{rice + "/10/L1/21/" + genuine, "gs1:pip", "l1"},
		{rice + "/21/" + genuine, "gs1:traceability", "seven"},
		{rice + "/21/" + forged, "", "item"}, // whose page refuses it
		{rice + "/21/" + forged, "gs1:pip", "no item"},
		{rice + "/21/" + forged, "gs1:traceability", "no item"},
		{rice + "/21/" + forged, VerificationService, "verification"}, // which says no
		{rice + "/10/L2/21/" + genuine, "gs1:pip", "no item"},
		{"/01/09506000134369/21/" + genuine, "gs1:pip", "no item"},
		{rice + "/21/MADEUP", "", "nothing"},
		{rice + "/10/L1/21/MADEUP", "", "nothing"},
		{rice + "/21/MADEUP", VerificationService, "no type"},
		{rice + "/21/MADEUP", "gs1:epcis", "events"},
		{rice + "/21/OTHER", "", "other"},
		{rice + "/235/MADEUP", "", "nothing"},
	} {
		if got := w.leads(c.path, c.kind, Wishes{}); got != c.want {
			t.Errorf("%s %s leads to %s, want %s", c.path, c.kind, got, c.want)
		}
	}
	if _, _, err := w.All(t.Context(), idOf(t, rice+"/21/"+forged)); !errors.Is(err, ErrNoItem) {
		t.Errorf("the linkset of a forged serial: %v", err)
	}
	levels, item, err := w.All(t.Context(), idOf(t, rice+"/10/L1/21/"+genuine))
	if err != nil || item == nil || item.No != 7 {
		t.Fatalf("%+v, %v", item, err)
	}
	var got []string
	for _, l := range levels {
		for _, one := range l.Links {
			got = append(got, l.ID.Path()+" "+one.Type+" "+one.Title)
		}
	}
	want := []string{
		rice + "/10/L1/21/" + genuine + " gs1:traceability seven", rice + "/10/L1/21/" + genuine + " gs1:traceability first-ten",
		rice + "/10/L1 gs1:defaultLink l1", rice + "/10/L1 gs1:pip l1",
		rice + " gs1:defaultLink rice", rice + " gs1:pip rice", rice + " gs1:verificationService wrong", rice + " gs1:epcis events",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestMatch: of the links of one type the one that does best what the request says, and
// of equals the first.
func TestMatch(t *testing.T) {
	t.Parallel()
	pip := func(name string, change func(*Link)) Link {
		l := link("gs1:pip", name)
		change(&l)
		return l
	}
	w := newWorld(t)
	w.put(rice,
		link(DefaultLink, "en"), Link{Type: DefaultLinkMulti, Href: "https://brand.example/fr", Title: "fr", Languages: []string{"fr"}},
		pip("en", func(l *Link) { l.Languages = []string{"en"}; l.MediaType = "text/html" }),
		pip("en-json", func(l *Link) { l.Languages = []string{"en"}; l.MediaType = "application/json" }),
		pip("fr", func(l *Link) { l.Languages = []string{"fr", "fr-CA"} }),
		pip("pt", func(l *Link) { l.Languages = []string{"pt-BR"} }),
		pip("any", func(*Link) {}),
		pip("return", func(l *Link) { l.Contexts = []string{"dscsaSaleableReturn"} }),
		pip("china", func(l *Link) { l.Countries = []string{"中国", "China"}; l.Languages = []string{"zh"} }),
	)
	china := func() string { return "china" }
	for _, c := range []struct {
		kind   string
		wishes Wishes
		want   string
	}{
		{"", Wishes{}, "en"},
		{"", Wishes{Languages: accept.Ranges("*"), Media: accept.Ranges("*/*")}, "en"},
		{"", Wishes{Languages: accept.Ranges("de")}, "en"},
		{"", Wishes{Languages: accept.Ranges("fr-CH, fr;q=0.9, en;q=0.5")}, "fr"},
		{"", Wishes{Languages: accept.Ranges("en, fr;q=0")}, "en"},
		{"gs1:pip", Wishes{}, "en"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("en"), Media: accept.Ranges("application/json")}, "en-json"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("en"), Media: accept.Ranges("application/*;q=0.2, text/html;q=0.1")}, "en-json"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("fr, en;q=0.5")}, "fr"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("en;q=0.4, fr;q=0.5")}, "fr"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("pt")}, "pt"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("pt-PT")}, "any"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("de")}, "any"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("en"), Media: accept.Ranges("image/png")}, "en"},
		{"gs1:pip", Wishes{Languages: accept.Ranges(strings.Repeat("xx,", 100) + "fr")}, "any"},
		{"gs1:pip", Wishes{Languages: accept.Ranges("fr;q=x, en;q=-1, pt;q=2")}, "any"},
		{"gs1:pip", Wishes{Context: "dscsaSaleableReturn", Languages: accept.Ranges("fr")}, "return"},
		{"gs1:pip", Wishes{Context: "another", Languages: accept.Ranges("fr")}, "fr"},
		{"gs1:pip", Wishes{Country: china, Languages: accept.Ranges("en")}, "china"},
		{"gs1:pip", Wishes{Country: func() string { return "" }, Languages: accept.Ranges("zh")}, "any"},
	} {
		if got := w.leads(rice, c.kind, c.wishes); got != c.want {
			t.Errorf("%s %+v leads to %s, want %s", c.kind, c.wishes, got, c.want)
		}
	}
}

// TestPolicyTakesBack: a host that is no longer allowed is no longer led to, and what is
// kept comes back with it.
func TestPolicyTakesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(rice, link(DefaultLink, "rice"), link("gs1:pip", "rice"))
	w.policy("other.example")
	if got := w.leads(rice, "gs1:pip", Wishes{}); got != "no type" {
		t.Errorf("leads to %s", got)
	}
	if set, err := w.Set(t.Context(), Anchor{ID: *idOf(t, rice)}); err != nil || len(set.Links) != 2 {
		t.Errorf("kept %+v, %v", set, err)
	}
	w.policy("brand.example")
	if got := w.leads(rice, "", Wishes{}); got != "rice" {
		t.Errorf("leads to %s", got)
	}
	if _, err := w.Delete(t.Context(), 7, Anchor{ID: *idOf(t, rice)}, AnyVersion); err != nil {
		t.Fatal(err)
	}
	if got := w.leads(rice, "", Wishes{}); got != "nothing" {
		t.Errorf("what was deleted leads to %s", got)
	}
	if _, err := w.Set(t.Context(), Anchor{ID: *idOf(t, rice)}); !errors.Is(err, ErrUnknown) {
		t.Errorf("what was deleted: %v", err)
	}
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.put(rice, link(DefaultLink, "rice"), link("gs1:pip", "rice"))
	with := func(change func(*Link)) []Link {
		l := link("gs1:pip", "x")
		change(&l)
		return []Link{link(DefaultLink, "x"), l}
	}
	for _, c := range []struct {
		name, anchor string
		links        []Link
		code, field  string
	}{
		{"none", rice, nil, "resolve.bad_links", "links"},
		{"101", rice, slices.Repeat([]Link{link("gs1:pip", "x")}, 101), "resolve.bad_links", "links"},
		{"another vocabulary", rice, []Link{link("schema:about", "x")}, "resolve.bad_link", "links[0].link_type"},
		{"linkset", rice, []Link{link("gs1:linkset", "x")}, "resolve.bad_link", "links[0].link_type"},
		{"two defaults", rice, []Link{link(DefaultLink, "x"), link(DefaultLink, "x")}, "resolve.bad_link", "links[1].link_type"},
		{"default with a language", rice, []Link{{Type: DefaultLink, Href: "https://brand.example/", Title: "x", Languages: []string{"en"}}}, "resolve.bad_link", "links[0].link_type"},
		{"default of no type", rice, []Link{link(DefaultLink, "x"), link("gs1:pip", "y")}, "resolve.bad_link", "links[0].href"},
		{"several without one", rice, []Link{link(DefaultLinkMulti, "x"), link("gs1:pip", "x")}, "resolve.bad_link", "links[0].link_type"},
		{"no title", rice, with(func(l *Link) { l.Title = "" }), "resolve.bad_link", "links[1].title"},
		{"a bell in the title", rice, with(func(l *Link) { l.Title = "a\a" }), "resolve.bad_link", "links[1].title"},
		{"script", rice, with(func(l *Link) { l.Href = "javascript:alert(1)" }), "resolve.bad_link", "links[1].href"},
		{"relative", rice, with(func(l *Link) { l.Href = "/x" }), "resolve.bad_link", "links[1].href"},
		{"a line break", rice, with(func(l *Link) { l.Href = "https://brand.example/\r\nSet-Cookie: a" }), "resolve.bad_link", "links[1].href"},
		{"a user", rice, with(func(l *Link) { l.Href = "https://brand.example@evil.example/" }), "resolve.bad_link", "links[1].href"},
		{"another host", rice, with(func(l *Link) { l.Href = "https://evil.example/" }), "resolve.bad_link", "links[1].href"},
		{"a host that ends so", rice, with(func(l *Link) { l.Href = "https://evilbrand.example/" }), "resolve.bad_link", "links[1].href"},
		{"another port", rice, with(func(l *Link) { l.Href = "https://brand.example:8443/" }), "resolve.bad_link", "links[1].href"},
		{"another scheme", rice, with(func(l *Link) { l.Href = "http://brand.example/" }), "resolve.bad_link", "links[1].href"},
		{"language", rice, with(func(l *Link) { l.Languages = []string{"english"} }), "resolve.bad_link", "links[1].hreflang"},
		{"media type", rice, with(func(l *Link) { l.MediaType = "html" }), "resolve.bad_link", "links[1].media_type"},
		{"no default above", "/01/04006381333931/10/A", []Link{link("gs1:pip", "x")}, "resolve.no_default", "links"},
		{"default of coded items", rice + "/21/" + genuine, []Link{link(DefaultLink, "x"), link("gs1:pip", "x")}, "resolve.bad_link", "links[0].link_type"},
		{"default of a run", "batch:bat_1:1-2", []Link{link(DefaultLink, "x"), link("gs1:pip", "x")}, "resolve.bad_link", "links[0].link_type"},
		{"beyond the batch", "batch:bat_1:1-101", []Link{link("gs1:pip", "x")}, "resolve.bad_anchor", "anchor"},
	} {
		a, err := ParseAnchor(c.anchor)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Put(t.Context(), Set{Anchor: a, BrandID: 7, Links: c.links}, AnyVersion)
		f, _ := fault.From(err)
		if f == nil || f.Code != c.code || len(f.Details) == 0 || f.Details[0].Field != c.field {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	other := Set{Anchor: Anchor{ID: *idOf(t, rice)}, BrandID: 8, Links: []Link{link("gs1:pip", "x")}}
	if _, err := w.PutPolicy(t.Context(), Policy{BrandID: 8, Schemes: []string{"https"}, Hosts: []string{"brand.example"}}, AnyVersion); err != nil {
		t.Fatal(err)
	}
	other.Links = append(other.Links, link(DefaultLink, "x"))
	if _, err := w.Put(t.Context(), other, AnyVersion); !errors.Is(err, ErrTaken) {
		t.Errorf("another brand's anchor: %v", err)
	}
	other.BrandID = 10
	if _, err := w.Put(t.Context(), other, AnyVersion); !errors.Is(err, errNoBrand) {
		t.Errorf("an unknown brand: %v", err)
	}
}

func TestAnchors(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/01/9506000134352": rice, rice + "/10/%41": rice + "/10/A", "prefix:9506000": "prefix:9506000", "batch:bat_1:1-500": "batch:bat_1:1-500",
	} {
		if a, err := ParseAnchor(in); err != nil || a.String() != want {
			t.Errorf("%s is %s, %v", in, a, err)
		}
	}
	for _, in := range []string{
		"", "x", "01/09506000134352", rice + "/", rice + "/10/A/21/B", rice + "/22/A/21/B", "prefix:", "prefix:123", "prefix:1234567890123", "prefix:95060a0",
		"batch:", "batch:x", "batch:x:1", "batch:x:2-1", "batch:x:0-1", "batch::1-2", "batch:x:01-2", "batch:x:1-99999999999999999999", "policy:7",
		"/8004/" + strings.Repeat("%2F", 90),
	} {
		if a, err := ParseAnchor(in); err == nil {
			t.Errorf("%q is %s", in, a)
		}
	}
}

func TestParseLinkType(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"gs1:pip": "gs1:pip", "pip": "gs1:pip", "https://gs1.org/voc/pip": "gs1:pip", "https://ref.gs1.org/voc/pip": "gs1:pip", "verificationService": VerificationService,
	} {
		if got, ok := ParseLinkType(in); !ok || got != want {
			t.Errorf("%s is %s", in, got)
		}
	}
	for _, in := range []string{"", "gs1:", "gs1:a b", "gs1:1", "schema:about", "https://schema.org/about", "gs1:" + strings.Repeat("a", 65), "gs1:<x>"} {
		if got, ok := ParseLinkType(in); ok {
			t.Errorf("%q is %s", in, got)
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]Policy{
		"scheme": {Schemes: []string{"javascript"}}, "host": {Hosts: []string{"a b"}}, "everything": {Hosts: []string{"*"}},
		"URL": {Hosts: []string{"https://a.example"}}, "GLN": {GLN: "9506000134377"}, "port": {Hosts: []string{"a.example:x"}},
	} {
		if err := p.check(); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	p := Policy{Schemes: []string{"https", "http", "https"}, Hosts: []string{"B.example", "a.example:8443", "*.b.example"}, GLN: "9506000134376"}
	if err := p.check(); err != nil || !slices.Equal(p.Hosts, []string{"*.b.example", "a.example:8443", "b.example"}) || len(p.Schemes) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
}

func BenchmarkDefault(b *testing.B) {
	m, index := &memory{}, NewIndex()
	s := NewService(m, index, m, clock.System{})
	if _, err := s.PutPolicy(b.Context(), Policy{BrandID: 7, Schemes: []string{"https"}, Hosts: []string{"brand.example"}}, AnyVersion); err != nil {
		b.Fatal(err)
	}
	a, err := ParseAnchor(rice)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Put(b.Context(), Set{Anchor: a, BrandID: 7, Links: []Link{link(DefaultLink, "x"), link("gs1:pip", "x")}}, AnyVersion); err != nil {
		b.Fatal(err)
	}
	r, w := NewResolver(index, m), Wishes{Languages: accept.Ranges("de-DE,de;q=0.9,en;q=0.8"), Media: accept.Ranges("text/html,*/*;q=0.8")}
	for b.Loop() {
		if _, err := r.Default(&a.ID, &w); err != nil {
			b.Fatal(err)
		}
	}
}

// Package findtest holds the suite that every index of words must pass.
package findtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/ids"
)

// Run holds an index to its contract. fresh gives an empty one.
func Run(t *testing.T, fresh func(tb testing.TB) find.Index) {
	t.Run("words", func(t *testing.T) { t.Parallel(); words(t, fresh(t)) })
	t.Run("reset", func(t *testing.T) { t.Parallel(); reset(t, fresh(t)) })
	t.Run("standing", func(t *testing.T) { t.Parallel(); standing(t, fresh(t)) })
	t.Run("versions", func(t *testing.T) { t.Parallel(); versions(t, fresh(t)) })
	t.Run("scope", func(t *testing.T) { t.Parallel(); scope(t, fresh(t)) })
	t.Run("cursors", func(t *testing.T) { t.Parallel(); cursors(t, fresh(t)) })
	t.Run("model", func(t *testing.T) { t.Parallel(); model(t, fresh) })
}

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

func apply(t *testing.T, i find.Index, all ...find.Document) {
	t.Helper()
	if err := i.Apply(t.Context(), all, find.Standing{Cursor: "c", Filled: true}); err != nil {
		t.Fatal(err)
	}
}

// found are the identifiers that a question gives, page by page.
func found(tb testing.TB, s *find.Service, scope ids.Scope, a find.Ask) (out []string) {
	tb.Helper()
	for pages := 0; ; pages++ {
		page, err := s.Find(ids.WithScope(tb.Context(), scope), a)
		if err != nil {
			tb.Fatal(err)
		}
		if len(page.Hits) > a.Limit || pages > 1000 {
			tb.Fatalf("page %d has %d hits, at most %d are asked for", pages, len(page.Hits), a.Limit)
		}
		for _, h := range page.Hits {
			out = append(out, h.ID)
		}
		if a.Cursor = page.Next; a.Cursor == "" {
			return out
		}
	}
}

func words(t *testing.T, i find.Index) {
	apply(t, i,
		find.Document{Kind: find.Product, ID: "1", Brand: 7, Title: "飞天茅台酒 53度", Words: []string{"06901234560034", "Sauce-Flavour BAIJIU"}, At: start(), Version: 1},
		find.Document{Kind: find.Batch, ID: "bat_1", Brand: 7, Title: "LOT-2026*A", At: start(), Version: 2},
		find.Document{Kind: find.Place, ID: "urn:shop:1", Brand: 7, Title: "上海 经销商", Words: []string{"urn:shop:1", `a\b?c "d"`}, Version: 3},
		find.Document{
			Kind: find.Event, ID: "ni:///1", Brand: 7, Title: "shipping", At: start(), Version: 4,
			Words: []string{"in_transit", "urn:epc:id:sgln:4012345.00011.0", "urn:epc:id:sscc:4012345.0000000111", "urn:epcglobal:cbv:bt:4012345000115:PO-77"},
		},
	)
	s := find.NewService(i)
	for q, want := range map[string]string{
		"茅": "1", "茅台": "1", "茅台酒": "1", "飞天 53": "1", "酒飞": "", "台 酒 度": "1", "５３": "1",
		"6901234560034": "1", "baijiu": "1", "FLAVOUR": "1", "sauce baijiu": "1", "sauce brandy": "", "e-f": "1",
		"lot-2026": "bat_1", "2026*a": "bat_1", "2026*": "bat_1", "20?6": "", "l*t": "", "%": "", "_tr": "ni:///1", "x_t": "",
		"经销": "urn:shop:1", "上海 经销商": "urn:shop:1", `a\b`: "urn:shop:1", `b?c`: "urn:shop:1", `"d"`: "urn:shop:1", `\`: "urn:shop:1", `"`: "urn:shop:1",
		"shipping": "ni:///1", "in_transit": "ni:///1", "4012345.00011": "ni:///1", "po-77": "ni:///1", "4012345": "ni:///1",
		"0000000111 ship": "ni:///1", "urn:": "urn:shop:1 ni:///1", "zzz": "", "OR": "", "NEAR(": "", "ship*": "", "words:ship": "", "-ship": "", "1": "1 urn:shop:1 ni:///1",
	} {
		if got := strings.Join(found(t, s, ids.AllBrands(), find.Ask{Text: q, Limit: 1}), " "); got != want {
			t.Errorf("%q finds %q, want %q", q, got, want)
		}
	}
	page, err := i.Find(t.Context(), &find.Query{Terms: []string{"shipping"}, Kinds: find.Kinds(), All: true, Limit: 9})
	want := []find.Hit{{Kind: find.Event, ID: "ni:///1", Brand: 7, Title: "shipping", At: start()}}
	if diff := gocmp.Diff(want, page.Hits); diff != "" || err != nil || page.Next != "" {
		t.Errorf("%v, next %q (-want +got):\n%s", err, page.Next, diff)
	}
	for _, bad := range []string{"", " \t", strings.Repeat("a", 201), "a b c d e f g h i", "\xff"} {
		if _, err := s.Find(t.Context(), find.Ask{Text: bad, Limit: 1}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if _, err := s.Find(t.Context(), find.Ask{Text: "a", Kinds: []find.Kind{"item"}, Limit: 1}); err == nil {
		t.Error("a kind that is none is taken")
	}
}

// reset: nothing is found, or stands in the way of what comes then, not even an older version.
func reset(t *testing.T, i find.Index) {
	s := find.NewService(i)
	if err := i.Reset(t.Context()); err != nil { // empty already
		t.Fatal(err)
	}
	apply(t, i, find.Document{Kind: find.Product, ID: "1", Brand: 7, Title: "before", Version: 9})
	if err := i.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if at, err := i.Standing(t.Context()); err != nil || at != (find.Standing{}) {
		t.Errorf("it stands at %+v, %v", at, err)
	}
	if got := found(t, s, ids.AllBrands(), find.Ask{Text: "before", Limit: 9}); len(got) != 0 {
		t.Errorf("found: %v", got)
	}
	apply(t, i, find.Document{Kind: find.Product, ID: "1", Brand: 7, Title: "again", Version: 2})
	if got := found(t, s, ids.AllBrands(), find.Ask{Text: "again", Limit: 9}); len(got) != 1 {
		t.Errorf("found again: %v", got)
	}
}

func standing(t *testing.T, i find.Index) {
	for n, want := range []find.Standing{{}, {Cursor: "a"}, {Cursor: "b", Filled: true}, {Cursor: "a"}} {
		if want != (find.Standing{}) {
			if err := i.Apply(t.Context(), nil, want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := i.Standing(t.Context())
		if err != nil || got != want {
			t.Errorf("%d: %+v, %v, want %+v", n, got, err, want)
		}
		page, err := find.NewService(i).Find(ids.WithScope(t.Context(), ids.AllBrands()), find.Ask{Text: "a", Limit: 1})
		if err != nil || page.Filling == want.Filled {
			t.Errorf("%d: an answer says filling %t, %v", n, page.Filling, err)
		}
	}
}

func versions(t *testing.T, i find.Index) {
	s := find.NewService(i)
	of := func(title string, version int64, gone bool) find.Document {
		return find.Document{Kind: find.Place, ID: "p", Brand: 7, Title: title, Version: version, Gone: gone}
	}
	for n, step := range []struct {
		d    find.Document
		want string
	}{
		{of("alpha", 0, false), "alpha"}, {of("alpha", 0, false), "alpha"}, {of("beta", 5, false), "beta"}, {of("alpha", 4, false), "beta"},
		{of("gamma", 5, false), "gamma"}, {of("", 6, true), ""}, {of("beta", 5, false), ""}, {of("delta", 7, false), "delta"}, {of("", 6, true), "delta"},
	} {
		apply(t, i, step.d)
		for _, title := range []string{"alpha", "beta", "gamma", "delta"} {
			got := len(found(t, s, ids.AllBrands(), find.Ask{Text: title, Limit: 9}))
			if got != 0 != (title == step.want) {
				t.Errorf("step %d: %s is found %d times", n, title, got)
			}
		}
	}
	apply(t, i, of("epsilon", 8, false), of("zeta", 9, false)) // twice at once
	if got := found(t, s, ids.AllBrands(), find.Ask{Text: "eta", Limit: 9}); len(got) != 1 {
		t.Errorf("the last of a document that came twice: %v", got)
	}
}

// scope: who may see some brands finds nothing of others, by no question.
func scope(t *testing.T, i find.Index) {
	for b := ids.BrandID(1); b <= 6; b++ {
		apply(t, i, find.Document{Kind: find.Product, ID: fmt.Sprint("p", b), Brand: b, Title: "common name 共同", At: start(), Version: 1},
			find.Document{Kind: find.Event, ID: fmt.Sprint("e", b), Brand: b, Title: "common event", At: start(), Version: 1})
	}
	s := find.NewService(i)
	for q, want := range map[string]string{"common": "p5 p2 e5 e2", "共": "p5 p2", "co": "p5 p2 e5 e2"} {
		if got := strings.Join(found(t, s, ids.OnlyBrands(2, 5), find.Ask{Text: q, Limit: 1}), " "); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	if got := found(t, s, ids.OnlyBrands(), find.Ask{Text: "common", Limit: 9}); len(got) != 0 {
		t.Errorf("nobody's scope finds %v", got)
	}
	if got := found(t, s, ids.OnlyBrands(2, 5), find.Ask{Text: "common", Brand: 5, Kinds: []find.Kind{find.Event}, Limit: 9}); !slices.Equal(got, []string{"e5"}) {
		t.Errorf("one brand's events: %v", got)
	}
	if _, err := s.Find(ids.WithScope(t.Context(), ids.OnlyBrands(2)), find.Ask{Text: "common", Brand: 3, Limit: 9}); err == nil {
		t.Error("a foreign brand may be asked for")
	}
}

func cursors(t *testing.T, i find.Index) {
	apply(t, i, find.Document{Kind: find.Product, ID: "1", Brand: 7, Title: "abc", At: start(), Version: 1})
	for _, bad := range []string{"x", "====", "AAAA", strings.Repeat("A", 1000), "W10", "eyJhIjoxfQ", "WzEsMiwzLDRd", "' OR 1=1"} {
		if _, err := i.Find(t.Context(), &find.Query{Terms: []string{"abc"}, Kinds: find.Kinds(), All: true, Limit: 1, After: bad}); !errors.Is(err, find.ErrBadCursor) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// model applies random documents and asks random questions, and compares with a list.
func model(t *testing.T, fresh func(tb testing.TB) find.Index) {
	rapid.Check(t, func(rt *rapid.T) {
		i := fresh(t)
		known := map[string]find.Document{}
		order := map[string]int{}
		key := func(d *find.Document) string { return fmt.Sprint(d.Kind, "/", d.Brand, "/", d.ID) }
		text := rapid.StringMatching(`[abA ]{0,3}(茅台|酒|a*b|\\|xyz)?[ab]{0,4}`)
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			var batch []find.Document
			for range rapid.IntRange(0, 12).Draw(rt, "documents") {
				d := find.Document{
					Kind: rapid.SampledFrom(find.Kinds()).Draw(rt, "kind"), ID: rapid.StringMatching(`[a-c]`).Draw(rt, "id"), Brand: ids.BrandID(rapid.IntRange(1, 3).Draw(rt, "brand")),
					Title: text.Draw(rt, "title"), Words: []string{text.Draw(rt, "word")}, Version: int64(rapid.IntRange(0, 4).Draw(rt, "version")), Gone: rapid.IntRange(0, 5).Draw(rt, "gone") == 0,
				}
				if _, ok := order[key(&d)]; !ok {
					order[key(&d)] = len(order)
				}
				d.At = start().Add(time.Duration(order[key(&d)]) * time.Second)
				batch = append(batch, d)
				if was, ok := known[key(&d)]; !ok || was.Version <= d.Version {
					known[key(&d)] = d
				}
			}
			apply(t, i, batch...)
			compare(rt, t, i, known, text)
		}
	})
}

func compare(rt *rapid.T, tb testing.TB, i find.Index, known map[string]find.Document, text *rapid.Generator[string]) {
	ask := find.Ask{Text: text.Draw(rt, "question"), Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), Brand: ids.BrandID(rapid.IntRange(0, 2).Draw(rt, "of"))}
	terms := strings.Fields(find.Fold(ask.Text))
	if len(terms) == 0 {
		return
	}
	may := ids.AllBrands()
	if rapid.Bool().Draw(rt, "scoped") {
		may = ids.OnlyBrands(1, 2)
	}
	var want []find.Document
	for _, d := range known {
		has := !d.Gone && may.Has(d.Brand) && (ask.Brand == 0 || d.Brand == ask.Brand)
		for _, term := range terms {
			has = has && strings.Contains(d.Text(), term)
		}
		if has {
			want = append(want, d)
		}
	}
	slices.SortFunc(want, func(a, b find.Document) int {
		return cmp.Or(cmp.Compare(slices.Index(find.Kinds(), a.Kind), slices.Index(find.Kinds(), b.Kind)), cmp.Compare(b.Brand, a.Brand), b.At.Compare(a.At))
	})
	var names []string
	for _, d := range want {
		names = append(names, d.ID)
	}
	if diff := gocmp.Diff(names, found(tb, find.NewService(i), may, ask)); diff != "" {
		rt.Errorf("%q (-want +got):\n%s", ask.Text, diff)
	}
}

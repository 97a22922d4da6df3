package findsearch

import (
	"errors"
	"net/http"
	"testing"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findtest"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/platform/search/searchtest"
)

func at(tb testing.TB, s *searchtest.Server, owner string) *Index {
	tb.Helper()
	c, err := search.Open(s.Address())
	if err != nil {
		tb.Fatal(err)
	}
	return New(c, owner)
}

func TestSuite(t *testing.T) {
	t.Parallel()
	findtest.Run(t, func(tb testing.TB) find.Index { return at(tb, searchtest.New(tb), "a") })
}

// TestServer: two installations share a server and not an index; a server that fails is an
// error that may pass, and no empty answer.
func TestServer(t *testing.T) {
	t.Parallel()
	s := searchtest.New(t)
	a, b := at(t, s, "a"), at(t, s, "b")
	to := find.Standing{Cursor: "c", Filled: true}
	if err := a.Apply(t.Context(), []find.Document{{Kind: find.Product, ID: "1", Brand: 1, Title: "abc"}}, to); err != nil {
		t.Fatal(err)
	}
	q := &find.Query{Terms: []string{"abc"}, Kinds: find.Kinds(), All: true, Limit: 5}
	page, err := a.Find(t.Context(), q)
	other, err2 := b.Find(t.Context(), q)
	if err := errors.Join(err, err2); err != nil || len(page.Hits) != 1 || len(other.Hits) != 0 {
		t.Fatalf("%+v, %+v, %v", page, other, err)
	}
	if got, err := b.Standing(t.Context()); err != nil || got != (find.Standing{}) {
		t.Errorf("the other installation stands at %+v, %v", got, err)
	}
	for name, body := range map[string]string{"fails": "", "is no answer": "<html>", "times out": `{"timed_out":true}`, "is partial": `{"_shards":{"failed":1}}`} {
		s.Fail = func(w http.ResponseWriter, _ bool) bool {
			if body == "" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = w.Write([]byte(body))
			return true
		}
		if _, err := a.Find(t.Context(), q); !errors.Is(err, search.ErrUnavailable) {
			t.Errorf("a server that %s: %v", name, err)
		}
	}
	s.Fail = func(w http.ResponseWriter, _ bool) bool { w.WriteHeader(http.StatusInternalServerError); return true }
	if _, err := a.Standing(t.Context()); !errors.Is(err, search.ErrUnavailable) {
		t.Errorf("the standing at a server that fails: %v", err)
	}
	if err := a.Apply(t.Context(), nil, to); !errors.Is(err, search.ErrUnavailable) {
		t.Errorf("written to a server that fails: %v", err)
	}
}

package findsql

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findtest"
)

func fresh(tb testing.TB, dir, owner string) *Index {
	tb.Helper()
	i, err := Open(tb.Context(), dir, owner, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = i.Close() }) // it may be closed
	return i
}

func TestSuite(t *testing.T) {
	t.Parallel()
	findtest.Run(t, func(tb testing.TB) find.Index { return fresh(tb, tb.TempDir(), "a") })
}

// TestAnew: what was written is there when it is opened again; a file that is damaged or of
// another installation is not, and the index is empty.
func TestAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opened := func(owner string) *Index { return fresh(t, dir, owner) }
	stands := func(i *Index, want find.Standing) {
		t.Helper()
		got, err := i.Standing(t.Context())
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	at := find.Standing{Cursor: "c", Filled: true}
	i := opened("a")
	if err := i.Apply(t.Context(), []find.Document{{Kind: find.Product, ID: "1", Brand: 1, Title: "abc"}}, at); err != nil {
		t.Fatal(err)
	}
	stands(i, at)
	stands(opened("a"), at)
	stands(opened("b"), find.Standing{})
	i = opened("a")
	if err := i.Apply(t.Context(), nil, at); err != nil {
		t.Fatal(err)
	}
	stands(i, at)
	for _, name := range []string{"words-2-a.db-wal", "words-2-a.db-shm"} {
		_ = os.Remove(filepath.Join(dir, name)) // they may be gone
	}
	if err := os.WriteFile(filepath.Join(dir, "words-2-a.db"), []byte("this is no database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	stands(opened("a"), find.Standing{})
}

// TestShortWordsAreBounded: a page looks at so many documents at most, and the next goes on.
func TestShortWordsAreBounded(t *testing.T) {
	t.Parallel()
	i := fresh(t, t.TempDir(), "a")
	var all []find.Document
	for n := range lookedMax + 10 {
		d := find.Document{Kind: find.Product, ID: strconv.Itoa(n), Brand: 1, Title: "aa"}
		if n == 0 {
			d.Title = "zz"
		}
		all = append(all, d)
	}
	if err := i.Apply(t.Context(), all, find.Standing{Cursor: "c"}); err != nil {
		t.Fatal(err)
	}
	q := &find.Query{Terms: []string{"zz"}, Kinds: find.Kinds(), All: true, Limit: 5}
	page, err := i.Find(t.Context(), q)
	if err != nil || len(page.Hits) != 0 || page.Next == "" {
		t.Fatalf("%d hits, next %q, %v", len(page.Hits), page.Next, err)
	}
	q.After = page.Next
	if page, err = i.Find(t.Context(), q); err != nil || len(page.Hits) != 1 || page.Next != "" {
		t.Errorf("%d hits, next %q, %v", len(page.Hits), page.Next, err)
	}
}

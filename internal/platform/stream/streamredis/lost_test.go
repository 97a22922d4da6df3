package streamredis

import (
	"context"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/test/servers"
)

// fetched takes records until it has so many.
func fetched(t *testing.T, g stream.Group, consumer string, want int) map[stream.Position]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got := map[stream.Position]bool{}
	for len(got) < want {
		records, err := g.Fetch(ctx, consumer, 3)
		if ctx.Err() != nil {
			t.Fatalf("%s has %d of %d records, %v", consumer, len(got), want, err)
		}
		for _, r := range records { // err: the answer was lost, ask again
			if got[r.At] {
				t.Errorf("%s is given %v again", consumer, r.At)
			}
			got[r.At] = true
		}
	}
	return got
}

// TestLostAnswer: Redis gives records to a consumer that never hears of them. Asking again
// gives them, at once and not when they have been idle for long.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	p := newWorld(t, r.URL(), Options{}).producer(t, "p")
	for range 20 {
		if _, err := p.Append("x"); err != nil {
			t.Fatal(err)
		}
	}
	proxy, err := servers.NewProxy(r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	far := newWorld(t, "redis://"+proxy.Addr+"/0", Options{})
	far.o.Name = p.w.o.Name
	s, err := Open(far.db, far.o)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Group(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	got := fetched(t, g, "c", 3) // the server knows the script now
	for range 4 {
		proxy.Cut("EVALSHA", servers.ReplyLost)
	}
	for at := range fetched(t, g, "c", 17) {
		if got[at] {
			t.Errorf("%v was given before", at)
		}
	}
	if proxy.Left() != 0 {
		t.Fatal("no answer was lost: this tests nothing")
	}
	if lag, err := g.Lag(t.Context()); err != nil || lag.Held != 20 {
		t.Errorf("lag %+v, %v; want 20 that are held", lag, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestSameNameAgain: a process dies with records in hand, and the next one of its name
// gets them at once.
func TestSameNameAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servers.Redis(t).URL(), Options{})
	p := w.producer(t, "p")
	for range 10 {
		if _, err := p.Append("x"); err != nil {
			t.Fatal(err)
		}
	}
	old, err := p.Group("g")
	if err != nil {
		t.Fatal(err)
	}
	fetched(t, old, "c", 7)
	s, err := Open(w.db, w.o)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.Group(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	fetched(t, g, "c", 10)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

package streamredis

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

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

// TestOlderCopy: Redis is away, and what answers then is older: it takes for held what was
// acknowledged. Who acknowledged it gets it again, at once, since nobody else can end it.
func TestOlderCopy(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	p := newWorld(t, r.URL(), Options{Settle: time.Hour}).producer(t, "p")
	for range 10 {
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
	got := slices.Sorted(maps.Keys(fetched(t, g, "c", 10)))
	if err := g.Ack(t.Context(), got...); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	clear(g.unsure) // as after a while without a failure
	g.mu.Unlock()
	s.mu.Lock()
	s.listed = time.Time{} // what fails is the first question of a Fetch
	s.mu.Unlock()
	proxy.Shut(true)
	if records, err := g.Fetch(t.Context(), "c", 1); err == nil {
		t.Fatalf("Redis is away, and gives %v", records)
	}
	for _, at := range got[3:6] {
		text, err := r.Command("XCLAIM", s.recordsKey("p"), "g", "c", "0", at.String(), "FORCE", "JUSTID")
		if err != nil || text != "*1" {
			t.Fatal(text, err)
		}
	}
	proxy.Shut(false)
	again := slices.Sorted(maps.Keys(fetched(t, g, "c", 3)))
	if !slices.Equal(again, got[3:6]) {
		t.Errorf("it is given %v again, want %v", again, got[3:6])
	}
	if err := g.Ack(t.Context(), again...); err != nil {
		t.Fatal(err)
	}
	if lag, err := g.Lag(t.Context()); err != nil || lag.Records != 0 {
		t.Errorf("lag %+v, %v", lag, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

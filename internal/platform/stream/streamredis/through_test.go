package streamredis

import (
	"errors"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/stream/streamtest"
	"github.com/chopmark/chopmark/test/servers"
)

// TestThroughOfManyLogs: a producer that was killed may have records that nobody was told of,
// and holds the time up until it is back; one that ended in order does not. A Redis that
// was emptied knows nothing until the producers are back.
func TestThroughOfManyLogs(t *testing.T) {
	t.Parallel()
	c := streamtest.NewClock()
	w := newWorld(t, servers.Redis(t).URL(), Options{Clock: c})
	a, b := w.producer(t, "a"), w.producer(t, "b")
	g, err := a.Group("g")
	if err != nil {
		t.Fatal(err)
	}
	follows := func(why string) {
		t.Helper()
		c.Add(time.Second)
		now := c.Now()
		if err := a.until(func() (bool, error) {
			at, err := g.Through(t.Context())
			return !at.Before(now), err
		}); err != nil {
			t.Fatal(why, err)
		}
	}
	follows("both run")
	b.stop() // killed: nothing more is told of its log
	b.ship.Wait()
	killed := c.Now()
	if _, err := b.append("nobody hears of it"); err != nil {
		t.Fatal(err)
	}
	for range 50 { // looks of the one that runs
		c.Add(time.Second)
		if at, err := g.Through(t.Context()); err != nil || at.After(killed) {
			t.Fatalf("a log is not shipped since %v, it is through %v, %v", killed, at, err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(b.log.Close(), b.open()); err != nil {
		t.Fatal(err)
	}
	records, err := g.Fetch(t.Context(), "c", 10)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	if err := g.Ack(t.Context(), records[0].At); err != nil {
		t.Fatal(err)
	}
	follows("it is back")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	follows("it has ended in order")
	burnt := w.producer(t, "burnt")
	follows("one more runs")
	burnt.stop()
	burnt.ship.Wait()
	if err := w.db.Do(t.Context(), w.db.B().Srem().Key(a.producersKey()).Member("burnt").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	worker, err := Open(w.db, w.o) // started again
	if err != nil {
		t.Fatal(err)
	}
	if g, err = worker.Group(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	follows("it was taken out by hand")
	if err := w.db.Do(t.Context(), w.db.B().Del().Key(a.producersKey(), a.generationsKey()).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	c.Add(time.Second)
	if at, err := g.Through(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("Redis was emptied, it is through %v, %v", at, err)
	}
}

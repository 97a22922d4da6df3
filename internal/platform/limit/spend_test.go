package limit

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// TestLeave: an address leaves what its rate lets it, whatever others leave.
func TestLeave(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	g := NewGuard(Options{Limits: Usual(), Clock: clock.Func(func() time.Time { return now })})
	a, rate := netip.MustParseAddr("192.0.2.1"), Within(10, time.Hour)
	leave := func(a netip.Addr) (n int) {
		for range 20 {
			if g.Leave(a, rate) == 0 {
				n++
			}
		}
		return n
	}
	if n := leave(a); n != 5 {
		t.Errorf("%d at once, want 5", n)
	}
	if n := leave(a.Next()); n != 5 {
		t.Errorf("another address leaves %d", n)
	}
	if wait := g.Leave(a, rate); wait <= 0 || wait > rate.Every {
		t.Errorf("it has to wait %v", wait)
	}
	if now = now.Add(time.Hour); leave(a) != 5 {
		t.Error("an hour later it is as before")
	}
	if c := g.Counts(); c.Left != 46 {
		t.Errorf("counted %d refusals, want 46", c.Left)
	}
}

// TestSpend: who is known has his requests of a second and of a day, and nobody else's; 0
// bounds nothing.
func TestSpend(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	g := NewGuard(Options{Limits: Usual(), Clock: clock.Func(func() time.Time { return now })})
	spend := func(holder uint64, n int, perSecond, perDay int64) (done int, err error) {
		for done < n && err == nil {
			if err = g.Spend(holder, perSecond, perDay); err == nil {
				done++
			}
		}
		return done, err
	}
	if n, err := spend(1, 20, 10, 0); n != 10 || !errors.Is(err, ErrHolder) {
		t.Errorf("of 20 at once %d, %v", n, err)
	}
	if f, _ := fault.From(g.Spend(1, 10, 0)); f == nil || f.RetryAfter <= 0 || f.RetryAfter > time.Second {
		t.Errorf("the refusal says %+v", f)
	}
	if n, err := spend(2, 10, 10, 0); n != 10 || err != nil {
		t.Errorf("another has %d, %v", n, err)
	}
	now = now.Add(500 * time.Millisecond)
	if n, _ := spend(1, 20, 10, 0); n != 5 {
		t.Errorf("half a second later %d", n)
	}
	if n, _ := spend(3, 200, 1000, 100); n != 100 {
		t.Errorf("of a day's 100 it had %d", n)
	}
	now = now.Add(6 * time.Hour)
	if n, _ := spend(3, 200, 1000, 100); n != 25 {
		t.Errorf("a quarter of a day later %d", n)
	}
	if n, err := spend(3, 5000, 0, 0); n != 5000 || err != nil {
		t.Errorf("without a bound %d, %v", n, err)
	}
	if c := g.Counts(); c.Holders != 5 {
		t.Errorf("counted %d refusals", c.Holders)
	}
}

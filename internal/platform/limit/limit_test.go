package limit

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// exact is GCRA by the book, on a map: what engines are held to.
type exact map[Key]int64

func (e exact) used(k Key, now int64) time.Duration { return time.Duration(max(e[k]-now, 0)) }

func (e exact) take(k Key, r Rate, now int64) time.Duration {
	tat := max(e[k], now)
	if over := tat + int64(r.Every) - now - r.Burst*int64(r.Every); over > 0 {
		return time.Duration(over)
	}
	e[k] = tat + int64(r.Every)
	return 0
}

func (e exact) add(k Key, r Rate, n, now int64) time.Duration {
	e[k] = min(max(e[k], now)+n*int64(r.Every), now+r.Burst*int64(r.Every))
	return e.used(k, now)
}

func rates(t *rapid.T) Rate {
	return rapid.Custom(func(t *rapid.T) Rate {
		n, unit := rapid.Int64Range(1, 100).Draw(t, "n"), rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "unit")
		if rapid.Bool().Draw(t, "within") {
			return Within(n, unit)
		}
		return Steady(n, unit)
	}).Draw(t, "rate")
}

// TestModel: random draws on some accounts come to what they come to by the book.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m, e, now := NewMemory(1000), exact{}, int64(1<<60)
		byKey := map[Key]Rate{}
		for range rapid.IntRange(1, 200).Draw(t, "draws") {
			k := Key{Net: rapid.Uint64Range(0, 3).Draw(t, "net"), Realm: rapid.Int32Range(0, 1).Draw(t, "realm"), Kind: ofMisses}
			if _, ok := byKey[k]; !ok {
				byKey[k] = rates(t)
			}
			r := byKey[k]
			now += rapid.Int64Range(0, 2*int64(r.Every)).Draw(t, "later")
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				if got, _ := m.Take(k, r, now, 0); got != e.take(k, r, now) {
					t.Fatalf("Take tells to wait %v", got)
				}
			case 1:
				n := rapid.Int64Range(1, 5).Draw(t, "n")
				if got, want := m.Add(k, r, n, now), e.add(k, r, n, now); got != want {
					t.Fatalf("Add tells %v, want %v", got, want)
				}
			case 2:
				used := time.Duration(rapid.Int64Range(0, int64(r.capacity())).Draw(t, "used"))
				m.Raise(k, used, now)
				e[k] = max(e[k], now+int64(used))
			}
			if got, want := m.Used(k, now), e.used(k, now); got != want {
				t.Fatalf("Used tells %v, want %v", got, want)
			}
		}
	})
}

// TestFullErrsOnRefusing: with far more addresses than there is room for, none gets more
// than by the book while it stays, and who comes again is not believed to be empty.
func TestFullErrsOnRefusing(t *testing.T) {
	t.Parallel()
	m, r := NewMemory(memoryShards*ways), Steady(4, time.Hour) // one set in each shard
	now, let := int64(1<<60), 0
	const addresses, rounds = 10 * memoryShards * ways, 8
	for range rounds {
		for net := range uint64(addresses) {
			if wait, _ := m.Take(Key{Net: net, Kind: ofMisses}, r, now, 0); wait == 0 {
				let++
			}
		}
	}
	// what was let through is no more than the accounts that there is room for had in them
	if most := memoryShards * ways * 4; let > most || let < most/2 {
		t.Errorf("%d draws were let through, at most %d have room", let, most)
	}
	if wait, _ := m.Take(Key{Net: addresses + 1, Kind: ofMisses}, r, now+int64(r.capacity()), 0); wait != 0 {
		t.Errorf("once all is paid off a new address waits %v", wait)
	}
}

// TestRates: Steady is what it says in the long run, Within in any stretch.
func TestRates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 200).Draw(t, "n")
		r := Within(n, time.Hour)
		e, now := exact{}, int64(1<<60)
		var let []int64
		for range rapid.IntRange(1, 1000).Draw(t, "draws") {
			now += rapid.Int64Range(0, int64(time.Hour)/n).Draw(t, "later")
			if e.take(Key{}, r, now) == 0 {
				let = append(let, now)
			}
		}
		from := 0
		for to := range let {
			for let[to]-let[from] >= int64(time.Hour) {
				from++
			}
			if int64(to-from+1) > n {
				t.Fatalf("%d within an hour, at most %d", to-from+1, n)
			}
		}
	})
	for text, want := range map[string]Rate{"100/s": {100, 10 * time.Millisecond}, "60/m": {60, time.Second}, "1/h": {1, time.Hour}, "off": {}} {
		if got, err := Parse(text, Steady); got != want || err != nil {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "100", "0/s", "-1/s", "1000001/s", "1/d", "1.5/s", "on", "1/s "} {
		if got, err := Parse(text, Steady); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	same := func(a, b string) bool { return Network(netip.MustParseAddr(a)) == Network(netip.MustParseAddr(b)) }
	if !same("2001:db8::1", "2001:db8::ffff:0:1") || !same("1.2.3.4", "::ffff:1.2.3.4") {
		t.Error("one network is counted as two")
	}
	if same("2001:db8::1", "2001:db8:0:1::1") || same("1.2.3.4", "1.2.3.5") || same("0.0.0.0", "::") {
		t.Error("two networks are counted as one")
	}
}

// guard is a guard with a clock that a test moves.
type testGuard struct {
	*Guard
	now time.Time
}

func newTestGuard(l Limits) *testGuard {
	g := &testGuard{now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	g.Guard = NewGuard(Options{
		Limits: l, Clock: clock.Func(func() time.Time { return g.now }), ProofKey: func() [32]byte { return [32]byte{7} },
		Realm: func(realm int32) (Rate, bool) { return Within(4, time.Hour), realm == 9 },
	})
	return g
}

func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// want holds a refusal to its code and to when one may come back.
func want(t *testing.T, got error, code string, wait time.Duration) {
	t.Helper()
	f, ok := fault.From(got)
	if code == "" && got == nil {
		return
	}
	if !ok || f.Code != code || f.Kind != fault.Limited || wait != 0 && f.RetryAfter != wait {
		t.Errorf("answered %v, want %s after %v", got, code, wait)
	}
}

func TestMissesOfAnAddress(t *testing.T) {
	t.Parallel()
	g := newTestGuard(Usual())
	a, other := address(1), address(2)
	for range 30 {
		want(t, g.Admit(a), "", 0)
		g.Miss(a, 0)
	}
	want(t, g.Admit(a), "limit.misses", 2*time.Minute)
	want(t, g.Admit(other), "", 0)
	g.now = g.now.Add(2 * time.Minute)
	want(t, g.Admit(a), "", 0)
	g.Miss(a, 9)
	want(t, g.Admit(a), "limit.misses", 2*time.Minute)
	g.Set(Limits{})
	want(t, g.Admit(a), "", 0)
}

func TestRequestsOfAnAddress(t *testing.T) {
	t.Parallel()
	g := newTestGuard(Usual())
	for range 100 {
		want(t, g.Admit(address(1)), "", 0)
	}
	want(t, g.Admit(address(1)), "limit.address", 10*time.Millisecond)
	want(t, g.Admit(netip.MustParseAddr("::ffff:10.0.0.1")), "limit.address", 10*time.Millisecond)
	want(t, g.Admit(address(2)), "", 0)
	if c := g.Counts(); c.Requests != 2 || c.BudgetLeft != 1 {
		t.Errorf("counted %+v", c)
	}
}

// TestRealm: misses that name a realm count for it under its own limit, and for the
// address, and not for the budget of all.
func TestRealm(t *testing.T) {
	t.Parallel()
	g := newTestGuard(Usual())
	a := address(1)
	for range 2 {
		want(t, g.Realm(a, 9), "", 0)
		g.Miss(a, 9)
	}
	want(t, g.Realm(a, 9), "limit.brand", 30*time.Minute)
	want(t, g.Realm(a, 8), "", 0)
	want(t, g.Realm(address(2), 9), "", 0)
	want(t, g.Admit(a), "", 0)
	if c := g.Counts(); c.BudgetLeft != 1 || c.Missed != 2 || c.Realm != 1 {
		t.Errorf("counted %+v", c)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	g := newTestGuard(Usual())
	for range 30 {
		want(t, g.Key(address(1)), "", 0)
		g.WrongKey(address(1))
	}
	want(t, g.Key(address(1)), "limit.keys", 2*time.Minute)
	want(t, g.Key(address(2)), "", 0)
	want(t, g.Admit(address(1)), "", 0)
}

// TestWelcome: an address whose connections had to be ended is not taken for a while.
func TestWelcome(t *testing.T) {
	t.Parallel()
	g := newTestGuard(Limits{})
	for range endedAtOnce {
		if !g.Welcome(address(1)) {
			t.Error("refused too soon")
		}
		g.Ended(address(1))
	}
	if g.Welcome(address(1)) || !g.Welcome(address(2)) {
		t.Error("the wrong one is taken")
	}
	if g.now = g.now.Add(endedEvery); !g.Welcome(address(1)) {
		t.Error("it is not forgotten")
	}
	if c := g.Counts(); c.Ended != endedAtOnce || c.Unwelcome != 1 {
		t.Errorf("counted %+v", c)
	}
}

// TestOthersAreNeverRefused spends the budget of all: who has a miss is asked for proof,
// or waits until his misses are paid off; who has none is let in.
func TestOthersAreNeverRefused(t *testing.T) {
	t.Parallel()
	l := Usual()
	l.Budget = Steady(100, time.Hour)
	g := newTestGuard(l)
	g.Miss(address(0), 0)
	want(t, g.Admit(address(0)), "", 0) // there still is some
	for i := range 100 {
		g.Miss(address(i), 0)
	}
	if left := g.Counts().BudgetLeft; left != 0 {
		t.Errorf("of the budget %v is left", left)
	}
	for i := 1000; i < 2000; i++ {
		want(t, g.Admit(address(i)), "", 0)
	}
	a := address(1)
	err := g.Admit(a)
	want(t, err, "limit.proof", 2*time.Minute)
	proof := Solve(Challenge(err))
	for range 3 { // for its life, as often as it is shown
		if !g.Proven(a, proof) {
			t.Error("a right proof is refused")
		}
	}
	flipped := []byte(proof)
	flipped[len(flipped)-30] ^= 1
	for what, refused := range map[string]bool{
		"another's": g.Proven(address(3), proof), "none": g.Proven(a, ""), "the challenge": g.Proven(a, Challenge(err)),
		"a changed one": g.Proven(a, string(flipped)), "nonsense": g.Proven(a, "1.2.3.4.5"), "an easier one": g.Proven(a, "1.0"+proof[4:]),
	} {
		if refused {
			t.Errorf("%s is taken for a proof", what)
		}
	}
	g.now = g.now.Add(proofLife)
	if g.Proven(a, proof) {
		t.Error("a proof that expired is taken")
	}
	want(t, g.Admit(a), "", 0) // its misses are paid off
}

func TestAllocates(t *testing.T) {
	g := NewGuard(Options{Limits: Limits{Requests: Rate{math.MaxInt32, 1}, Misses: Steady(rateMax, time.Second), Budget: Usual().Budget}, Clock: clock.System{}})
	a := netip.MustParseAddr("2001:db8::1")
	g.Miss(address(1), 3)
	if n := testing.AllocsPerRun(1000, func() {
		if errors.Join(g.Admit(a), g.Admit(address(1)), g.Realm(a, 3), g.Key(a)) != nil {
			t.Error("refused")
		}
		g.Miss(address(1), 3)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	g := NewGuard(Options{Limits: Usual(), Clock: clock.System{}})
	for i := 0; b.Loop(); i++ {
		if err := g.Admit(address(i & 0xfffff)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	m, r := NewMemory(requestAccounts), Steady(100, time.Second)
	now := int64(1 << 60)
	for i := 0; b.Loop(); i++ {
		now += 1000
		m.Take(Key{Net: uint64(i & 0xfffff), Kind: ofRequests}, r, now, time.Second)
	}
}

func ExampleSolve() {
	g := NewGuard(Options{Limits: Limits{Misses: Within(60, time.Hour), Budget: Rate{1, time.Hour}}, Clock: clock.System{}, ProofKey: func() [32]byte { return [32]byte{1} }})
	a := netip.MustParseAddr("192.0.2.1")
	g.Miss(a, 0)
	fmt.Println(g.Proven(a, Solve(Challenge(g.Admit(a)))))
	// Output: true
}

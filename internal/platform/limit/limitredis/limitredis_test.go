package limitredis

import (
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/platform/limit/limittest"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/test/servers"
)

func open(t *testing.T, url string, heard func(limit.Key, time.Duration)) *Peers {
	t.Helper()
	db, err := redisdb.Open(t.Context(), redisdb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return New(db, heard)
}

// direct is the script as a limittest.Engine.
type direct struct {
	*Peers
	op int
}

// Add implements limittest.Engine.
func (d *direct) Add(k limit.Key, r limit.Rate, n int64) (time.Duration, int64, error) {
	d.op++
	used, at, err := d.send([]told{{k, draw{r, n}, strconv.Itoa(d.op)}})
	if err != nil {
		return 0, 0, err
	}
	return used[0], at[0] * 1000, nil
}

func TestSuite(t *testing.T) {
	t.Parallel()
	limittest.Accounts(t, &direct{Peers: open(t, servers.Redis(t).URL(), nil)})
}

func TestSuiteOnACluster(t *testing.T) {
	t.Parallel()
	url, _ := servers.RedisCluster(t, 0)
	limittest.Accounts(t, &direct{Peers: open(t, url, nil)})
}

// TestLostAnswer tells the same again, as after an answer that was lost, among others.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	p := open(t, servers.Redis(t).URL(), nil)
	k, r := limit.Key{Net: 7, Kind: 2}, limit.Steady(100, time.Hour)
	var last time.Duration
	for i, op := range []string{"a", "b", "c", "a", "b", "c", "a"} {
		used, _, err := p.send([]told{{k, draw{r, 2}, op}})
		if err != nil {
			t.Fatal(err)
		}
		if drawn := time.Duration(min(i+1, 3)) * 2 * r.Every; used[0] > drawn || used[0] < drawn-r.Every {
			t.Errorf("after %q %v is drawn, want %v", op, used[0], drawn)
		}
		last = used[0]
	}
	if last == 0 {
		t.Error("nothing is drawn")
	}
}

// process is a guard that shares with others.
type process struct {
	*limit.Guard
	peers *Peers
}

func newProcess(t *testing.T, url string) *process {
	t.Helper()
	p := &process{Guard: limit.NewGuard(limit.Options{Limits: limit.Usual(), Clock: clock.System{}})}
	p.peers = open(t, url, p.Heard)
	p.Join(p.peers)
	return p
}

// TestTwoProcesses: misses at one are misses at the other, from the next of its own.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	url := servers.Redis(t).URL()
	one, other := newProcess(t, url), newProcess(t, url)
	a := netip.MustParseAddr("192.0.2.1")
	for range 25 {
		one.Miss(a, 0)
	}
	one.peers.exchange()
	for range 4 {
		other.Miss(a, 0)
	}
	if err := other.Admit(a); err != nil {
		t.Errorf("refused for its own 4 misses: %v", err)
	}
	other.peers.exchange()
	if err := other.Admit(a); err != nil {
		t.Errorf("refused for 29 misses: %v", err)
	}
	other.Miss(a, 0)
	other.peers.exchange()
	if err := other.Admit(a); err == nil {
		t.Error("30 misses at two processes are let through")
	}
	one.Miss(a, 0)
	one.peers.exchange()
	if err := one.Admit(a); err == nil {
		t.Error("the other process lets it through")
	}
}

// TestLeaveAtTwo: what an address leaves at one process counts at the other.
func TestLeaveAtTwo(t *testing.T) {
	t.Parallel()
	url := servers.Redis(t).URL()
	one, other := newProcess(t, url), newProcess(t, url)
	a, rate := netip.MustParseAddr("192.0.2.1"), limit.Within(10, time.Hour)
	leave := func(p *process, allowed bool) {
		t.Helper()
		if wait := p.Leave(a, rate); (wait == 0) != allowed {
			t.Errorf("it has to wait %v", wait)
		}
		p.peers.exchange()
	}
	for range 4 {
		leave(one, true)
	}
	leave(other, true)
	leave(other, false)
	leave(one, true) // it has not heard of the other's
	leave(one, false)
}

// TestAway: while Redis stands still a process limits alone, at its own pace, and what
// it counted is told when Redis is back.
func TestAway(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	one, other := newProcess(t, s.URL()), newProcess(t, s.URL())
	a := netip.MustParseAddr("192.0.2.1")
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(one.peers.exchange)
	for range 30 {
		if err := one.Admit(a); err != nil {
			t.Errorf("refused: %v", err)
		}
		one.Miss(a, 0)
	}
	if err := one.Admit(a); err == nil {
		t.Error("a process alone does not limit")
	}
	wg.Wait()
	one.peers.exchange() // in vain
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(30 * time.Second); other.Admit(a) == nil; time.Sleep(time.Millisecond) {
		one.peers.exchange()
		other.peers.Tell(limit.Key{Net: limit.Network(a), Kind: 2}, limit.Usual().Misses, 0)
		other.peers.exchange()
		if time.Now().After(until) {
			t.Fatal("what was counted alone is not told")
		}
	}
}

package verifyredis

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/verify/verifytest"
	"github.com/chopmark/chopmark/test/servers"
)

const faultItems = 30

// crowd scans in two processes until it is stopped.
type crowd struct {
	two    []*process
	again  bool // Sentinels on a busy machine may fail over once more, and lose a raise: the next one heals it
	stop   chan struct{}
	once   sync.Once // closes stop
	wg     sync.WaitGroup
	clock  atomic.Int64
	scans  [faultItems]atomic.Int64
	whole  atomic.Int64 // answers that knew of all processes
	apart  atomic.Int64 // answers of a process alone
	mu     sync.Mutex
	waited []time.Duration // guarded by mu
}

func newCrowd(t *testing.T, url string, s *summary) *crowd {
	t.Helper()
	c := &crowd{two: []*process{newOne(t, url, s, redisdb.DefaultBudget, false), newOne(t, url, s, redisdb.DefaultBudget, false)}, stop: make(chan struct{})}
	for w := range 8 {
		c.wg.Go(func() {
			for n := w; ; n++ {
				select {
				case <-c.stop:
					return
				default:
				}
				i := (n*n + w) % faultItems
				scan := verifytest.Sighting(ids.Serial(i), verifytest.Start().Add(time.Duration(c.clock.Add(1))*time.Millisecond))
				scan.Device = uint64(w) << 32
				start := time.Now()
				seen, err := c.two[w%2].Record(scan)
				took := time.Since(start)
				if err != nil {
					t.Errorf("a scan is not recorded: %v", err)
					return
				}
				c.scans[i].Add(1)
				if seen.Partial {
					c.apart.Add(1)
				} else {
					c.whole.Add(1)
				}
				c.mu.Lock()
				c.waited = append(c.waited, took)
				c.mu.Unlock()
			}
		})
	}
	t.Cleanup(c.end)
	return c
}

func (c *crowd) end() {
	c.once.Do(func() { close(c.stop) })
	c.wg.Wait()
}

// after waits until so many more answers of a kind were given.
func (c *crowd) after(t *testing.T, kind *atomic.Int64, more int64) {
	t.Helper()
	for from, until := kind.Load(), time.Now().Add(60*time.Second); kind.Load() < from+more; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("%d more answers do not come: %d whole, %d apart", more, c.whole.Load(), c.apart.Load())
		}
	}
}

// judge: every scan that was answered is in the logs, and the counts are the truth as
// soon as the summary has consumed it.
func (c *crowd) judge(t *testing.T, s *summary) {
	t.Helper()
	c.end()
	sums := consume(t, s, c.two...)
	for i := range c.scans {
		if got, want := sums[ids.Serial(i)].Count, c.scans[i].Load(); got != want {
			t.Errorf("the logs have %d scans of item %d, and %d were answered", got, i, want)
		}
	}
	if c.again {
		for until := time.Now().Add(30 * time.Second); !tellTruth(sums, c.two...) && time.Now().Before(until); {
			sums = consume(t, s, c.two...)
		}
	}
	wantTruth(t, sums, c.two...)
	t.Logf("%d answers of all processes, %d of one alone", c.whole.Load(), c.apart.Load())
}

// TestEmptied empties Redis while two processes count.
func TestEmptied(t *testing.T) {
	t.Parallel()
	s, sums := servers.Redis(t), &summary{}
	c := newCrowd(t, s.URL(), sums)
	for range 3 {
		c.after(t, &c.whole, 300)
		flush(t, s)
	}
	c.after(t, &c.whole, 300)
	c.judge(t, sums)
}

// TestStalled lets Redis stand still for two seconds while two processes count.
func TestStalled(t *testing.T) {
	t.Parallel()
	s, sums := servers.Redis(t), &summary{}
	c := newCrowd(t, s.URL(), sums)
	c.after(t, &c.whole, 300)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.waited = nil
	c.mu.Unlock()
	for paused := time.Now(); time.Since(paused) < 2*time.Second; {
		c.after(t, &c.apart, 100)
	}
	c.mu.Lock()
	waited := slices.Sorted(slices.Values(c.waited))
	c.mu.Unlock()
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	c.after(t, &c.whole, 300)
	t.Logf("Redis was asked again %v after it went on", time.Since(resumed))
	half, most := waited[len(waited)/2], waited[len(waited)-1]
	t.Logf("%d answers while Redis stood still: half within %v, all within %v", len(waited), half, most)
	if most > 10*redisdb.DefaultBudget || half > redisdb.DefaultBudget {
		t.Errorf("half of the scans waited %v, the longest %v; the budget is %v", half, most, redisdb.DefaultBudget)
	}
	c.judge(t, sums)
}

// TestKilled kills Redis while two processes count, and starts it again.
func TestKilled(t *testing.T) {
	t.Parallel()
	s, sums := servers.Redis(t), &summary{}
	c := newCrowd(t, s.URL(), sums)
	c.after(t, &c.whole, 300)
	s.Kill()
	c.after(t, &c.apart, 300)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	c.after(t, &c.whole, 300)
	c.judge(t, sums)
}

// TestFailover kills the master under Sentinels while two processes count.
func TestFailover(t *testing.T) {
	t.Parallel()
	s, sums := servers.RedisSentinel(t), &summary{}
	c := newCrowd(t, s.URL, sums)
	c.again = true
	c.after(t, &c.whole, 300)
	if err := s.Failover(); err != nil {
		t.Fatal(err)
	}
	c.after(t, &c.whole, 300)
	c.judge(t, sums)
}

// TestClusterFailover kills a master of a Cluster of three with a replica each.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	url, nodes := servers.RedisCluster(t, 1)
	sums := &summary{}
	c := newCrowd(t, url, sums)
	c.after(t, &c.whole, 300)
	if err := servers.RedisClusterFailover(nodes); err != nil {
		t.Fatal(err)
	}
	whole := func() bool {
		for _, p := range c.two {
			for i := range ids.Serial(faultItems) {
				if seen, err := p.Seen(i); err != nil || seen.Partial {
					return false
				}
			}
		}
		return true
	}
	for until := time.Now().Add(60 * time.Second); !whole(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the slots of the dead master do not come back")
		}
	}
	c.after(t, &c.whole, 300)
	c.judge(t, sums)
}

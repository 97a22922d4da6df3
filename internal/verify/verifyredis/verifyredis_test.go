package verifyredis

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/internal/verify/verifytest"
	"github.com/chopmark/chopmark/test/servers"
)

// TestSightings holds a log that counts beside others to the contract of logs.
func TestSightings(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	verifytest.Sightings(t, func(t *testing.T) verifytest.Reopen {
		flush(t, s)
		var p *process
		return func(t *testing.T) verify.Sightings {
			if p == nil {
				p = newProcess(t, s.URL(), &summary{})
				return p
			}
			p.end(t)
			p.open(t)
			return p
		}
	})
}

func places() []*verify.Place {
	at := func(country, city string, lat, lon float64) *verify.Place {
		return &verify.Place{Place: verifyevent.Place{Country: country, City: city}, Lat: lat, Lon: lon, Located: lat != 0}
	}
	return []*verify.Place{
		nil, at("中国", "北京", 39.9, 116.4), at("中国", "天津", 39.1, 117.2), at("中国", "广州", 23.1, 113.3), at("日本", "", 0, 0), at("中国", "", 0, 0),
	}
}

// TestAgainstModel lets two processes scan at random, and a Tally count the same: the
// script and the log must tell what it tells.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	two := []*process{newProcess(t, s.URL(), &summary{}), newProcess(t, s.URL(), &summary{})}
	where := places()
	var next ids.Serial
	rapid.Check(t, func(t *rapid.T) {
		const items = 3
		next += items
		var model [items]verify.Tally
		now := verifytest.Start()
		for range rapid.IntRange(1, 60).Draw(t, "scans") {
			i, p := rapid.IntRange(0, items-1).Draw(t, "item"), two[rapid.IntRange(0, 1).Draw(t, "process")]
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{1, 1, 1, 1e6, 60e6, -3600e6, 3600e6, 13 * 3600e6, 25 * 3600e6}).Draw(t, "micros")) * time.Microsecond)
			in := rapid.IntRange(0, len(where)-1).Draw(t, "place")
			scan := verifytest.Sighting(next+ids.Serial(i), now)
			scan.Device, scan.Place = uint64(rapid.IntRange(0, 5).Draw(t, "device"))<<32|5, where[in]
			m := &model[i]
			what := m.Add(now.UnixMicro(), scan.Device, uint32(in), where[in], where[m.LastIn])
			words := func(n uint32) string {
				if where[n] == nil {
					return ""
				}
				return where[n].String()
			}
			want := verify.Seen{
				Count: m.Count, Sessions: m.Sessions, FirstAt: time.UnixMicro(m.FirstAt).UTC(), LastAt: time.UnixMicro(m.LastAt).UTC(),
				FirstIn: words(m.FirstIn), LastIn: words(m.LastIn), What: what | verifyevent.Shared,
			}
			got, err := p.Record(scan)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v (-model +told):\n%s", err, diff)
			}
			want.What = 0
			for i, p := range two {
				if got, err := p.Seen(scan.Item.Serial); err != nil || got != want {
					t.Fatalf("process %d: %+v, %v; want %+v", i, got, err, want)
				}
			}
		}
	})
}

// TestNobodyWaits: a process that waits for nobody beside one that does. When their logs were
// consumed Redis has the truth, nothing twice, and the hasty one hears of it at its next scan.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	s, known := servers.Redis(t), &summary{}
	const items, workers, scans = 5, 4, 50
	two := []*process{newOne(t, s.URL(), known, patient, true), newProcess(t, s.URL(), known)}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range scans {
				scan := verifytest.Sighting(ids.Serial((w+n*n)%items), verifytest.Start().Add(time.Duration(n)*time.Second))
				if seen, err := two[w%2].Record(scan); err != nil || seen.Count == 0 || w%2 == 0 && !seen.Partial {
					t.Errorf("scan %d of %d: %+v, %v", n, w, seen, err)
					return
				}
			}
		})
	}
	wg.Wait()
	sums := consume(t, known, two...)
	wantTruth(t, sums, two[1])
	for serial, sum := range sums {
		scan := verifytest.Sighting(serial, verifytest.Start().Add(time.Hour))
		if _, err := two[0].Record(scan); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			seen, err := two[0].Seen(serial)
			if err == nil && (seen.Count == sum.Count || seen.Count == sum.Count+1) {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("item %d: %+v, %v; the logs say %d and one", serial, seen, err, sum.Count)
			}
		}
	}
}

// TestTwoProcesses lets two processes count the same items at once.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	const items, workers, scans, devices = 12, 24, 150, 3
	two := []*process{newProcess(t, s.URL(), &summary{}), newProcess(t, s.URL(), &summary{})}
	var told [items][workers*scans + 1]atomic.Bool
	var count, firsts, sessions [items]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range scans {
				i := (w*7 + n*n + n) % items
				scan := verifytest.Sighting(ids.Serial(i), verifytest.Start().Add(time.Duration(n)*time.Second))
				scan.Device = uint64(1+n%devices) << 32
				seen, err := two[w%2].Record(scan)
				if err != nil || seen.Partial {
					t.Errorf("scan %d of %d: %+v, %v", n, w, seen, err)
					return
				}
				if told[i][seen.Count].Swap(true) {
					t.Errorf("two scans of item %d were told %d", i, seen.Count)
				}
				count[i].Add(1)
				if seen.What.Has(verifyevent.First) {
					firsts[i].Add(1)
				}
				if seen.What.Has(verifyevent.NewSession) {
					sessions[i].Add(1)
				}
			}
		})
	}
	wg.Wait()
	for i := range items {
		for n := range count[i].Load() {
			if !told[i][n+1].Load() {
				t.Errorf("no scan of item %d was told %d", i, n+1)
			}
		}
		if firsts[i].Load() != 1 || sessions[i].Load() != devices {
			t.Errorf("item %d has %d first scans and %d sessions of %d devices", i, firsts[i].Load(), sessions[i].Load(), devices)
		}
	}
	for serial, sum := range truth(t, two...) {
		if sum.Count != count[serial].Load() {
			t.Errorf("the logs have %d scans of item %d, not %d", sum.Count, serial, count[serial].Load())
		}
	}
}

// TestLostAnswer cuts the connection after Redis counted and before it told: the same
// id is asked again and the scan is counted once.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	cut := newCutter(t, s.Addr)
	p := newProcess(t, "redis://"+cut.addr+"/0", &summary{})
	repeated := 0
	for n := range int64(60) {
		scan := verifytest.Sighting(1, verifytest.Start().Add(time.Duration(n)*time.Second))
		if n%3 == 1 {
			cut.armed.Store(true)
		}
		seen, err := p.Record(scan)
		if err != nil {
			t.Fatal(err)
		}
		if !seen.Partial {
			repeated += int(n % 3 % 2)
			if seen.Count != n+1 {
				t.Fatalf("scan %d was told %d", n+1, seen.Count)
			}
		}
	}
	if repeated == 0 || cut.cuts.Load() == 0 {
		t.Errorf("%d answers were lost, %d scans were told all the same: this tests nothing", cut.cuts.Load(), repeated)
	}
	direct, _ := newCounts(t, s.URL(), &summary{}, patient)
	if sum, err := direct.Look(1, verify.Sum{}); err != nil || sum.Count != 60 {
		t.Errorf("60 scans, and Redis counts %+v, %v", sum, err)
	}
}

// cutter is a proxy that, once armed, ends the next connection on which the server
// answers, before the answer.
type cutter struct {
	addr  string
	armed atomic.Bool
	cuts  atomic.Int64
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c := &cutter{addr: l.Addr().String()}
	go func() { // ends with the listener
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go c.back(client, server)
		}
	}()
	return c
}

func (c *cutter) back(client, server net.Conn) {
	defer func() { _, _ = client.Close(), server.Close() }()
	room := make([]byte, 64<<10)
	for {
		n, err := server.Read(room)
		if err != nil {
			return
		}
		if c.armed.CompareAndSwap(true, false) {
			c.cuts.Add(1)
			return
		}
		if _, err := client.Write(room[:n]); err != nil {
			return
		}
	}
}

// What Redis does not know is loaded from the summary, once, and lives for a time.
func TestAbsentIsLoaded(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	beijing := *places()[1]
	start := verifytest.Start()
	known := verify.Sum{Count: 41, Sessions: 7, FirstAt: start.UnixMicro(), LastAt: start.Add(time.Hour).UnixMicro(), FirstIn: beijing, LastIn: beijing}
	truth := &summary{sums: map[ids.Serial]verify.Sum{5: known}}
	p := newProcess(t, s.URL(), truth)
	if seen, err := p.Seen(5); err != nil || seen != known.Seen(0) {
		t.Errorf("a look: %+v, %v", seen, err)
	}
	scan := verifytest.Sighting(5, start.Add(2*time.Hour))
	seen, err := p.Record(scan)
	if err != nil || seen.Count != 42 || seen.Sessions != 8 || !seen.FirstAt.Equal(start) || seen.FirstIn != "中国 北京" || seen.What.Has(verifyevent.First) {
		t.Errorf("a scan: %+v, %v", seen, err)
	}
	truth.fail(errAway)
	if seen, err := p.Record(scan); err != nil || seen.Partial || seen.Count != 43 {
		t.Errorf("what was loaded needs no summary: %+v, %v", seen, err)
	}
	if seen, err := p.Record(verifytest.Sighting(6, start)); err != nil || !seen.Partial || seen.Count != 1 {
		t.Errorf("a scan of what cannot be loaded: %+v, %v", seen, err)
	}
	if text, err := s.Command("EXISTS", key(6)); err != nil || text != ":0" {
		t.Errorf("it was counted in Redis without what was known before: %s, %v", text, err)
	}
	if !p.db.Answering() {
		t.Error("a summary that is away opens the breaker of Redis")
	}
	ttl, err := s.Command("PTTL", key(5))
	if ms, bad := strconv.ParseInt(ttl[1:], 10, 64); err != nil || bad != nil || ms <= 0 || ms > DefaultLife.Milliseconds() {
		t.Errorf("it lives for %s ms", ttl)
	}
	truth.fail(nil)
	if seen, err := p.Record(verifytest.Sighting(6, start.Add(time.Minute))); err != nil || seen.Partial || seen.Count != 2 || seen.What.Has(verifyevent.First) {
		t.Errorf("what this process knew goes into Redis: %+v, %v", seen, err)
	}
}

// An operation that is asked for again is found among the last four; where it may have been before
// those, it is not counted again.
func TestAgainIsNotCountedTwice(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	p := newProcess(t, s.URL(), &summary{})
	ask := func(op, again string) (reply, error) {
		args := appendSum([]string{op, "1", "7", "", p.counts.life, "0", again}, &verify.Sum{})
		return p.counts.ask(t.Context(), 9, args)
	}
	for n, op := range []string{"a", "b", "c", "d"} {
		if r, err := ask(op, firstTime); err != nil || r.sum.Count != int64(n+1) {
			t.Fatalf("%s: %+v, %v", op, r, err)
		}
		if r, err := ask("a", onceMore); err != nil || r.sum.Count != 1 {
			t.Errorf("a again after %s: %+v, %v; want the first answer", op, r, err)
		}
	}
	if r, err := ask("e", firstTime); err != nil || r.sum.Count != 5 {
		t.Fatalf("e: %+v, %v", r, err)
	}
	if r, err := ask("a", onceMore); !errors.Is(err, errUncertain) {
		t.Errorf("a again after four others: %+v, %v; want that it cannot be told", r, err)
	}
	if text, err := s.Command("HGET", key(9), "c"); err != nil || text != "5" {
		t.Errorf("five operations counted %s, %v", text, err)
	}
}

// All keys of an item are in the slot that its serial names, and the scripts name no other.
func TestSlots(t *testing.T) {
	t.Parallel()
	for serial, want := range map[ids.Serial]string{0: "chopmark:{s00}:0", 63: "chopmark:{s63}:63", 64: "chopmark:{s00}:64", 100000000000009: "chopmark:{s09}:100000000000009"} {
		if got := key(serial); got != want {
			t.Errorf("item %d: %s, want %s", serial, got, want)
		}
	}
	url, _ := servers.RedisCluster(t, 0)
	p := newProcess(t, url, &summary{})
	for n := range int64(3) {
		for s := range ids.Serial(2 * slots) {
			if seen, err := p.Record(verifytest.Sighting(s, verifytest.Start())); err != nil || seen.Partial || seen.Count != n+1 {
				t.Fatalf("item %d in a Cluster: %+v, %v", s, seen, err)
			}
		}
	}
	if err := p.counts.Raise(t.Context(), Raised{3, verify.Sum{Count: 9, FirstAt: 1, LastAt: 2}}, Raised{4, verify.Sum{Count: 8, FirstAt: 1, LastAt: 2}}); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[ids.Serial]int64{3: 9, 4: 8, 5: 3} {
		if seen, err := p.Seen(s); err != nil || seen.Count != want {
			t.Errorf("item %d: %+v, %v", s, seen, err)
		}
	}
}

// TestRaiseAgainstModel: the script raises as verify.Sum does.
func TestRaiseAgainstModel(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	c, db := newCounts(t, s.URL(), &summary{}, patient)
	where := places()
	sums := rapid.Custom(func(t *rapid.T) verify.Sum {
		first := rapid.Int64Range(1, 50).Draw(t, "first")
		sum := verify.Sum{
			Count: rapid.Int64Range(1, 20).Draw(t, "count"), Sessions: rapid.Int64Range(1, 20).Draw(t, "sessions"),
			FirstAt: first, LastAt: rapid.Int64Range(first, 100).Draw(t, "last"),
		}
		sum.FirstIn, sum.LastIn = *rapid.SampledFrom(where[1:]).Draw(t, "first in"), *rapid.SampledFrom(where[1:]).Draw(t, "last in")
		return sum
	})
	var serial ids.Serial
	rapid.Check(t, func(t *rapid.T) {
		serial++
		if err := c.Raise(context.Background(), Raised{serial, sums.Draw(t, "absent")}); err != nil {
			t.Fatal(err)
		}
		if n, err := db.Do(context.Background(), db.B().Exists().Key(key(serial)).Build()).AsInt64(); err != nil || n != 0 {
			t.Fatalf("an item that is not there was made: %d, %v", n, err)
		}
		want, _, err := c.Count(verifytest.Sighting(serial, time.UnixMicro(40)), verify.Sum{})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			more := sums.Draw(t, "sum")
			want.Raise(&more)
			if err := c.Raise(context.Background(), Raised{serial, more}); err != nil {
				t.Fatal(err)
			}
			got, err := c.Look(serial, verify.Sum{})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Fatalf("%v (-model +Redis):\n%s", err, diff)
			}
		}
	})
}

func TestPlacesAreReadBack(t *testing.T) {
	t.Parallel()
	for _, p := range append(places(), &verify.Place{Place: verifyevent.Place{City: "x"}}) {
		text := encodePlace(p)
		got, ok := decodePlace(text)
		if ok != (p != nil) || ok && got != *p {
			t.Errorf("%+v became %q became %+v", p, text, got)
		}
	}
	if got := encodePlace(&verify.Place{Place: verifyevent.Place{Country: "a|b"}}); got != "a b||" {
		t.Errorf("a separator in a name: %q", got)
	}
}

// Damaged counts are an error, not a number.
func TestDamaged(t *testing.T) {
	t.Parallel()
	s := servers.Redis(t)
	c, db := newCounts(t, s.URL(), &summary{}, patient)
	for i, set := range [][]string{{"c", "x"}, {"c", "1", "f", "x"}, {"c", "1"}} {
		serial := ids.Serial(i)
		if text, err := s.Command(append([]string{"HSET", key(serial)}, set...)...); err != nil {
			t.Fatal(text, err)
		}
		if sum, err := c.Look(serial, verify.Sum{}); err == nil {
			t.Errorf("%v: told as %+v", set, sum)
		}
	}
	if !db.Answering() {
		t.Error("damaged counts open the breaker")
	}
}

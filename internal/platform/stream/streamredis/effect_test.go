package streamredis

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
	"github.com/chopmark/chopmark/test/servers"
)

const (
	effects     = "effects"
	effectLanes = 3
	poison      = 37 // each so many-th message fails until heal
)

// shop is two processes that append, ship and consume, and the SQL that they share.
type shop struct {
	*testing.T

	w    *world
	db   *sqldb.DB
	two  []*producer
	runs []func() // ends a process's consumer
	next int

	mu   sync.Mutex
	heal bool // guarded by mu
}

func newShop(t *testing.T, url string, o Options) *shop {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tables := fstest.MapFS{"sqlite/00001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id BIGINT NOT NULL);\n")}}
	err = errors.Join(
		db.Migrate(t.Context(), "inbox", inbox.Schema()), db.Migrate(t.Context(), "effect", tables),
		db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return inbox.Lanes(ctx, tx, effects, effectLanes) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	o.Groups = []string{effects}
	s := &shop{T: t, w: newWorld(t, url, o), db: db, runs: make([]func(), 2), next: 1}
	for i, name := range []string{"north", "south"} {
		s.two = append(s.two, s.w.producer(t, name))
		s.run(i)
	}
	t.Cleanup(func() { s.runs[0](); s.runs[1]() })
	return s
}

// Handle writes a row for each message that is new.
func (s *shop) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	s.mu.Lock()
	heal := s.heal
	s.mu.Unlock()
	return s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		fresh, err := inbox.Take(ctx, tx, effects, lane, batch)
		if err != nil {
			return err
		}
		for i := range fresh {
			id, err := strconv.Atoi(string(fresh[i].Raw))
			if err != nil {
				return err
			}
			if id%poison == 0 && !heal {
				return errors.New("poison")
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO effect (id) VALUES (?)`, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func split(r stream.Record) (all []stream.Message, _ error) {
	for n, word := range strings.Fields(string(r.Value)) {
		id, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, stream.Message{N: n, Lane: id % 11, Raw: []byte(word)})
	}
	return all, nil
}

func config() stream.Config {
	return stream.Config{
		Workers: effectLanes, Batch: 4, Wait: time.Millisecond, Queue: 30, HandlerTries: 2, Backoff: time.Millisecond,
		BackoffMax: 50 * time.Millisecond, ClaimIdle: 200 * time.Millisecond, Grace: time.Minute,
	}
}

// run lets a process consume. What ends it leaves what it holds in Redis, as a crash does.
func (s *shop) run(i int) {
	s.Helper()
	p := s.two[i]
	g, err := p.Group(effects)
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, config(), g, p.Streams, split, s) }()
	s.runs[i] = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
}

// append lets both processes append in turn, without waiting for Redis.
func (s *shop) append(records int) {
	s.Helper()
	for n := range records {
		var ids []string
		for range n % 5 {
			ids = append(ids, strconv.Itoa(s.next))
			s.next++
		}
		if _, err := s.two[n%2].append(strings.Join(ids, " ")); err != nil {
			s.Fatal(err)
		}
	}
}

// reopen ends a process and starts it again: its generation comes after the other's.
func (s *shop) reopen(i int) {
	s.Helper()
	s.runs[i]()
	if err := s.two[i].Reopen(); err != nil {
		s.Fatal(err)
	}
	s.run(i)
}

func (s *shop) wait(what string, ok func() (bool, error)) {
	s.Helper()
	if err := s.two[0].until(ok); err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func scanCount(r *sql.Rows) (c [2]int, err error) { return c, r.Scan(&c[0], &c[1]) }

// check waits until all is consumed but for what is buried, replays that, and counts:
// every message has one effect, and logs and streams have let go of everything.
func (s *shop) check() {
	s.Helper()
	s.wait("the logs let go of everything", func() (bool, error) {
		for _, p := range s.two {
			lag, err := mustGroup(p).Lag(s.Context())
			if err != nil || lag.Records > 0 || lag.Lost > 0 {
				return false, errors.Join(err, errors.New("the log waits for "+strconv.FormatInt(lag.Records, 10)))
			}
		}
		return true, nil
	})
	s.mu.Lock()
	s.heal = true
	s.mu.Unlock()
	sum, err := stream.Replay(s.Context(), config(), effects, s.two[0].Streams, split, s)
	if err != nil || sum.Kept > 0 {
		s.Fatal(sum, err)
	}
	s.Logf("%d letters were replayed", sum.Consumed)
	counts, err := sqldb.Collect(s.Context(), s.db.Reader(), scanCount, `SELECT id, COUNT(*) FROM effect GROUP BY id ORDER BY id`)
	if err != nil {
		s.Fatal(err)
	}
	of := map[int]int{}
	for _, c := range counts {
		of[c[0]] = c[1]
	}
	for id := 1; id < s.next; id++ {
		if of[id] != 1 {
			s.Errorf("message %d of %d has %d effects", id, s.next-1, of[id])
		}
	}
	s.wait("the streams let go of everything", func() (bool, error) { // which comes after the logs
		for _, p := range s.two {
			n, err := s.w.db.Do(s.Context(), s.w.db.B().Xlen().Key(p.recordsKey(p.name)).Build()).AsInt64()
			if err != nil || n > 0 {
				return false, errors.Join(err, fmt.Errorf("the stream of %s keeps %d records", p.name, n))
			}
		}
		return true, nil
	})
}

func mustGroup(p *producer) stream.Group {
	g, err := p.log.Group(GroupShip)
	if err != nil {
		p.t.Fatal(err)
	}
	return g
}

// TestTwoProducers: effects happen once although generations of two producers lie
// between each other, and consumers end with what they hold.
func TestTwoProducers(t *testing.T) {
	t.Parallel()
	url, _ := servers.RedisCluster(t, 0)
	s := newShop(t, url, Options{})
	for i := range 6 {
		s.append(60)
		s.reopen(i % 2)
	}
	seen := map[uint32]string{}
	for _, p := range s.two {
		if other, twice := seen[p.log.Generation()]; twice {
			t.Errorf("%s and %s have generation %d", p.name, other, p.log.Generation())
		}
		seen[p.log.Generation()] = p.name
	}
	s.check()
}

// TestDeadConsumer: what a consumer held when it died is taken over.
func TestDeadConsumer(t *testing.T) {
	t.Parallel()
	s := newShop(t, servers.Redis(t).URL(), Options{})
	g, err := s.two[0].Group(effects)
	if err != nil {
		t.Fatal(err)
	}
	s.append(10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.runs[0]()
	s.runs[1]()
	s.append(40)
	if held, err := g.Fetch(ctx, "dead", 7); err != nil || len(held) == 0 {
		t.Fatalf("it holds %d records, %v", len(held), err)
	}
	s.run(1)
	s.append(10)
	s.check()
}

// TestEmptied empties Redis again and again while two processes append and consume.
func TestEmptied(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	s := newShop(t, r.URL(), Options{})
	for range 5 {
		s.append(50)
		if text, err := r.Command("FLUSHALL"); err != nil || text != "+OK" {
			t.Fatal(text, err)
		}
	}
	s.append(50)
	s.mu.Lock()
	s.heal = true // letters are in Redis alone: there is no promise for them when all of it is lost
	s.mu.Unlock()
	s.check()
}

// TestFailover kills the master under Sentinels while two processes append and consume.
func TestFailover(t *testing.T) {
	t.Parallel()
	r := servers.RedisSentinel(t)
	failover(t, r.URL, r.Failover)
}

// TestClusterFailover kills the master that has the streams, of three with a replica each.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	url, nodes := servers.RedisCluster(t, 1)
	failover(t, url, func() error { return servers.RedisClusterFailover(nodes) })
}

func failover(t *testing.T, url string, happens func() error) {
	s := newShop(t, url, Options{Settle: time.Second})
	s.append(200)
	failed := make(chan error, 1)
	go func() { failed <- happens() }()
	for done := false; !done; {
		s.append(2)
		select {
		case err := <-failed:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(5 * time.Millisecond): // a pace at which SQLite can follow
		}
	}
	s.append(50)
	s.check()
}

// TestKilled kills Redis and starts it again while two processes append and consume.
func TestKilled(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	s := newShop(t, r.URL(), Options{Settle: 2500 * time.Millisecond})
	for range 2 {
		s.append(200)
		r.Kill()
		s.append(50)
		if err := r.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	s.append(50)
	s.check()
}

// TestStaleRedis: an older copy of Redis comes back, which lacks the last records. The
// log still has them, since they were not passed for long enough.
func TestStaleRedis(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	s := newShop(t, r.URL(), Options{Settle: time.Hour})
	s.append(60)
	p := s.two[0]
	s.wait("all is shipped", func() (bool, error) { return shippedAll(p) })
	for _, key := range []string{p.recordsKey(p.name), p.stateKey(p.name)} { // as it was before anything was shipped
		if text, err := r.Command("DEL", key); err != nil || text != ":1" {
			t.Fatal(text, err)
		}
	}
	s.append(20)
	s.wait("all is shipped again", func() (bool, error) { return shippedAll(p) })
	n, err := s.w.db.Do(t.Context(), s.w.db.B().Xlen().Key(p.recordsKey(p.name)).Build()).AsInt64()
	if err != nil || n != 40 {
		t.Errorf("%d records are in the stream, %v; want 40 of the log", n, err)
	}
}

// TestEmptiedWhenDone: what every group has acknowledged for long enough is not shipped
// again to a Redis that was emptied, though the log still has it.
func TestEmptiedWhenDone(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	s := newShop(t, r.URL(), Options{})
	p := s.two[0]
	p.log.Pin("test", stream.At(1, 1), streamkv.PinMust) // or retention takes away what was shipped
	s.append(60)
	s.wait("all is acknowledged", func() (bool, error) {
		ship, err := p.log.Group(GroupShip)
		if err != nil {
			return false, err
		}
		return ship.Floor() == p.log.Durable(), nil
	})
	if text, err := r.Command("FLUSHALL"); err != nil || text != "+OK" {
		t.Fatal(text, err)
	}
	first, err := p.Append("after")
	if err != nil {
		t.Fatal(err)
	}
	s.wait("the record after it is shipped", func() (bool, error) { return shippedAll(p) })
	entries, err := s.w.db.Do(t.Context(), s.w.db.B().Xrange().Key(p.recordsKey(p.name)).Start("-").End("+").Build()).AsXRange()
	if err != nil || len(entries) != 1 || entries[0].ID != first.String() {
		t.Errorf("%d records are in the stream, %v; want %s alone", len(entries), err, first)
	}
	if _, there, err := p.log.Get(stream.At(p.log.Generation(), 1)); err != nil || !there {
		t.Fatal("the log has dropped what was shipped: this tests nothing", err)
	}
}

func shippedAll(p *producer) (bool, error) {
	text, err := p.w.db.Do(context.Background(), p.w.db.B().Hget().Key(p.stateKey(p.name)).Field("top").Build()).ToString()
	return text == p.log.Durable().String(), err
}

// TestShippedOnce: a process dies after it has shipped and before its log knows. It ships
// again what Redis has, and Redis refuses it.
func TestShippedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servers.Redis(t).URL(), Options{Settle: time.Hour})
	p := w.producer(t, "p")
	for round := 1; round <= 3; round++ {
		for range 30 {
			if _, err := p.Append("x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Reopen(); err != nil { // Settle keeps the log from knowing anything
			t.Fatal(err)
		}
		if lag, err := mustGroup(p).Lag(t.Context()); err != nil || lag.Records != int64(30*round) {
			t.Fatalf("the log waits for %d records, %v", lag.Records, err)
		}
	}
	if _, err := p.Append("last"); err != nil { // behind all that is shipped again
		t.Fatal(err)
	}
	entries, err := w.db.Do(t.Context(), w.db.B().Xrange().Key(p.recordsKey("p")).Start("-").End("+").Build()).AsXRange()
	if err != nil || len(entries) != 91 {
		t.Errorf("%d records are in the stream, %v; want 91", len(entries), err)
	}
}

// TestCap: what a stream may not hold waits in the log, and nothing is lost.
func TestCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servers.Redis(t).URL(), Options{CapBytes: 10_000, Groups: []string{"slow"}})
	p := w.producer(t, "p")
	value := strings.Repeat("x", 1000)
	for range 200 {
		if _, err := p.append(value); err != nil {
			t.Fatal(err)
		}
	}
	g, err := p.Group("slow")
	if err != nil {
		t.Fatal(err)
	}
	most, got := int64(0), 0
	for got < 200 {
		n, err := w.db.Do(t.Context(), w.db.B().Xlen().Key(p.recordsKey("p")).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		records, err := g.Fetch(ctx, "c", 1)
		cancel()
		if err != nil {
			t.Fatalf("after %d: %v", got, err)
		}
		got += len(records)
		if err := g.Ack(t.Context(), records[0].At); err != nil {
			t.Fatal(err)
		}
	}
	if most >= 200 {
		t.Errorf("%d records were in the stream at once", most)
	}
	if lag, err := g.Lag(t.Context()); err != nil || lag != (stream.Lag{}) {
		t.Errorf("lag %+v, %v", lag, err)
	}
}

// TestGenerationTwice: a generation that Redis gave out twice, since it was emptied, is
// found before anything of it is shipped.
func TestGenerationTwice(t *testing.T) {
	t.Parallel()
	r := servers.Redis(t)
	w := newWorld(t, r.URL(), Options{})
	a := w.producer(t, "a")
	if _, err := a.Append("1"); err != nil {
		t.Fatal(err)
	}
	a.stop() // a producer that does not tell Redis again what it has
	a.ship.Wait()
	if text, err := r.Command("FLUSHALL"); err != nil || text != "+OK" {
		t.Fatal(text, err)
	}
	b := w.producer(t, "b")
	if a.log.Generation() != b.log.Generation() {
		t.Fatal("the generations differ: this tests nothing")
	}
	if _, err := b.Append("2"); err != nil {
		t.Fatal(err)
	}
	sh := &shipper{s: a.Streams, producer: "a", log: a.log, claimed: map[uint32]bool{}}
	if err := sh.claim(t.Context(), a.log.Generation()); err == nil || !strings.Contains(err.Error(), "of producer b too") {
		t.Errorf("a claims what b has: %v", err)
	}
	if after, err := a.Generation(t.Context(), "a", 77); err != nil || after <= 77 {
		t.Errorf("a new one is %d, %v", after, err)
	}
}

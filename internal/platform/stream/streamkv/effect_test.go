package streamkv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/kvdb/kvdbtest"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
)

// step is a moment at which the process may die.
type step int

const (
	beforeHandle step = iota
	afterEffect       // before the commit
	afterCommit       // before the acknowledgement
	afterAck
	beforeBury
	afterBury
	beforeDiscard
	steps
	never    // for processes that live
	atAsking // for calls that only ask
)

var errDead = errors.New("the process is dead")

// consumer is a process that writes effects into SQL, and dies at some step: from
// then on nothing that it does reaches anything.
type consumer struct {
	*Group

	log    *Log
	db     *sqldb.DB
	forget bool // the planted bug: no inbox
	heal   bool // poison is consumed

	mu   sync.Mutex
	dies step                // guarded by mu
	left int                 // guarded by mu: the step comes so many times before
	dead bool                // guarded by mu
	disk *kvdbtest.FS        // of the log
	now  func() *kvdbtest.FS // what a crash leaves of it
	end  context.CancelFunc
}

// reach gives false when the process is dead, or dies here.
func (c *consumer) reach(s step) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dead && s == c.dies {
		if c.left--; c.left < 0 {
			c.dead, c.disk = true, c.now()
			c.end()
		}
	}
	return !c.dead
}

const poison = 37 // each so many-th message fails

// Handle writes one row for each message that is new.
func (c *consumer) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	if !c.reach(beforeHandle) {
		return errDead
	}
	err := c.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		fresh, err := inbox.Take(ctx, tx, c.name, lane, batch)
		if err != nil {
			return err
		}
		if c.forget {
			fresh = batch
		}
		for i := range fresh {
			id, err := strconv.Atoi(string(fresh[i].Raw))
			if err != nil {
				return err
			}
			if id%poison == 0 && !c.heal {
				return fmt.Errorf("message %d is poison", id)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO effect (id) VALUES (?)`, id); err != nil {
				return err
			}
		}
		if !c.reach(afterEffect) {
			return errDead
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !c.reach(afterCommit) {
		return errDead
	}
	return nil
}

func (c *consumer) Ack(ctx context.Context, at ...stream.Position) error {
	if !c.reach(atAsking) {
		return errDead
	}
	err := c.Group.Ack(ctx, at...)
	c.reach(afterAck)
	return err
}

func (c *consumer) Bury(ctx context.Context, letters ...stream.Letter) error {
	if !c.reach(beforeBury) {
		return errDead
	}
	err := c.log.Bury(ctx, letters...)
	if !c.reach(afterBury) {
		return errDead
	}
	return err
}

func (c *consumer) Dead(ctx context.Context, group, after string, most int) ([]stream.Letter, error) {
	return c.log.Dead(ctx, group, after, most)
}

func (c *consumer) Discard(ctx context.Context, id ...string) error {
	if !c.reach(beforeDiscard) {
		return errDead
	}
	return c.log.Discard(ctx, id...)
}

func splitIDs(r stream.Record) (all []stream.Message, _ error) {
	for n, word := range strings.Fields(string(r.Value)) {
		id, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, stream.Message{N: n, Lane: id % 11, Raw: []byte(word)})
	}
	return all, nil
}

// shop is the world that outlives processes: SQL, the log's disk, what was appended.
type shop struct {
	*testing.T

	rng  *rand.Rand
	db   *sqldb.DB
	fs   *kvdbtest.FS
	next int // id of the next message
}

const effectLanes = 3

func newShop(t *testing.T, rng *rand.Rand) *shop {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tables := fstest.MapFS{"sqlite/00001_effect.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effect (id BIGINT NOT NULL);\n")}}
	err = errors.Join(
		db.Migrate(t.Context(), "inbox", inbox.Schema()),
		db.Migrate(t.Context(), "effect", tables),
		db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return inbox.Lanes(ctx, tx, "effects", effectLanes) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{T: t, rng: rng, db: db, fs: kvdbtest.New(crashPath), next: 1}
}

// live is one process: it appends some records and consumes until it dies, or, when
// it never does, until nothing is left.
func (s *shop) live(dies step, change func(*consumer)) {
	s.Helper()
	l, err := Open(crashPath, Options{FS: s.fs, Key: testKey(), Log: quiet(), TrimEvery: 1, SaveEvery: 1, Gather: -1})
	if err != nil {
		s.Fatal(err)
	}
	g, err := l.Group("effects")
	if err != nil {
		s.Fatal(err)
	}
	l.Start()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	loss := vfs.CrashCloneCfg{RNG: s.rng, UnsyncedDataPercent: []int{0, 50}[s.rng.IntN(2)]}
	fs := s.fs
	c := &consumer{
		Group: g, log: l, db: s.db, dies: dies, left: s.rng.IntN(15), end: cancel,
		now: func() *kvdbtest.FS { return fs.Crash(loss) },
	}
	if dies >= beforeBury {
		c.left = s.rng.IntN(2)
	}
	if change != nil {
		change(c)
	}
	s.append(l)
	config := stream.Config{
		Workers: effectLanes, Batch: 4, Wait: time.Millisecond, Queue: 30, HandlerTries: 2, Backoff: 1, Grace: time.Minute,
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx, config, c, c, splitIDs, c) }()
	for ctx.Err() == nil {
		lag, err := g.Lag(ctx)
		if err != nil {
			s.Fatal(err)
		}
		if lag.Records == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if c.heal || dies == beforeDiscard { // beside the Run, as in life
		c.mu.Lock()
		c.heal = true
		c.mu.Unlock()
		_, err := stream.Replay(ctx, config, "effects", c, splitIDs, c)
		if err != nil && c.reach(atAsking) {
			s.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		s.Fatal(err)
	}
	if err := l.Close(); err != nil {
		s.Fatal(err)
	}
	if c.disk != nil {
		s.fs = c.disk
	}
}

func (s *shop) append(l *Log) {
	s.Helper()
	for seq := range 12 {
		var ids []string
		for range s.rng.IntN(12) {
			ids = append(ids, strconv.Itoa(s.next))
			s.next++
		}
		if err := l.Append(stream.At(l.Generation(), uint64(seq+1)), []byte(strings.Join(ids, " "))); err != nil {
			s.Fatal(err)
		}
	}
}

func scanCount(r *sql.Rows) (c [2]int, err error) { return c, r.Scan(&c[0], &c[1]) }

// check counts the effects: each message has one.
func (s *shop) check() error {
	counts, err := sqldb.Collect(s.Context(), s.db.Reader(), scanCount, `SELECT id, COUNT(*) FROM effect GROUP BY id ORDER BY id`)
	if err != nil {
		return err
	}
	of := map[int]int{}
	for _, c := range counts {
		of[c[0]] = c[1]
	}
	for id := 1; id < s.next; id++ {
		if of[id] != 1 {
			return fmt.Errorf("message %d of %d has %d effects", id, s.next-1, of[id])
		}
	}
	return nil
}

// TestEffectsHappenOnce kills the consumer at every step, many times over one log, and
// counts effects: with the log, the runner and the inbox each message has exactly one.
func TestEffectsHappenOnce(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	s := newShop(t, rand.New(rand.NewPCG(seed, 0)))
	died := map[step]bool{}
	for range 4 {
		for dies := range steps {
			s.live(dies, func(c *consumer) {
				end := c.end
				c.end = func() { died[dies] = true; end() }
			})
		}
	}
	s.live(never, nil)
	s.live(never, func(c *consumer) { c.heal = true })
	if err := s.check(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
	for dies := range steps {
		if !died[dies] {
			t.Errorf("seed %d: no process died at step %d: this test proves little", seed, dies)
		}
	}
}

// The checker must see an inbox that forgets.
func TestEffectCheckSeesDoubles(t *testing.T) {
	t.Parallel()
	s := newShop(t, rand.New(rand.NewPCG(5, 6)))
	for range 10 {
		s.live(afterCommit, func(c *consumer) { c.forget = true })
		s.live(never, func(c *consumer) { c.forget, c.heal = true, true })
		if err := s.check(); err != nil {
			return
		}
	}
	t.Error("without an inbox no message had two effects")
}

// BenchmarkDrain is a million messages, in 10,000 records of 100, from the log through
// the runner to a handler that does nothing.
func BenchmarkDrain(b *testing.B) {
	const records, each = 10_000, 100
	words := make([]string, each)
	for i := range words {
		words[i] = strconv.Itoa(100_000 + i*977)
	}
	value := []byte(strings.Join(words, " "))
	split := func(r stream.Record) ([]stream.Message, error) { // cheap, so that the runner is measured
		all := make([]stream.Message, each)
		for n := range all {
			raw := r.Value[7*n : 7*n+6]
			all[n] = stream.Message{N: n, Lane: uint64(raw[3])<<8 | uint64(raw[4]), Raw: raw}
		}
		return all, nil
	}
	done, batches := 0, 0
	for b.Loop() {
		b.StopTimer()
		l, err := Open("log", Options{FS: vfs.NewMem(), Key: testKey(), TrimEvery: -1})
		if err != nil {
			b.Fatal(err)
		}
		for seq := range uint64(records) {
			if err := l.Append(stream.At(l.Generation(), seq+1), value); err != nil {
				b.Fatal(err)
			}
		}
		g, err := l.Group("a")
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		var mu sync.Mutex
		left := records * each
		h := stream.HandlerFunc(func(_ context.Context, _ int, batch []stream.Message) error {
			mu.Lock()
			defer mu.Unlock()
			batches++
			done += len(batch)
			if left -= len(batch); left == 0 {
				cancel()
			}
			return nil
		})
		b.StartTimer()
		if err := stream.Run(ctx, stream.Config{}, g, l, split, h); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(done)/float64(batches), "messages/batch")
	b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "messages/s")
}

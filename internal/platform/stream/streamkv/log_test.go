package streamkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/kvdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamtest"
)

// bench is a log in memory with a clock and a readable log of what was said.
type bench struct {
	*testing.T
	*Log

	fs    vfs.FS
	o     Options
	clock *streamtest.Clock
	said  *said
	seq   uint64
}

// said keeps the lines that were logged.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// take gives what was said since the last time.
func (s *said) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.text.Reset()
	return s.text.String()
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{T: t, fs: vfs.NewMem(), clock: streamtest.NewClock(), said: &said{}}
	b.o = Options{
		FS: b.fs, Key: testKey(), Clock: b.clock, TrimEvery: -1, Gather: -1,
		Log: slog.New(slog.NewTextHandler(b.said, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, c := range change {
		c(&b.o)
	}
	b.open()
	t.Cleanup(func() { b.must(b.Close()) })
	return b
}

func (b *bench) open() {
	b.Helper()
	var err error
	b.Log, err = Open("log", b.o)
	b.must(err)
	b.seq = 0
}

func (b *bench) reopen() {
	b.Helper()
	b.must(b.Close())
	b.open()
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) append(n int, value string) (last stream.Position) {
	b.Helper()
	for range n {
		b.seq++
		last = stream.At(b.Generation(), b.seq)
		b.must(b.Append(last, []byte(value)))
	}
	return last
}

func (b *bench) group(name string) *Group {
	b.Helper()
	g, err := b.Group(name)
	b.must(err)
	return g
}

// consume fetches n records and acknowledges them.
func (b *bench) consume(g *Group, n int) {
	b.Helper()
	b.must(g.Ack(b.Context(), b.hold(g, n)...))
}

func (b *bench) hold(g *Group, n int) (all []stream.Position) {
	b.Helper()
	for len(all) < n {
		records, err := g.next("c", n-len(all))
		b.must(err)
		if len(records) == 0 {
			b.Fatalf("%d of %d records are there", len(all), n)
		}
		for _, r := range records {
			all = append(all, r.At)
		}
	}
	return all
}

func (b *bench) lag(g *Group) stream.Lag {
	b.Helper()
	lag, err := g.Lag(b.Context())
	b.must(err)
	return lag
}

func (b *bench) read(after stream.Position) (all []stream.Position) {
	b.Helper()
	b.must(b.Read(after, 0, func(r stream.Record) error { all = append(all, r.At); return nil }))
	return all
}

func (b *bench) earliest() stream.Position {
	b.Helper()
	at, _, err := b.Earliest()
	b.must(err)
	return at
}

func (b *bench) same(what string, want, got any) {
	b.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAppendHoldsPositionsToTheirOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.reopen()
	gen := b.Generation()
	b.must(b.Append(stream.At(gen, 5), nil))
	for _, at := range []stream.Position{0, stream.At(gen, 0), stream.At(gen, 4), stream.At(gen, 5), stream.At(gen-1, 9), stream.At(gen+1, 9)} {
		if err := b.Append(at, []byte("x")); err == nil {
			t.Errorf("%s is taken after %s", at, stream.At(gen, 5))
		}
	}
	b.must(b.Append(stream.At(gen, 9), nil)) // gaps are the writer's business
	b.same("durable", stream.At(gen, 9), b.Durable())
	b.same("records", []stream.Position{stream.At(gen, 5), stream.At(gen, 9)}, b.read(0))
}

func TestReadAndGet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(3, "old")
	b.reopen()
	b.append(2, "new")
	all := b.read(0)
	b.same("after the second", all[2:], b.read(all[1]))
	var two []string
	b.must(b.Read(all[1], 2, func(r stream.Record) error { two = append(two, string(r.Value)); return nil }))
	b.same("at most two", []string{"old", "new"}, two)
	failed := errors.New("failed")
	if err := b.Read(0, 0, func(stream.Record) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Read = %v", err)
	}
	for _, at := range all {
		if value, ok, err := b.Get(at); !ok || err != nil || len(value) != 3 {
			t.Errorf("Get(%s) = %q, %v, %v", at, value, ok, err)
		}
	}
	for _, at := range []stream.Position{0, all[4] + 1, stream.At(99, 1)} {
		if value, ok, err := b.Get(at); ok || err != nil {
			t.Errorf("Get(%s) = %q, %v, %v", at, value, ok, err)
		}
	}
	b.same("earliest", all[0], b.earliest())
}

func TestClosedLogAnswersSo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.group("a")
	b.append(1, "x")
	b.must(b.Close())
	b.must(b.Close())
	_, err1 := g.Fetch(t.Context(), "c", 1)
	_, err2 := g.Claim(t.Context(), "c", 0, 1)
	_, err3 := g.Lag(t.Context())
	_, _, err4 := b.Get(1)
	_, err5 := b.Group("b")
	_, err6 := b.Dead(t.Context(), "a", "", 1)
	_, err7 := b.Stats()
	for i, err := range []error{
		err1, err2, err3, err4, err5, err6, err7, g.Ack(t.Context(), 1), b.Trim(), b.Read(0, 0, nil),
		b.Append(stream.At(b.Generation(), 2), nil), b.Bury(t.Context()), b.Discard(t.Context()),
	} {
		if !errors.Is(err, stream.ErrClosed) {
			t.Errorf("call %d answers %v", i+1, err)
		}
	}
}

// TestNothingLiesPlainOnDisk looks for the values in the files.
func TestNothingLiesPlainOnDisk(t *testing.T) {
	t.Parallel()
	const secret = "13800138000 of Mrs. Li"
	for name, key := range map[string][]byte{"sealed": testKey(), "plain": nil} {
		b := newBench(t, func(o *Options) { o.Key = key })
		b.append(3, secret)
		b.must(b.Bury(t.Context(), stream.Letter{Group: "a", At: 1, Value: []byte(secret)}))
		b.must(b.db.Flush())
		found := false
		names, err := b.fs.List("log")
		b.must(err)
		for _, n := range names {
			f, err := b.fs.Open("log/" + n)
			b.must(err)
			var raw bytes.Buffer
			_, err = raw.ReadFrom(f)
			b.must(errors.Join(err, f.Close()))
			found = found || bytes.Contains(raw.Bytes(), []byte("13800138000"))
		}
		if found != (key == nil) {
			t.Errorf("%s: the value is found in the files: %v", name, found)
		}
	}
}

func TestKeyIsHeldToItsCheck(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(1, "x")
	b.must(b.Close())
	for name, key := range map[string][]byte{"another": bytes.Repeat([]byte{8}, sealKeyLength), "none": nil} {
		o := b.o
		o.Key = key
		if _, err := Open("log", o); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s key: %v", name, err)
		}
	}
	o := b.o
	o.Key = []byte("short")
	if _, err := Open("log", o); err == nil {
		t.Error("a short key is taken")
	}
	b.open()
	b.same("records with the right key", 1, len(b.read(0)))
}

// A log that was plain until now is sealed from now on.
func TestKeyMayComeLater(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *Options) { o.Key = nil })
	b.append(2, "plain")
	b.must(b.Bury(t.Context(), stream.Letter{Group: "a", At: 1, Value: []byte("plain")}))
	b.o.Key = testKey()
	b.reopen()
	b.append(2, "sealed")
	b.must(b.Bury(t.Context(), stream.Letter{Group: "a", At: 2, Value: []byte("sealed")}))
	b.reopen()
	b.same("records", 4, len(b.read(0)))
	dead, err := b.Dead(t.Context(), "a", "", 10)
	b.must(err)
	if len(dead) != 2 || string(dead[0].Value) != "plain" || string(dead[1].Value) != "sealed" {
		t.Errorf("letters %v", dead)
	}
}

// tamper changes what is stored while the log is closed.
func (b *bench) tamper(change func(db *pebble.DB) error) {
	b.Helper()
	b.must(b.Close())
	db, err := kvdb.Open("log", kvdb.Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, FS: b.fs, Log: quiet()})
	b.must(err)
	b.must(errors.Join(change(db), db.Flush(), db.Close()))
	b.open()
}

func flip(key []byte, index int) func(db *pebble.DB) error {
	return func(db *pebble.DB) error {
		raw, ok, err := kvdb.Get(db, key)
		if err != nil || !ok {
			return fmt.Errorf("get: %v %w", ok, err)
		}
		if index < 0 {
			index += len(raw)
		}
		raw[index%len(raw)] ^= 0x40
		return db.Set(key, raw, pebble.Sync)
	}
}

// TestDamagedRecordBecomesALetter damages records in every byte: each is buried,
// loudly, and the group goes on.
func TestDamagedRecordBecomesALetter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const records = 60
	b.append(records, "a value that is sealed")
	gen := b.Generation()
	b.tamper(func(db *pebble.DB) error {
		raw, _, err := kvdb.Get(db, recordKey(stream.At(gen, 1)))
		for i := range raw {
			if i+2 < records { // the first, and the ones at the end, stay
				err = errors.Join(err, flip(recordKey(stream.At(gen, uint64(i+2))), min(i, 60))(db))
			}
		}
		return errors.Join(err, db.Set(recordKey(stream.At(gen, records-1)), nil, pebble.Sync))
	})
	g := b.group("a")
	whole := map[stream.Position]bool{}
	for {
		got, err := g.next("c", 7)
		b.must(err)
		if len(got) == 0 {
			break
		}
		for _, r := range got {
			whole[r.At] = true
			if string(r.Value) != "a value that is sealed" {
				t.Errorf("%s is given as %q", r.At, r.Value)
			}
			b.must(g.Ack(t.Context(), r.At))
		}
	}
	dead, err := b.Dead(t.Context(), "a", "", 1000)
	b.must(err)
	if len(dead)+len(whole) != records || len(dead) < 40 || !whole[stream.At(gen, 1)] || !whole[stream.At(gen, records)] {
		t.Errorf("%d letters and %d whole records of %d", len(dead), len(whole), records)
	}
	for _, m := range dead {
		if whole[m.At] || m.N != stream.Unreadable || !strings.Contains(m.Reason, m.At.String()) {
			t.Errorf("letter %+v", m)
		}
	}
	b.same("lag", stream.Lag{}, b.lag(g))
	if said := b.said.take(); strings.Count(said, "level=ERROR") < len(dead) {
		t.Errorf("%d letters were made, and it was said:\n%s", len(dead), said)
	}
	damaged := (*DamagedError)(nil)
	if err := b.Read(0, 0, func(stream.Record) error { return nil }); !errors.As(err, &damaged) || damaged.At != stream.At(gen, 2) {
		t.Errorf("Read = %v", err)
	}
	b.reopen()
	if at := b.append(1, "new"); b.lag(b.group("a")).Records != 1 {
		t.Errorf("after %s the lag is %+v", at, b.lag(b.group("a")))
	}
}

func TestDamagedEndIsCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	last := b.append(3, "x")
	b.tamper(func(db *pebble.DB) error { return db.Set(recordKey(last), []byte{0xff}, pebble.Sync) })
	b.same("durable", last, b.Durable())
	b.append(2, "y")
	g := b.group("a")
	b.same("lag, with the damaged one in a letter", int64(4), b.lag(g).Records)
	b.consume(g, 4)
	b.same("lag", stream.Lag{}, b.lag(g))
}

// Appends that come close together leave one token: whoever takes it must pass on what
// it leaves.
func TestFetchWakesTheNextOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	g := b.group("a")
	b.append(2, "x")
	<-g.wake
	b.hold(g, 1)
	b.same("tokens with a record left", 1, len(g.wake))
}

// A record that was readable when it was given out, and is not when it is claimed.
func TestDamagedClaimBecomesALetter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(3, "x")
	g := b.group("a")
	held := b.hold(g, 3)
	b.must(flip(recordKey(held[1]), -1)(b.db))
	b.clock.Add(time.Hour)
	got, err := g.Claim(t.Context(), "d", time.Minute, 10)
	b.must(err)
	if len(got) != 2 || got[1].At != held[2] || b.lag(g).Records != 2 {
		t.Errorf("claimed %v, lag %+v", got, b.lag(g))
	}
	dead, err := b.Dead(t.Context(), "a", "", 10)
	b.must(err)
	if len(dead) != 1 || dead[0].At != held[1] {
		t.Errorf("letters %v", dead)
	}
}

func TestDamagedLetterIsListed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.must(b.Bury(t.Context(), stream.Letter{Group: "a", At: 1, Value: []byte("1")}, stream.Letter{Group: "a", At: 2, Value: []byte("2")}))
	b.tamper(flip(letterKey("a", 1, 0), -1))
	dead, err := b.Dead(t.Context(), "a", "", 10)
	b.must(err)
	if len(dead) != 2 || dead[0].Value != nil || !strings.Contains(dead[0].Reason, "damaged") || string(dead[1].Value) != "2" {
		t.Errorf("letters %+v", dead)
	}
	if said := b.said.take(); !strings.Contains(said, dead[0].ID) {
		t.Errorf("nothing was said: %s", said)
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.append(3, "x")
	b.consume(b.group("a"), 2)
	b.tamper(func(db *pebble.DB) error { return db.Set(groupKey("a"), []byte{1, 0xff}, pebble.Sync) })
	if _, err := b.Group("a"); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "group a") {
		t.Errorf("Group = %v", err)
	}
	for _, key := range [][]byte{{keyTrimmed}, generationKey(1)} {
		c := newBench(t)
		c.append(1, "x")
		c.must(c.Close())
		db, err := kvdb.Open("log", kvdb.Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, FS: c.fs, Log: quiet()})
		c.must(err)
		c.must(errors.Join(db.Set(key, []byte{9, 9}, pebble.Sync), db.Close()))
		if _, err := Open("log", c.o); !errors.Is(err, errDamaged) {
			t.Errorf("with a damaged %q: %v", key, err)
		}
		c.must(db2Delete(c.fs, key))
		c.open()
	}
}

// db2Delete makes a log that can be opened again, so that the clean-up can close it.
func db2Delete(fs vfs.FS, key []byte) error {
	db, err := kvdb.Open("log", kvdb.Options{CacheBytes: 1 << 20, MemTableBytes: 1 << 20, FS: fs, Log: quiet()})
	if err != nil {
		return err
	}
	return errors.Join(db.Delete(key, pebble.Sync), db.DeleteRange([]byte{keyRecord}, recordsEnd(), pebble.Sync), db.Close())
}

func FuzzDecodeState(f *testing.F) {
	f.Add(encodeState(state{floor: mark{at: 7, count: 3}, lost: 1, acked: []span{{9, 12, 4}, {20, 20, 1}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeState(raw)
		if err != nil {
			return
		}
		again, err := decodeState(encodeState(s))
		if diff := cmp.Diff(s, again, cmp.AllowUnexported(state{}, mark{}, span{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

// BenchmarkAppend appends what 20 scans make, to a log in memory; in "consumed" a
// group follows, and what it allocates is counted, too.
func BenchmarkAppend(b *testing.B) {
	for _, bench := range []struct {
		name     string
		key      []byte
		consumed bool
	}{{"sealed", testKey(), false}, {"plain", nil, false}, {"consumed", testKey(), true}} {
		b.Run(bench.name, func(b *testing.B) {
			l, err := Open("log", Options{FS: vfs.NewMem(), Key: bench.key, TrimEvery: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			if bench.consumed {
				go follow(ctx, l)
			}
			value := bytes.Repeat([]byte{1}, 20*18)
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			for seq := uint64(1); b.Loop(); seq++ {
				if err := l.Append(stream.At(l.Generation(), seq), value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// follow acknowledges whatever comes.
func follow(ctx context.Context, l *Log) {
	g, err := l.Group("a")
	if err != nil {
		return
	}
	for {
		got, err := g.Fetch(ctx, "c", 64)
		if err != nil {
			return
		}
		for _, r := range got {
			_ = g.Ack(ctx, r.At)
		}
	}
}

// TestAfter: a log that begins again begins behind what consumers know already.
func TestAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after stream.Position
		want  uint32
	}{{0, 1}, {stream.At(1, 0), 2}, {stream.At(7, 99), 8}} {
		l, err := Open("log", Options{FS: vfs.NewMem(), After: c.after})
		if err != nil {
			t.Fatal(err)
		}
		if l.Generation() != c.want {
			t.Errorf("after %s: generation %d, want %d", c.after, l.Generation(), c.want)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open("log", Options{FS: vfs.NewMem(), After: stream.At(stream.GenerationMax, 1)}); err == nil {
		t.Error("there is no generation after the last")
	}
}

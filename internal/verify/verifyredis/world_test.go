package verifyredis

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/redisdb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
	"github.com/chopmark/chopmark/internal/verify/verifykv"
	"github.com/chopmark/chopmark/test/servers"
)

// summary is a Summary in memory.
type summary struct {
	mu   sync.Mutex
	sums map[ids.Serial]verify.Sum // guarded by mu
	err  error                     // guarded by mu
}

var errAway = errors.New("the summary cannot be reached")

func (s *summary) Tally(_ context.Context, serial ids.Serial) (verify.Sum, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, ok := s.sums[serial]
	return sum, ok, s.err
}

func (s *summary) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *summary) set(sums map[ids.Serial]verify.Sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums = maps.Clone(sums)
}

// process is one of those that share counts: its log and its client of Redis.
type process struct {
	*verifykv.Log

	counts *Counts
	db     *redisdb.DB
	fs     vfs.FS
	hasty  bool
}

// patient is a budget that a busy machine does not use up.
const patient = 10 * time.Second

func newCounts(t testing.TB, url string, s Summary, budget time.Duration) (*Counts, *redisdb.DB) {
	t.Helper()
	db, err := redisdb.Open(t.Context(), redisdb.Config{URL: url, Budget: budget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return New(db, s, Options{}), db
}

func newProcess(t testing.TB, url string, s Summary) *process {
	t.Helper()
	return newOne(t, url, s, patient, false)
}

// newOne is a process; the answers of a hasty one do not wait for Redis, those of others so long.
func newOne(t testing.TB, url string, s Summary, budget time.Duration, hasty bool) *process {
	t.Helper()
	p := &process{fs: vfs.NewMem(), hasty: hasty}
	p.counts, p.db = newCounts(t, url, s, budget)
	p.open(t)
	t.Cleanup(func() { p.end(t) })
	return p
}

func (p *process) open(t testing.TB) {
	t.Helper()
	l, err := verifykv.Open("sightings", verifykv.Options{FS: p.fs, Shared: p.counts, Behind: p.hasty, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.Log = l
}

func (p *process) end(t testing.TB) {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// truth is what the logs of all processes add up to.
func truth(t *testing.T, processes ...*process) map[ids.Serial]verify.Sum {
	t.Helper()
	sums := map[ids.Serial]verify.Sum{}
	for _, p := range processes {
		err := p.Stream().Read(0, 0, func(r stream.Record) error {
			return verifyevent.Each(r.Value, func(_ uint16, s *verifyevent.Sighting) error {
				sum := sums[s.Serial]
				place := verify.Place{Place: s.Place}
				sum.Raise(&verify.Sum{Count: sum.Count + 1, FirstAt: s.At, LastAt: s.At, FirstIn: place, LastIn: place})
				if s.What.Has(verifyevent.NewSession) {
					sum.Sessions++
				}
				sums[s.Serial] = sum
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return sums
}

// consume does what the consumer of the summary does, to the end of all logs.
func consume(t *testing.T, s *summary, processes ...*process) map[ids.Serial]verify.Sum {
	t.Helper()
	sums := truth(t, processes...)
	s.set(sums)
	var items []Raised
	for serial, sum := range sums {
		items = append(items, Raised{serial, sum})
	}
	if err := processes[0].counts.Raise(t.Context(), items...); err != nil {
		t.Fatal(err)
	}
	return sums
}

// wantTruth holds what every process tells to the truth.
func wantTruth(t *testing.T, sums map[ids.Serial]verify.Sum, processes ...*process) {
	t.Helper()
	for i, p := range processes {
		for serial, sum := range sums {
			seen, err := p.Seen(serial)
			if err != nil || seen.Partial || seen.Count != sum.Count || seen.FirstAt.UnixMicro() != sum.FirstAt || seen.LastAt.UnixMicro() != sum.LastAt {
				t.Errorf("process %d tells of item %d %+v, %v; the logs say %+v", i, serial, seen, err, sum)
			}
		}
	}
}

// tellTruth is wantTruth without a judgement.
func tellTruth(sums map[ids.Serial]verify.Sum, processes ...*process) bool {
	for _, p := range processes {
		for serial, sum := range sums {
			if seen, err := p.Seen(serial); err != nil || seen.Partial || seen.Count != sum.Count {
				return false
			}
		}
	}
	return true
}

func flush(t *testing.T, s *servers.RedisServer) {
	t.Helper()
	if text, err := s.Command("FLUSHALL"); err != nil || text != "+OK" {
		t.Fatal(text, err)
	}
}

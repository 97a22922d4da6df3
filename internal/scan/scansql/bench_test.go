package scansql_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/scan/scansql"
	"github.com/chopmark/chopmark/internal/scan/scantest"
	"github.com/chopmark/chopmark/test/servers"
)

// realCodes are real codes: their cost belongs to a record's.
type realCodes struct{ *codebook.Items }

func (c realCodes) Code(s ids.Serial) string { return c.Items.Code(s).String() }

func (realCodes) Serial(context.Context, string) (ids.Serial, error) { return 0, scan.ErrUnknownCode }

// cpu is what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const groupCommit = 25 // sightings in one record of the log, as under load

// traffic makes so many sightings at 5,000 a second.
func traffic(b *testing.B, n int) []stream.Record {
	b.Helper()
	log := scantest.NewLog()
	t := &scantest.Traffic{Dice: 7, Brands: 50, Batches: 40, PerItem: 3}
	for i := range n {
		log.Scan(t.Next(scantest.Start().Add(time.Duration(i) * 200 * time.Microsecond))) // 5,000/s
		if i%groupCommit == groupCommit-1 {
			log.Flush()
		}
	}
	log.Flush()
	return log.Records
}

func openEngine(tb testing.TB, dir string) *scansql.Engine {
	tb.Helper()
	cfg := scansql.Config{Dir: dir, Wrap: [32]byte{3}}
	e, err := scansql.Open(tb.Context(), cfg, realCodes{codebook.NewItems([32]byte{7})},
		clock.Func(func() time.Time { return scantest.Start().Add(time.Hour) }), slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

// drain consumes a backlog with the runner as it is wired: batches of 100 or 1 s, 20
// workers, a queue of 1,000.
func drain(b *testing.B, name string, h stream.Handler, records []stream.Record) {
	b.Helper()
	drainAs(b, stream.Config{}, name, h, records)
}

func drainAs(b *testing.B, c stream.Config, name string, h stream.Handler, records []stream.Record) {
	b.Helper()
	letters := &scantest.Letters{}
	err := stream.Run(b.Context(), c, scantest.NewGroup(name, records), letters, scansql.Split, h)
	if !errors.Is(err, stream.ErrClosed) || len(letters.Buried) > 0 {
		b.Fatal(err, letters.Buried)
	}
}

func report(b *testing.B, before time.Duration) {
	b.Helper()
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/float64(b.N), "µs-cpu/sighting")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sightings/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkRecords(b *testing.B) {
	records := traffic(b, b.N)
	e := openEngine(b, b.TempDir())
	b.ResetTimer()
	before := cpu()
	drain(b, scan.GroupRecords, e.Records, records)
	report(b, before)
}

// BenchmarkNothing is what the runner and the reading of the log cost alone; it is in
// the figures of the others.
func BenchmarkNothing(b *testing.B) {
	records := traffic(b, b.N)
	b.ResetTimer()
	before := cpu()
	drain(b, "nothing", stream.HandlerFunc(func(context.Context, int, []stream.Message) error { return nil }), records)
	report(b, before)
}

func BenchmarkStatistics(b *testing.B) {
	records := traffic(b, b.N)
	e := openEngine(b, b.TempDir())
	b.ResetTimer()
	before := cpu()
	drain(b, scan.GroupStatistics, e.Statistics, records)
	if err := e.Statistics.FoldNow(b.Context()); err != nil {
		b.Fatal(err)
	}
	report(b, before)
}

// BenchmarkShared drains into a server of the benchmark's own, as the runner usually
// does and with larger batches.
func BenchmarkShared(b *testing.B) {
	for _, group := range []string{scan.GroupRecords, scan.GroupStatistics, scan.GroupSummary} {
		for name, c := range map[string]stream.Config{"usual": {}, "large": {Batch: 500, Queue: 10_000}} {
			b.Run(group+"/"+name, func(b *testing.B) {
				records := traffic(b, b.N)
				server := servers.StartMariaDB(b, "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M")
				db, err := sqldb.OpenMySQL(b.Context(), server.Database(b), sqldb.MySQLOptions{})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				now := scantest.Start().Add(time.Hour)
				e := openShared(b, db, realCodes{codebook.NewItems([32]byte{7})}, &now, nil)
				b.ResetTimer()
				before := cpu()
				drainAs(b, c, group, e.Consumers()[group], records)
				if err := e.Statistics.Fold(b.Context()); err != nil {
					b.Fatal(err)
				}
				report(b, before)
			})
		}
	}
}

// BenchmarkBacklog drains 1,000,000 sightings through both groups side by side, as
// after an outage, and wants each brand's in their order. It closes the day, too.
func BenchmarkBacklog(b *testing.B) {
	const backlog = 1_000_000
	records := traffic(b, backlog)
	for range b.N {
		now := scantest.Start().Add(time.Hour)
		e := openAt(b, b.TempDir(), realCodes{codebook.NewItems([32]byte{7})}, &now)
		before, start := cpu(), time.Now()
		var both sync.WaitGroup
		for name, h := range map[string]stream.Handler{scan.GroupRecords: e.Records, scan.GroupStatistics: e.Statistics} {
			both.Go(func() { drain(b, name, &inOrder{Handler: h, last: map[ids.BrandID]stream.Place{}, b: b}, records) })
		}
		both.Wait()
		b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/backlog, "µs-cpu/sighting")
		b.ReportMetric(backlog/time.Since(start).Seconds(), "sightings/s")
		now = now.AddDate(0, 0, 2)
		before, start = cpu(), time.Now()
		if err := e.Records.CloseDays(b.Context(), now); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64((cpu()-before).Nanoseconds())/1e3/backlog, "µs-cpu/row-closed")
		b.ReportMetric(time.Since(start).Seconds(), "s-to-close")
	}
	b.ReportMetric(0, "ns/op")
}

// inOrder fails when a brand's sightings come out of order.
type inOrder struct {
	stream.Handler

	mu   sync.Mutex
	last map[ids.BrandID]stream.Place
	b    *testing.B
}

func (o *inOrder) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	o.mu.Lock()
	for i := range batch {
		brand := batch[i].Value.(*scan.Seen).Brand
		if batch[i].Place().Compare(o.last[brand]) <= 0 {
			o.b.Errorf("brand %d: %v comes after %v", brand, batch[i].Place(), o.last[brand])
		}
		o.last[brand] = batch[i].Place()
	}
	o.mu.Unlock()
	return o.Handler.Handle(ctx, lane, batch)
}

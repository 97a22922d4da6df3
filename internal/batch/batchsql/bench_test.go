package batchsql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"flag"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/servers"
)

var (
	benchClients = flag.Int("claim-clients", 512, "how many claim at once")
	benchBatches = flag.Int("claim-batches", 64, "of how many batches, over all shards")
)

// BenchmarkClaims is one claim of 10 numbers, under a key of its own, in MariaDB: through
// the store, and as a transaction of its own.
func BenchmarkClaims(b *testing.B) {
	for _, c := range []struct {
		name  string
		claim func(s *shop) func(context.Context, ids.Request, batch.ClaimAsk) error
	}{
		{"combined", func(s *shop) func(context.Context, ids.Request, batch.ClaimAsk) error {
			return func(ctx context.Context, r ids.Request, ask batch.ClaimAsk) error {
				_, _, _, err := s.Claim(ctx, r, ask, nil)
				return err
			}
		}},
		{"single", func(s *shop) func(context.Context, ids.Request, batch.ClaimAsk) error {
			return func(ctx context.Context, r ids.Request, ask batch.ClaimAsk) error {
				return claimAlone(ctx, s.db, r, ask)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) { benchClaims(b, c.claim) })
	}
}

func benchClaims(b *testing.B, claim func(s *shop) func(context.Context, ids.Request, batch.ClaimAsk) error) {
	url := servers.StartMariaDB(b, "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=256M").Database(b)
	db, err := sqldb.OpenMySQL(b.Context(), url, sqldb.MySQLOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s := shopOn(b, db)
	batches := make([]batch.Batch, *benchBatches)
	for i := range batches {
		batches[i], err = s.issue(ids.BrandID(1001+i%ids.Shards), ids.New("no"), 1e9, ids.ShardCapacity)
		s.must(err)
	}
	do := claim(s)
	var next, failed atomic.Int64
	var all sync.WaitGroup
	before, used := deadlocks(b, db), cpu()
	b.ResetTimer()
	start := time.Now()
	for range *benchClients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				t := batches[int(i)%len(batches)]
				key := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
				ask := batch.ClaimAsk{BatchID: t.ID, Shard: t.Shard(), Claimant: "line", Quantity: 10, CreatedAt: batchtest.Start()}
				if err := do(b.Context(), ids.Request{Key: key}, ask); err != nil && failed.Add(1) == 1 {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/took.Seconds(), "claims/s")
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "µs-cpu/claim")
	b.ReportMetric(float64(deadlocks(b, db)-before), "deadlocks")
	b.ReportMetric(float64(failed.Load()), "failed")
	b.ReportMetric(0, "ns/op")
}

// cpu is what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func deadlocks(b *testing.B, db *sqldb.DB) (n int64) {
	b.Helper()
	var name string
	if err := db.Reader().QueryRowContext(b.Context(), `SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'`).Scan(&name, &n); err != nil {
		b.Fatal(err)
	}
	return n
}

// claimAlone is the peer: the same rows, one transaction for each claim.
func claimAlone(ctx context.Context, db *sqldb.DB, r ids.Request, ask batch.ClaimAsk) error {
	_, _, err := idem.Once(ctx, db, clock.System{}, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		id := ids.New("clm")
		_, err := tx.ExecContext(ctx, `UPDATE batches SET quantity = quantity WHERE batch_id = ?`, ask.BatchID)
		if err != nil {
			return "", err
		}
		const query = `SELECT from_no, to_no FROM pool_free WHERE batch_id = ? AND to_no - from_no + 1 >= ? ORDER BY from_no LIMIT 1`
		var from, to int64
		if err := tx.QueryRowContext(ctx, query, ask.BatchID, ask.Quantity).Scan(&from, &to); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				return "", batch.ErrExhausted
			}
			return "", err
		}
		_, err1 := tx.ExecContext(ctx, `DELETE FROM pool_free WHERE batch_id = ? AND from_no = ? AND to_no = ?`, ask.BatchID, from, to)
		_, err2 := tx.ExecContext(ctx, `INSERT INTO pool_free (batch_id, from_no, to_no) VALUES (?,?,?)`, ask.BatchID, from+ask.Quantity, to)
		_, err3 := tx.ExecContext(ctx, `INSERT INTO claims (claim_id, batch_id, claimant, from_no, to_no, task_id, created_at) VALUES (?,?,?,?,?,?,?)`,
			id, ask.BatchID, ask.Claimant, from, from+ask.Quantity-1, "", sqldb.Micros(ask.CreatedAt))
		return id, errors.Join(err1, err2, err3)
	})
	return err
}

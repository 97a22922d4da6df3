package tracesql

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracetest"
)

// halves are two databases: brands with odd numbers are not at home.
func halves(t *testing.T) *sqldb.Shards {
	t.Helper()
	dbs := sqldbtest.Halves(t)
	for _, db := range dbs.All() {
		if err := errors.Join(db.Migrate(t.Context(), "outbox", outbox.Schema()), db.Migrate(t.Context(), "trace", Schema())); err != nil {
			t.Fatal(err)
		}
	}
	return dbs
}

func shardedWorld(t *testing.T) tracetest.World {
	dbs := halves(t)
	return tracetest.World{
		Open:   func() tracetest.Store { return Over(dbs, tracetest.Clock{At: tracetest.Start()}) },
		At:     func(c *tracetest.Moving) tracetest.Store { return Over(dbs, c) },
		Outbox: outbox.New(dbs),
	}
}

func TestShardedSuite(t *testing.T) {
	t.Parallel()
	tracetest.Run(t, shardedWorld)
}

func TestShardedArrivalOrder(t *testing.T) {
	t.Parallel()
	tracetest.Contain(t, shardedWorld)
}

// TestDocumentOfTwoDatabases: the home is away between the commits of a document's parts. The
// same request completes it, and is one job; another body under its key is refused.
func TestDocumentOfTwoDatabases(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]byte{"WithKey": 1, "WithoutKey": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dbs := halves(t)
			home, odd := dbs.All()[0], dbs.All()[1]
			store := Over(dbs, tracetest.Clock{At: tracetest.Start()})
			s := tracetest.Service(store)
			of := func(brand ids.BrandID, with map[string]any) map[string]any {
				e := map[string]any{"epcList": []string{tracetest.EPC(brand, 1)}}
				maps.Copy(e, with)
				return tracetest.Event(e)
			}
			late := map[string]any{"eventTime": "2027-01-01T00:00:00Z"}
			document := tracetest.Document(of(1, nil), of(2, nil), of(3, late), tracetest.Event(map[string]any{"action": "EAT"}), of(2, late), of(1, nil))
			spec := trace.CaptureSpec{Proceed: true, Request: ids.Request{Key: [32]byte{key}, Body: [32]byte{key}}}
			hide(t, odd, "trace_words", "hidden") // the second part fails
			_, err := s.Capture(t.Context(), spec, document)
			if !errors.Is(err, sqldb.ErrUnknownOutcome) {
				t.Fatalf("half of a document: %v", err)
			}
			if n := count(t, home, `SELECT COUNT(*) FROM trace_events`) + count(t, odd, `SELECT COUNT(*) FROM trace_events`); n != 2 {
				t.Fatalf("%d events of the first part, want 2", n)
			}
			if jobs, err := s.Jobs(t.Context(), 0, time.Time{}, "", 10); err != nil || len(jobs) != 0 {
				t.Errorf("jobs of half a document: %v, %v", jobs, err)
			}
			hide(t, odd, "hidden", "trace_words")
			other := spec
			other.Request.Body[0]++
			if key != 0 {
				if _, err := s.Capture(t.Context(), other, tracetest.Document(of(5, nil))); !errors.Is(err, idem.ErrMismatch) {
					t.Errorf("another body under the key: %v", err)
				}
			}
			done, err := s.Capture(t.Context(), spec, document)
			if err != nil {
				t.Fatal(err)
			}
			got := map[int]trace.Status{}
			for _, r := range done.Job.Results {
				got[r.Index] = r.Status
			}
			want := map[int]trace.Status{2: trace.Accepted, 3: trace.Rejected, 4: trace.Accepted, 5: trace.Duplicate}
			if key == 0 { // nobody can know that it is the same request
				want[1], want[4] = trace.Duplicate, trace.Duplicate
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			jobs, err := s.Jobs(t.Context(), 0, time.Time{}, "", 10)
			if err != nil || len(jobs) != 1 {
				t.Errorf("%d jobs, %v", len(jobs), err)
			}
			own, err := store.JobsOf(t.Context(), 0, tracetest.Start().Add(time.Hour), "", 10) // it stands with brand 3's events
			if diff := cmp.Diff(jobs, own); err != nil || diff != "" {
				t.Errorf("%v (-all +the platform's):\n%s", err, diff)
			}
			again, err := s.Job(t.Context(), done.Job.ID)
			if diff := cmp.Diff(done.Job, again); err != nil || diff != "" {
				t.Errorf("%v (-answered +kept):\n%s", err, diff)
			}
			if key != 0 {
				replayed, err := s.Capture(t.Context(), spec, document)
				if diff := cmp.Diff(done.Job, replayed.Job); err != nil || !replayed.Replayed || diff != "" {
					t.Errorf("replayed %v, %v (-first +again):\n%s", replayed.Replayed, err, diff)
				}
			}
			for _, db := range dbs.All() {
				const query = `SELECT COUNT(*) FROM trace_events WHERE brand_id % 2 = ?`
				if mine, others := count(t, db, query, b2i(db == odd)), count(t, db, query, b2i(db == home)); mine != 2 || others != 0 {
					t.Errorf("%s has %d events of its brands and %d of others, want 2 and 0", db.Name(), mine, others)
				}
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hide gives a table another name.
func hide(t *testing.T, db *sqldb.DB, from, to string) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `RENAME TABLE `+from+` TO `+to)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *sqldb.DB, query string, args ...any) (n int) {
	t.Helper()
	if err := db.Reader().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

package batchsql

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// TestGroupsCarveAsOneAfterTheOther: a group of claims over several batches takes what
// the same claims would take one after the other, and leaves what they would leave.
func TestGroupsCarveAsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := fresh(t)()
		for domain, schema := range map[string]fs.FS{"idem": idem.Schema(), "task": task.Schema(), "batch": Schema()} {
			if err := db.Migrate(t.Context(), domain, schema); err != nil {
				t.Fatal(err)
			}
		}
		s := New(db, clock.System{})
		rapid.Check(t, func(r *rapid.T) {
			model := map[ids.BatchID]batch.Runs{}
			var batches []ids.BatchID
			for range rapid.IntRange(1, 3).Draw(r, "batches") {
				b := ids.BatchID(ids.New("bat"))
				batches = append(batches, b)
				model[b] = someRuns(r)
				put(t, db, b, model[b])
			}
			acts := make([]claimAct, rapid.OneOf(rapid.IntRange(1, 6), rapid.IntRange(1, 80)).Draw(r, "acts"))
			for i := range acts {
				acts[i] = someAct(r, rapid.SampledFrom(batches).Draw(r, "batch"))
			}
			out, err := s.claimTogether(t.Context(), acts)
			if err != nil {
				r.Fatal(err)
			}
			for i, a := range acts {
				want, wantErr := carve(model, a)
				var got batch.Runs
				for _, c := range out[i].Value.claims {
					got = append(got, batch.Run{From: c.From, To: c.To})
				}
				if diff := cmp.Diff(want, got); diff != "" || !errors.Is(out[i].Err, wantErr) {
					r.Fatalf("act %d %+v: %v, want %v (-want +got):\n%s", i, a.ask, out[i].Err, wantErr, diff)
				}
			}
			for _, b := range batches {
				free, err := s.Free(t.Context(), b)
				if err != nil {
					r.Fatal(err)
				}
				if diff := cmp.Diff(append(batch.Runs{}, model[b]...), append(batch.Runs{}, free...)); diff != "" {
					r.Fatalf("free (-want +got):\n%s", diff)
				}
			}
		})
	})
}

var errNoFile = errors.New("no file")

// carve is the model of a claim: the lowest block that is long enough, or all of a run.
func carve(model map[ids.BatchID]batch.Runs, a claimAct) (batch.Runs, error) {
	free := model[a.ask.BatchID]
	taken := free.Intersect(batch.Runs{a.ask.Within})
	if q := a.ask.Quantity; q > 0 {
		i := slices.IndexFunc(free, func(r batch.Run) bool { return r.Len() >= q })
		if i < 0 {
			return nil, batch.ErrExhausted
		}
		taken = batch.Runs{{From: free[i].From, To: free[i].From + q - 1}}
	}
	if a.task != nil && a.task.File == "" {
		return nil, errNoFile
	}
	model[a.ask.BatchID] = free.Minus(taken)
	return taken, nil
}

func someRuns(r *rapid.T) (rs batch.Runs) {
	next := int64(1)
	for range rapid.IntRange(0, 40).Draw(r, "blocks") {
		from := next + rapid.Int64Range(0, 3).Draw(r, "gap")
		to := from + rapid.Int64Range(0, 8).Draw(r, "length")
		rs, next = append(rs, batch.Run{From: from, To: to}), to+2
	}
	return rs
}

func someAct(r *rapid.T, b ids.BatchID) claimAct {
	a := claimAct{ask: batch.ClaimAsk{BatchID: b, Claimant: "line", CreatedAt: time.UnixMicro(1)}}
	switch how := rapid.IntRange(0, 9).Draw(r, "how"); how {
	case 0, 1, 2:
		from := rapid.OneOf(rapid.Just(int64(1)), rapid.Int64Range(1, 200)).Draw(r, "from")
		a.ask.Within = batch.Run{From: from, To: from + rapid.Int64Range(0, 60).Draw(r, "more")}
		a.task = someTask("f")
	case 3: // an export of what is claimed already
		a.task = someTask("f")
	case 4:
		a.ask.Quantity = rapid.Int64Range(1, 8).Draw(r, "quantity")
		a.task = someTask("") // its payload is refused
	default:
		a.ask.Quantity = rapid.Int64Range(1, 8).Draw(r, "quantity")
	}
	return a
}

func someTask(file string) *batch.NewTask {
	return &batch.NewTask{ID: ids.TaskID(ids.New("task")), Kind: batch.TaskExport, File: file, CreatedAt: time.UnixMicro(1), Payload: func([]batch.Claim) (json.RawMessage, int64, error) {
		if file == "" {
			return nil, 0, errNoFile
		}
		return json.RawMessage(`{}`), 1, nil
	}}
}

func put(t *testing.T, db *sqldb.DB, b ids.BatchID, free batch.Runs) {
	t.Helper()
	var blocks []any
	for _, r := range free {
		blocks = append(blocks, b, r.From, r.To)
	}
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return putFree(ctx, tx, blocks) }); err != nil {
		t.Fatal(err)
	}
}

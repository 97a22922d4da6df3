package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/trace"
)

func TestFencedRelayMovesNothing(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		fencedRelay(t, migrated(t, fresh(t)))
	})
}

func fencedRelay(t *testing.T, db *sqldb.DB) {
	o := New(sqldb.One(db))
	for shard, n := range map[int]int{0: 3, 5: 2} {
		for range n {
			mustTell(t, db, ids.Shard(shard), start(), "a", "b")
		}
	}
	resume := func(token int64) Cursor {
		t.Helper()
		at, err := o.Resume(t.Context(), "kafka", token)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	if at := resume(7); at != (Cursor{}) {
		t.Errorf("a new relay begins at %v", at)
	}
	half := Cursor{0: 2, 5: 1}
	if err := o.Advance(t.Context(), "kafka", 7, Cursor{}, half); err != nil {
		t.Fatal(err)
	}
	if b, err := o.Backlog(t.Context(), "kafka"); err != nil || b.Events != 4 || !b.Oldest.Equal(start()) {
		t.Errorf("backlog %+v, %v", b, err)
	}
	if at := resume(8); at != half {
		t.Errorf("the next relay begins at %v, want %v", at, half)
	}
	if err := o.Advance(t.Context(), "kafka", 7, half, Cursor{0: 3, 5: 1}); !errors.Is(err, ErrFenced) {
		t.Errorf("a fenced relay advances: %v", err)
	}
	if _, err := o.Resume(t.Context(), "kafka", 7); !errors.Is(err, ErrFenced) {
		t.Errorf("a fenced relay resumes: %v", err)
	}
	if at := resume(8); at != half {
		t.Errorf("a fenced relay moved the positions to %v", at)
	}
	if err := o.Advance(t.Context(), "kafka", 8, half, Cursor{0: 3, 5: 2}); err != nil {
		t.Error(err)
	}
	if b, err := o.Backlog(t.Context(), "kafka"); err != nil || b != (Backlog{}) {
		t.Errorf("backlog at the end %+v, %v", b, err)
	}
	if b, err := o.Backlog(t.Context(), "another"); err != nil || b.Events != 10 {
		t.Errorf("backlog of a relay that never ran %+v, %v", b, err)
	}
}

func TestEventsKeepTheirTrace(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		keptTrace(t, migrated(t, fresh(t)))
	})
}

func keptTrace(t *testing.T, db *sqldb.DB) {
	want := trace.Context{ID: [16]byte{1}, Span: [8]byte{2}}
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		s, err := Commit(ctx, tx, 1, time.Now())
		return errors.Join(err, Append(ctx, tx, s,
			Event{Type: "t", Data: json.RawMessage(`{}`), Trace: want}, Event{Type: "t", Data: json.RawMessage(`{}`)}))
	})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := New(sqldb.One(db)).Read(t.Context(), Cursor{}, 10)
	if err != nil || len(got) != 2 || got[0].Trace != want || !got[1].Trace.IsZero() {
		t.Errorf("read %+v, %v", got, err)
	}
}

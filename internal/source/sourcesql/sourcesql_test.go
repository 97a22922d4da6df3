package sourcesql

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/task"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourceevent"
	"github.com/chopmark/chopmark/internal/source/sourcetest"
)

func migrated(t *testing.T, dbs *sqldb.Shards) *sqldb.Shards {
	t.Helper()
	for _, db := range dbs.All() {
		err := errors.Join(db.Migrate(t.Context(), "outbox", outbox.Schema()), db.Migrate(t.Context(), "idem", idem.Schema()),
			db.Migrate(t.Context(), "task", task.Schema()), db.Migrate(t.Context(), "source", Schema()))
		if err != nil {
			t.Fatal(err)
		}
	}
	return dbs
}

func fixed() clock.Clock { return clock.Func(sourcetest.Start) }

// each runs a test on each engine, and on brands in two databases.
func each(t *testing.T, test func(t *testing.T, fresh func(t *testing.T) *sqldb.Shards)) {
	t.Helper()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		test(t, func(t *testing.T) *sqldb.Shards { return migrated(t, sqldb.One(fresh(t)())) })
	})
	t.Run("Halves", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) *sqldb.Shards { return migrated(t, sqldbtest.Halves(t)) })
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, fresh func(t *testing.T) *sqldb.Shards) {
		sourcetest.RunStore(t, func(t *testing.T) source.Store { return Over(fresh(t), fixed()) })
	})
}

// told are the events of a brand.
func told(t *testing.T, dbs *sqldb.Shards) (out []outbox.Event) {
	t.Helper()
	events, _, err := outbox.New(dbs).Read(t.Context(), outbox.Cursor{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestAPushIsTold(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, fresh func(t *testing.T) *sqldb.Shards) {
		dbs := fresh(t)
		s := Over(dbs, fixed())
		for range 2 {
			_, _, err := s.AddRows(t.Context(), sourcetest.Request("1"), source.Push{
				ID: "psh_1", Brand: 9, Rows: []source.Row{sourcetest.Row(1, "1")}, CreatedBy: "alice", CreatedAt: sourcetest.Start()})
			if err != nil {
				t.Fatal(err)
			}
		}
		events := told(t, dbs)
		if len(events) != 1 || events[0].Type != sourceevent.DataSynced || events[0].BrandID != 9 || events[0].Subject != "psh_1" ||
			string(events[0].Data) != `{"what":"trace_data","brand_id":9,"rows":1,"sources":["WMS"],"created_by":"alice"}` {
			t.Errorf("told: %+v", events)
		}
	})
}

// cutOff is an importer whose process dies behind each part: nothing of it is saved.
type cutOff struct {
	*Importer
	after int
}

func (c *cutOff) Run(ctx context.Context, p *task.Progress) error {
	for n := range c.after {
		if err := c.add(ctx, p.ID, &job{Brand: 9}, n); err != nil {
			return err
		}
	}
	return c.Importer.Run(ctx, p)
}

// TestImportIsAddedOnce runs the task of a file whose first parts were added before, by a
// process that could not save how far it came; and two importers at once.
func TestImportIsAddedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, fresh func(t *testing.T) *sqldb.Shards) {
		dbs := fresh(t)
		s := Over(dbs, fixed())
		const rows = 2*partRows + 7
		push := source.Push{ID: ids.NewIn(ids.ShardOf(9), "task"), Brand: 9, CreatedBy: "alice", CreatedAt: sourcetest.Start()}
		for n := range rows {
			push.Rows = append(push.Rows, sourcetest.Row(n, "123456789012345678"))
		}
		id, _, err := s.AddImport(t.Context(), sourcetest.Request("i"), push)
		if err != nil {
			t.Fatal(err)
		}
		again := push
		again.ID = ids.NewIn(ids.ShardOf(9), "task")
		if same, replayed, err := s.AddImport(t.Context(), sourcetest.Request("i"), again); err != nil || !replayed || same != id {
			t.Errorf("the same request again: %s %v %v, want %s", same, replayed, err, id)
		}
		r := task.NewRunner(dbs, clock.System{}, slog.New(slog.DiscardHandler), 2)
		r.Handle(TaskImport, &cutOff{s.Importer(), 2})
		defer r.Stop()
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Importer().add(t.Context(), id, &job{Brand: 9}, 1); err != nil {
			t.Fatal(err)
		}
		done := awaitTask(t, r, id)
		if done.State != task.Done || done.Done != rows || done.Subject != "brand:9" {
			t.Errorf("the task ended as %+v", done)
		}
		got, err := s.Rows(t.Context(), source.Ask{Code: "123456789012345678", Brand: 9}, 10*rows)
		if err != nil || len(got) != rows {
			t.Errorf("%d rows, %v; want %d", len(got), err, rows)
		}
		if events := told(t, dbs); len(events) != 1 || !strings.Contains(string(events[0].Data), `"rows":1007`) {
			t.Errorf("told: %+v", events)
		}
		left, err := sqldb.Collect(t.Context(), dbs.Of(ids.ShardOf(9)).Reader(), scanBody, `SELECT body FROM trace_imports`)
		if err != nil || len(left) != 0 {
			t.Errorf("%d parts are left, %v", len(left), err)
		}
	})
}

func awaitTask(t *testing.T, r *task.Runner, id ids.TaskID) task.Task {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); ; <-tick.C {
		one, err := r.Find(t.Context(), id)
		if err != nil || time.Now().After(until) {
			t.Fatalf("%+v, %v", one, err)
		}
		if one.State == task.Done || one.State == task.Failed {
			return one
		}
	}
}

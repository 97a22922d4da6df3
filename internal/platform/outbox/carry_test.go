package outbox

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
)

// TestCarriedOnce: what the home told of a shard that is elsewhere is told there, once and
// in its order, by however many processes.
func TestCarriedOnce(t *testing.T) {
	t.Parallel()
	dbs := sqldbtest.Halves(t)
	for _, db := range dbs.All() {
		if err := db.Migrate(t.Context(), "outbox", Schema()); err != nil {
			t.Fatal(err)
		}
	}
	home, o := dbs.Home(), New(dbs)
	carry := func() {
		t.Helper()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := o.Carry(t.Context(), 1, start); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if err := o.Carry(t.Context(), 1, start); err != nil { // for all who found somebody else at it
			t.Error(err)
		}
	}
	told := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, readAll(t, o, Cursor{}, 10)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	mustTell(t, home, 1, start().Add(-time.Hour), "a", "b")
	told()
	carry()
	told("a", "b")
	mustTell(t, dbs.Of(1), 1, start(), "its own")
	mustTell(t, home, 1, start(), make([]string, eventsPerTxMax)...)
	mustTell(t, home, 1, start(), "c")
	mustTell(t, home, 2, start(), "at home") // of a shard that is there
	carry()
	carry()
	want := append(append([]string{"a", "b", "its own"}, make([]string, eventsPerTxMax)...), "c", "at home")
	got := readAll(t, o, Cursor{}, 1000)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	here, _, err := New(dbs).Read(t.Context(), Cursor{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var id string
	if err := home.Reader().QueryRowContext(t.Context(), `SELECT event_id FROM outbox WHERE shard = 1 AND seq = 1 AND n = 0`).Scan(&id); err != nil || here[0].ID != id {
		t.Errorf("told under %s, in the home under %s, %v", here[0].ID, id, err)
	}
}

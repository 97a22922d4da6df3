package scripts

import (
	"slices"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// TestPush runs two processes with SQL and measures when the one says what was changed at
// the other: by its poll alone, and told through Redis.
func TestPush(t *testing.T) {
	polled := measurePush(t, 40, nil)
	pushed := measurePush(t, 200, []string{"--redis", servers.Redis(t).URL()})
	if pushed >= polled {
		t.Errorf("half of the changes are seen after %v when they are told, after %v when they are not", pushed, polled)
	}
}

// measurePush gives the median of how long a change takes to the other process.
func measurePush(t *testing.T, changes int, redis []string) time.Duration {
	t.Helper()
	r := newRolesOn(t, []string{"--target", "issue", "--sql", servers.MariaDB(t)}, redis)
	other := r.start("worker-1", append([]string{"--target", "edge,issue"}, r.sql[2:]...)...)
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆"})["product_id"]
	codes := r.issued("pushed", product)
	r.until(other, codes[0], "authentic")
	took := make([]time.Duration, changes)
	for i := range took {
		r.state("recalled", codes[i])
		took[i] = r.until(other, codes[i], "recalled")
	}
	slices.Sort(took)
	t.Logf("from the answer to a change until another process says so, %d changes, told through Redis: %v: p50 %v, p99 %v, worst %v",
		changes, redis != nil, took[changes/2], took[changes*99/100-1], took[changes-1])

	for _, s := range []*harness.Server{other, r.issue} {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
	return took[changes/2]
}

package scripts

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// history asks the process with SQL for the scans of a code.
func (r *roles) history(code string) (scans []json.RawMessage) {
	r.t.Helper()
	var data struct {
		Scans []json.RawMessage `json:"scans"`
	}
	if err := r.issue.Must(r.t.Context(), http.MethodGet, "/api/v1/codes/"+code+"/scans", nil, &data); err != nil {
		r.t.Fatal(err)
	}
	return data.Scans
}

// eventually asks until it is so.
func (r *roles) eventually(what string, is func() bool) {
	r.t.Helper()
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(50 * time.Millisecond); !is(); <-every.C {
		if time.Now().After(end) {
			r.t.Fatalf("%s: not after %v", what, awaitFor)
		}
	}
}

// TestSharedCounts runs four processes: the API, a worker and two edges, over MariaDB
// and Redis. Scans of an item on any edge are counted together, the worker makes records
// of all of them, and what Redis forgets comes back from the summary.
func TestSharedCounts(t *testing.T) {
	redis := servers.Redis(t)
	sql := []string{"--sql", servers.MariaDB(t)}
	r := newRolesOn(t, sql, []string{"--redis", redis.URL()})
	worker := r.start("worker-1", append([]string{"--target", "worker"}, sql...)...)
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆"})["product_id"]
	codes := r.issued("shared", product)
	edges := []*harness.Server{r.startEdge("edge-1"), r.startEdge("edge-2")}

	const rounds = 10
	for i := range 2 * rounds {
		v := r.scan(edges[i%2], codes[0])
		if v.Status != http.StatusOK || v.Partial || v.Count != int64(i+1) || (v.Verdict == "authentic") != (i == 0) {
			t.Fatalf("scan %d: %+v", i+1, v)
		}
	}
	r.eventually("every scan has a record", func() bool { return len(r.history(codes[0])) == 2*rounds })

	r.eventually("the worker shows how far it is", func() bool {
		_, page := r.get(worker, "/metrics")
		return strings.Contains(page, `chopmark_stream_lag_records{group="scan-summary"} 0`)
	})

	if _, err := redis.Command("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	if v := r.scan(edges[0], codes[0]); v.Status != http.StatusOK {
		t.Errorf("after Redis was emptied: %+v", v)
	}
	r.eventually("the count has come back", func() bool {
		before := len(r.history(codes[0]))
		v := r.scan(edges[1], codes[0])
		return !v.Partial && v.Count > 2*rounds && v.Count >= int64(before)
	})

	redis.Kill()
	if v := r.scan(edges[0], codes[1]); v.Status != http.StatusOK || !v.Partial || v.Verdict != "authentic" {
		t.Errorf("without Redis: %+v", v)
	}
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	r.eventually("the scan without Redis is counted", func() bool {
		v := r.scan(edges[1], codes[1])
		return !v.Partial && v.Verdict == "authentic_again" && v.Count == int64(len(r.history(codes[1])))+1
	})
}

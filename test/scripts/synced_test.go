package scripts

import (
	"net/http"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// TestDataSynced has the real binary tell that its records and statistics have every scan:
// one process on its own directory, and a worker that consumes the scans of another
// process, with brands in two databases.
func TestDataSynced(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		r := newRoles(t)
		dataSynced(r, r.issue)
	})
	t.Run("shared", func(t *testing.T) {
		sql := []string{"--sql", servers.MariaDB(t), "--sql-shard", "0=" + servers.MariaDB(t)} // what is of no brand is told in shard 0
		r := newRolesOn(t, sql, []string{"--redis", servers.Redis(t).URL()})
		r.t = t
		r.start("worker-1", append([]string{"--target", "worker"}, sql...)...)
		dataSynced(r, r.startEdge("edge-1"))
	})
}

func dataSynced(r *roles, edge *harness.Server) {
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆"})["product_id"]
	codes := r.issued("scanned", product)
	r.post("/api/v1/tenants", map[string]any{"name": "云岭", "kind": "brand", "brands": []any{brand}}) // of no brand either
	began := time.Now()
	r.until(edge, codes[0], "authentic")
	r.eventually("it is told that records and statistics are whole", func() bool {
		var page struct {
			Events []struct {
				Type, Subject string
				Data          struct {
					What    string
					Through time.Time
				}
			}
		}
		if err := r.issue.Must(r.t.Context(), http.MethodGet, "/api/v1/events?limit=1000", nil, &page); err != nil {
			r.t.Fatal(err)
		}
		told, tenants := map[string]bool{}, 0
		for _, e := range page.Events {
			if e.Type == "tenant_updated" {
				tenants++
			}
			if e.Type != "data.synced" {
				continue
			}
			if e.Subject != e.Data.What || e.Data.Through.After(time.Now()) || e.Data.Through.Before(began.Add(-time.Minute)) {
				r.t.Fatalf("%+v", e)
			}
			told[e.Data.What] = true
		}
		return told["scan_records"] && told["scan_stats"] && len(told) == 2 && tenants == 1
	})
}

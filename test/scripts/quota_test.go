package scripts

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/harness"
)

// TestQuotaOutlivesKill: what a tenant asked of its day is drawn still after a kill -9, but for
// what it asked since it was last written down, and all of it after an orderly end.
func TestQuotaOutlivesKill(t *testing.T) {
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	start := func() *harness.Server {
		t.Helper()
		s, err := harness.Start(t.Context(), bin, data)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		return s
	}
	s := start()
	const perDay, kept, lost = 60, 40, 5
	var tenant struct {
		ID identity.TenantID `json:"tenant_id"`
	}
	var key struct{ Key string }
	if err := s.Must(t.Context(), http.MethodPost, "/api/v1/tenants", map[string]any{"name": "t", "kind": "brand", "requests_per_day": perDay}, &tenant); err != nil {
		t.Fatal(err)
	}
	if err := s.Must(t.Context(), http.MethodPost, "/api/v1/keys", map[string]any{"name": "k", "role": "operator", "tenant_id": tenant.ID}, &key); err != nil {
		t.Fatal(err)
	}
	ask := func(most int) (done int) {
		t.Helper()
		for ; done < most; done++ {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/brands", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+key.Key)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusOK:
			case http.StatusTooManyRequests:
				return done
			default:
				t.Fatalf("GET /api/v1/brands answers %d", resp.StatusCode)
			}
		}
		return done
	}
	begun := time.Now()
	if n := ask(kept); n != kept {
		t.Fatalf("of %d a day only %d were answered", perDay, n)
	}
	written(t, data, tenant.ID, begun.Add(kept*24*time.Hour/perDay))
	ask(lost)
	s.Kill()
	s = start()
	if n := ask(perDay); n < perDay-kept-lost || n > perDay-kept {
		t.Errorf("after a kill %d more are answered, want %d to %d", n, perDay-kept-lost, perDay-kept)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s = start()
	if n := ask(perDay); n > 1 { // one comes back every 24 minutes
		t.Errorf("after an orderly end %d more are answered", n)
	}
}

// written waits until it is on disk that so much is drawn.
func written(t *testing.T, data string, tenant identity.TenantID, until time.Time) {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(data, "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for begun := time.Now(); ; <-look.C {
		drawn, err := identitysql.New(db, clock.System{}).Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !drawn[tenant].Before(until) {
			return
		}
		if time.Since(begun) > time.Minute { // twelve times what it takes
			t.Fatalf("%s is kept, want %s", drawn[tenant], until)
		}
	}
}

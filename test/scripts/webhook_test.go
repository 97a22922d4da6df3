package scripts

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chopmark/chopmark/test/servers"
)

// TestWebhooks has events posted by the real binary: by one process on its own directory,
// and by a worker for what is committed at another process.
func TestWebhooks(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { webhooks(newRoles(t)) })
	t.Run("shared", func(t *testing.T) {
		sql := []string{"--sql", servers.MariaDB(t)}
		r := newRolesOn(t, sql, []string{"--redis", servers.Redis(t).URL()})
		r.t = t
		r.start("worker-1", append([]string{"--target", "worker"}, sql...)...)
		webhooks(r)
	})
}

func webhooks(r *roles) {
	var mu sync.Mutex
	var got []string
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || q.Header.Get("webhook-signature") == "" {
			r.t.Errorf("%v, %v", q.Header, err)
		}
		got = append(got, string(body))
	}))
	r.t.Cleanup(receiver.Close)
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆"})["product_id"]
	r.post("/api/v1/webhooks", map[string]any{"brand_id": brand, "url": receiver.URL})
	codes := r.issued("told", product)
	r.state("recalled", codes[0])
	r.eventually("what was done is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(got, "\n")
		return strings.Contains(all, `"type":"code.generated"`) && strings.Contains(all, `"kind":"recalled"`)
	})
}

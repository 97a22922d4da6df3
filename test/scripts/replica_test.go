package scripts

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// TestReplicaServes runs the program on a primary with a replica: what it answered is in
// its next list, whichever server that is read from, and a replica that is killed is
// missed by nobody.
func TestReplicaServes(t *testing.T) {
	ctx := t.Context()
	bin, err := harness.Build(ctx, t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	primary := servers.StartPrimary(t)
	replica := primary.Replica(t)
	url := primary.Database(t)
	s, err := harness.Start(context.WithoutCancel(ctx), bin, t.TempDir(), "--sql", url, "--sql-read", replica.Same(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err, s.Log())
		}
	})
	r := &roles{t: t, issue: s}
	metrics := func() string { _, page := r.get(s, "/metrics"); return page }
	address := replica.Same(url)[strings.LastIndexByte(url, '@')+1:]
	read := func(is int) string {
		return fmt.Sprintf("chopmark_sql_replica_read{database=\"replica %s\"} %d", address, is)
	}
	r.eventually("the replica is read", func() bool { return strings.Contains(metrics(), read(1)) })
	listed := func(n int) {
		t.Helper()
		var data struct {
			Brands []any `json:"brands"`
		}
		if err := s.Must(ctx, http.MethodGet, "/api/v1/brands?limit=1000", nil, &data); err != nil || len(data.Brands) != n {
			t.Fatalf("%d brands are listed, %d were answered: %v", len(data.Brands), n, err)
		}
	}
	made := 0
	again := func() {
		for range 20 {
			r.post("/api/v1/brands", map[string]any{"name": fmt.Sprint("brand ", made)})
			made++
			listed(made)
		}
	}
	again()
	if got := metrics(); !strings.Contains(got, `db_connections_max{database="replica `+address+`"}`) {
		t.Error("the replica's pool is in no metric")
	}
	replica.Exec(t, "STOP SLAVE SQL_THREAD")
	again()
	replica.Kill()
	again()
	r.eventually("the replica is left out", func() bool { return strings.Contains(metrics(), read(0)) })
}

package identityrpc

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/identity/identitytest"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// TestAuditor: a call has its two entries, by who made it; without the first there is no call.
func TestAuditor(t *testing.T) {
	t.Parallel()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "chopmark.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	identitytest.Migrate(t, db, identitysql.Schema())
	svc := identitytest.Service(t, identity.Config{}, identitysql.New(db, clock.System{}), clock.System{})
	const key = "a-key-that-the-operator-brought-along"
	if _, err := svc.Bootstrap(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	p, err := NewAuthenticator(svc, nil).Authenticate(key)
	if err != nil {
		t.Fatal(err)
	}
	a := NewAuditor(svc, slog.New(slog.DiscardHandler))
	end, err := a.Begin(t.Context(), "/code.CodeService/GenerateCodes", "req-1", &p)
	if err != nil {
		t.Fatal(err)
	}
	entries := func() []identity.Entry {
		t.Helper()
		all, err := svc.Audit(t.Context(), svc.OperatorOfMachine(), "", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := entries(); len(all) != 1 || all[0].Actor != p.ID || all[0].Status != 0 || all[0].Action != "gRPC /code.CodeService/GenerateCodes" || all[0].RequestID != "req-1" {
		t.Fatalf("before the call: %+v", all)
	}
	end(409, []byte(`{"quantity": 5, "reason": "because"}`))
	if all := entries(); len(all) != 2 || all[0].Ends != all[1].N || all[0].Status != 409 || all[0].After != `{"quantity": 5, "reason": "because"}` || all[0].Reason != "because" {
		t.Errorf("after it: %+v", all)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Begin(gone, "/code.CodeService/GenerateCodes", "req-2", &p); !errors.Is(err, context.Canceled) {
		t.Errorf("no entry, and no error: %v", err)
	}
}

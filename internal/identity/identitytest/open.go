package identitytest

import (
	"io/fs"
	"log/slog"
	"testing"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Migrate makes the tables that a store stands on; own is its own schema.
func Migrate(t testing.TB, db *sqldb.DB, own fs.FS) {
	t.Helper()
	for name, schema := range map[string]fs.FS{"outbox": outbox.Schema(), "idem": idem.Schema(), "identity": own} {
		if err := db.Migrate(t.Context(), name, schema); err != nil {
			t.Fatal(err)
		}
	}
}

// Secrets are the suite's.
func Secrets() identity.Secrets {
	return identity.Secrets{People: [32]byte{1}, Search: [32]byte{2}, Audit: [32]byte{3}, Tokens: [32]byte{4}, Replays: [32]byte{5}}
}

// Service makes a service of a store.
func Service(t testing.TB, cfg identity.Config, store identity.Store, c clock.Clock) *identity.Service {
	t.Helper()
	s, err := identity.NewService(t.Context(), cfg, store, Secrets(), c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

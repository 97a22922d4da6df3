package tracesql

import (
	"testing"

	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/trace/tracetest"
)

func world(t *testing.T, fresh sqldbtest.Fresh) tracetest.World {
	open := fresh(t)
	db := open()
	for domain, schema := range map[string]func() error{
		"outbox": func() error { return db.Migrate(t.Context(), "outbox", outbox.Schema()) },
		"trace":  func() error { return db.Migrate(t.Context(), "trace", Schema()) },
	} {
		if err := schema(); err != nil {
			t.Fatal(domain, err)
		}
	}
	return tracetest.World{
		Open:   func() tracetest.Store { return New(open(), tracetest.Clock{At: tracetest.Start()}) },
		At:     func(c *tracetest.Moving) tracetest.Store { return New(open(), c) },
		Outbox: outbox.New(sqldb.One(db)),
	}
}

func TestSuite(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		tracetest.Run(t, func(t *testing.T) tracetest.World { return world(t, fresh) })
	})
}

// TestArrivalOrderMakesNoDifference packs and unpacks at random.
func TestArrivalOrderMakesNoDifference(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		t.Parallel()
		tracetest.Contain(t, func(t *testing.T) tracetest.World { return world(t, fresh) })
	})
}

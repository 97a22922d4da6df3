package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourcehttp"
	"github.com/chopmark/chopmark/internal/source/sourcerpc"
	"github.com/chopmark/chopmark/internal/source/sourcesql"
)

// openSources wires the systems that are asked about items, and what they push. An edge
// without SQL has none: who asks it is shown by a process that has.
func (a *App) openSources() error {
	store, out := sourcesql.Over(a.dbs, a.clock), egress.New(a.SourcePrivate)
	byHTTP, byRPC := sourcehttp.NewClient(out), sourcerpc.NewClient(out)
	a.closers = append(a.closers, byHTTP.Close, byRPC.Close)
	asks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_source_asks_total", Help: "Questions to other systems, by what came of them; late ones count again when they end.",
	}, []string{"source", "result"})
	a.metrics.Registry.MustRegister(asks)
	for _, kind := range source.Kinds() {
		for _, result := range source.Results() {
			asks.WithLabelValues(kind, result)
		}
	}
	var err error
	a.Sources, err = source.NewService(source.Config{
		Secrets: a.keys.sourceSecrets(), Private: a.SourcePrivate, Clock: a.clock, Log: a.log,
		Observe: func(kind, result string) { asks.WithLabelValues(kind, result).Inc() },
	}, source.Deps{
		Store: store, HTTP: byHTTP, RPC: byRPC, Catalog: sourceCatalog{knownBrands{a.Batches}, a.codes}, Tasks: a.tasks,
	})
	if err != nil {
		return err
	}
	a.closers = append(a.closers, a.Sources.Close)
	a.tasks.Handle(sourcesql.TaskImport, store.Importer())
	return nil
}

func (a *App) sourceRoutes(rt *httpx.Router) { sourcehttp.Mount(rt, a.Sources) }

// sourceCatalog shows brands and codes to sources.
type sourceCatalog struct {
	knownBrands
	codes *batch.Reader
}

var _ source.Catalog = sourceCatalog{}

// Find implements source.Catalog.
func (c sourceCatalog) Find(code string) (source.Ask, bool) {
	_, item, err := c.codes.Resolve(code)
	if err != nil {
		return source.Ask{}, false
	}
	b := item.Batch
	return source.Ask{Code: code, Brand: b.BrandID, BatchNo: b.No, Product: b.ProductID}, true
}

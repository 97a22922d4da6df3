package app

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/resolve"
	"github.com/chopmark/chopmark/internal/resolve/resolvefile"
	"github.com/chopmark/chopmark/internal/resolve/resolvehttp"
	"github.com/chopmark/chopmark/internal/resolve/resolverpc"
	"github.com/chopmark/chopmark/internal/resolve/resolvesql"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyhttp"
)

// links is what a process has of the resolver.
type links struct {
	index   *resolve.Index
	service *resolve.Service // nil without SQL
	store   *resolvesql.Store
	journal *resolvefile.Journal // of an edge
	join    *resolverpc.Client   // of an edge
}

const (
	fileLinks = "links.journal"
	hearEvery = 250 * time.Millisecond
)

// openLinks wires the resolver of a process with SQL. Links stay in the home database:
// an anchor has one brand of all, and versions have one order.
func (a *App) openLinks(ctx context.Context) error {
	store, index := resolvesql.New(a.db), resolve.NewIndex()
	a.links = links{index: index, store: store, service: resolve.NewService(store, index, linkCatalog{a.store}, a.clock)}
	if err := a.links.service.CatchUp(ctx); err != nil {
		return err
	}
	if a.SQL != "" { // others change links too
		a.work.Go(func() {
			a.keepHearing(a.background, "changes of links are not heard of; those that are known are answered", a.links.service.CatchUp)
		})
	}
	return nil
}

// edgeLinks opens what an edge knows of links; it hears of the rest once it has joined.
func (a *App) edgeLinks() error {
	journal, records, err := resolvefile.Open(filepath.Join(a.Data, fileLinks))
	if err != nil {
		return err
	}
	a.closers = append(a.closers, journal.Close)
	a.links = links{index: resolve.NewIndex(), journal: journal, join: resolverpc.NewClient(a.edge.join.Conn())}
	return a.links.index.Apply(records)
}

// keepHearing keeps what others change up to date, and says once what is not known while that
// fails.
func (a *App) keepHearing(ctx context.Context, unknown string, catchUp func(context.Context) error) {
	t := time.NewTicker(hearEvery)
	defer t.Stop()
	for failing := false; ; {
		err := catchUp(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			a.log.Warn(unknown, "error", err)
		}
		failing = err != nil
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// hearLinks asks the process that this edge joins for links that were changed.
func (a *App) hearLinks(ctx context.Context) error {
	for {
		known := a.links.index.Version()
		page, err := a.links.join.Changes(ctx, known)
		if err != nil {
			return err
		}
		if page.Head < known { // its database was restored from an older backup
			a.links.index.Reset()
			if err := a.links.journal.Reset(); err != nil {
				return err
			}
			continue
		}
		if len(page.Records) > 0 {
			if err := errors.Join(a.links.journal.Append(page.Records), a.links.index.Apply(page.Records)); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}

// linkRoutes are the resolver's, and come before those that take any digits.
func (a *App) linkRoutes(rt *httpx.Router, scans *verifyhttp.Handler) {
	items := linkItems{a.Verify, scans}
	h := resolvehttp.New(resolvehttp.Deps{
		Resolver: resolve.NewResolver(a.links.index, items), Verifier: items, Item: scans.Item,
		Country: func(r *http.Request) string {
			if place := a.places.Of(a.proxies.Client(r)); place != nil {
				return place.Country
			}
			return ""
		},
		Pages: pages{a.site, a.proj, a.texts}, Proxies: a.proxies, Limits: a.httpLimits(), BrandOf: a.brandOf, URL: a.URL, Clock: a.clock, Log: a.log,
	})
	scans.Compressed = h.Compressed
	h.Mount(rt)
}

// linkItems shows items to the resolver in its words.
type linkItems struct {
	verify *verify.Service
	scans  *verifyhttp.Handler
}

var (
	_ resolve.Items        = linkItems{}
	_ resolvehttp.Verifier = linkItems{}
)

// Item implements resolve.Items.
func (l linkItems) Item(ctx context.Context, code codebook.Code, gtin gs1.GTIN, lot string) (resolve.Item, bool, error) {
	found, err := l.verify.Target(ctx, code, gtin, lot)
	if errors.Is(err, verify.ErrRefused) || err == nil && found == nil {
		return resolve.Item{}, false, nil
	}
	if err != nil {
		return resolve.Item{}, false, err
	}
	page, err := l.scans.Page(code, found)
	return resolve.Item{Brand: found.BrandID, Batch: found.BatchID, No: found.No, Page: page}, err == nil, err
}

// Verification implements resolvehttp.Verifier. A display mark without its token proves
// nothing, so it is not known; what cannot be confirmed now is not answered.
func (l linkItems) Verification(ctx context.Context, code codebook.Code, gtin gs1.GTIN, from netip.Addr) (v resolvehttp.Verification, _ error) {
	item, known, err := l.Item(ctx, code, gtin, "")
	if err != nil || !known {
		return v, err
	}
	var answer verify.Answer
	err = l.verify.Verify(ctx, &verify.Query{Code: code, Source: verify.FromAPI, Client: verify.Client{IP: from}}, &answer)
	switch {
	case errors.Is(err, verify.ErrRefused):
		return v, nil
	case err != nil:
		return v, err
	case answer.Verdict == verify.Unconfirmed:
		return v, verify.ErrUnreachable
	}
	return resolvehttp.Verification{
		Known: true, Item: item, Lot: answer.Item.BatchNo, ExpiresAt: answer.Item.ExpiresAt,
		Recalled: answer.Verdict == verify.Recalled, Valid: answer.Verdict.Valid(),
	}, nil
}

// linkCatalog shows brands and batches to the resolver.
type linkCatalog struct{ store *batchsql.Sharded }

var _ resolve.Catalog = linkCatalog{}

// Brand implements resolve.Catalog.
func (c linkCatalog) Brand(ctx context.Context, id ids.BrandID) error {
	_, err := c.store.Brand(ctx, id)
	return err
}

// Batch implements resolve.Catalog.
func (c linkCatalog) Batch(ctx context.Context, id ids.BatchID) (ids.BrandID, int64, error) {
	b, err := c.store.Batch(ctx, id)
	return b.BrandID, b.Quantity, err
}

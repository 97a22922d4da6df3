package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findhttp"
	"github.com/chopmark/chopmark/internal/find/findsearch"
	"github.com/chopmark/chopmark/internal/find/findsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/trace"
)

const (
	dirWords   = "search" // the index of words, under the data directory
	wordsGroup = "search-words"
	wordsLife  = 15 * time.Second // of the lease
	wordsPage  = 200              // of an order that are read at once
	wordsEPCs  = 32               // of an event
)

// openWords opens the index of words: at the search server, which one process feeds for all,
// or in a file that each process with the API has for itself.
func (a *App) openWords(ctx context.Context, places timeline.Places) error {
	sum := sha256.Sum256([]byte(a.keys.present().Current(keyset.Codebook).ID))
	owner := hex.EncodeToString(sum[:8])
	f := find.Follower{Clock: a.clock, Log: a.log, Sources: map[string]find.Source{
		"products": productWords{a.store}, "catalog": catalogWords{a.store}, "places": placeWords{places}, "events": eventWords{a.standing},
	}}
	switch {
	case a.Search != "":
		client, err := search.Open(a.Search)
		if err != nil {
			return usage("search", "%v", err)
		}
		leases := lease.New(a.db, ids.New("proc"), a.clock)
		f.Index, f.Lead = findsearch.New(client, owner), func(ctx context.Context) (bool, error) {
			_, ok, err := leases.Hold(ctx, wordsGroup, wordsLife)
			return ok, err
		}
	case a.Runs(RoleIssue):
		index, err := findsql.Open(ctx, filepath.Join(a.Data, dirWords), owner, a.log)
		if err != nil {
			return err
		}
		f.Index, a.closers = index, append(a.closers, index.Close)
	default: // nobody asks here
		return nil
	}
	written := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chopmark_search_documents_total", Help: "Documents that this process wrote into the search index, by kind.",
	}, []string{"kind"})
	failed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "chopmark_search_feed_failures_total", Help: "Times that the search index could not be fed; it is tried again.",
	})
	a.metrics.Registry.MustRegister(written, failed)
	for _, k := range find.Kinds() {
		written.WithLabelValues(string(k))
	}
	f.Failed = failed.Inc
	f.Written = func(all []find.Document) {
		for i := range all {
			written.WithLabelValues(string(all[i].Kind)).Inc()
		}
	}
	a.words = find.NewFollower(f)
	return nil
}

// feedWords lets the index follow: each process its own, of several with one server a worker
// that leads.
func (a *App) feedWords() {
	if a.words == nil || a.words.Lead != nil && !a.Runs(RoleWorker) {
		return
	}
	a.onCommit = append(a.onCommit, a.words.Wake)
	a.work.Go(func() { a.words.Run(a.background) })
}

func (a *App) wordRoutes(rt *httpx.Router) {
	findhttp.Mount(rt, find.NewService(a.words.Index), knownBrands{a.Batches})
}

// upTo is where a page of an order ends: at its last, or, when that was all, at the head.
func upTo(rows int, last, head int64) int64 {
	if rows < wordsPage {
		return max(head, last)
	}
	return last
}

// productWords are products in the order of their numbers.
type productWords struct{ store *batchsql.Sharded }

var _ find.Source = productWords{}

// Heads implements find.Source.
func (s productWords) Heads(ctx context.Context) ([]int64, error) { return s.store.ProductHeads(ctx) }

// Since implements find.Source.
func (s productWords) Since(ctx context.Context, order int, after, head int64) (all []find.Document, _ int64, _ error) {
	page, err := s.store.ProductsSince(ctx, order, after, wordsPage)
	for i := range page {
		all, after = append(all, wordsOf(&page[i], 0)), int64(page[i].ID)
	}
	return all, upTo(len(page), after, head), err
}

func wordsOf(p *batch.Product, version int64) find.Document {
	id := strconv.Itoa(int(p.ID))
	return find.Document{
		Kind: find.Product, ID: id, Brand: p.BrandID, Title: p.Name, Words: []string{string(p.GTIN), p.Description, id}, At: p.CreatedAt, Version: version,
	}
}

// catalogWords are batches, and products whose texts were changed, in the order of the feed.
type catalogWords struct{ store *batchsql.Sharded }

var _ find.Source = catalogWords{}

// Heads implements find.Source.
func (s catalogWords) Heads(ctx context.Context) ([]int64, error) {
	heads, err := s.store.FeedHeads(ctx)
	return heads[:], err
}

// Since implements find.Source.
func (s catalogWords) Since(ctx context.Context, order int, after, head int64) (all []find.Document, _ int64, _ error) {
	page, err := s.store.CatalogSince(ctx, ids.Shard(order), after, wordsPage)
	if err != nil {
		return nil, 0, err
	}
	for i := range page {
		after = page[i].Seq
		switch e := &page[i]; {
		case e.Kind == batch.BatchCreated:
			b := e.Batch
			all = append(all, find.Document{
				Kind: find.Batch, ID: string(b.ID), Brand: b.BrandID, Title: b.No, Words: []string{b.Description, b.ProductionDate, string(b.ID)},
				At: b.CreatedAt, Version: e.Seq,
			})
		case e.Texts.ProductID != 0: // 0 = the brand's name
			p, err := s.store.Product(ctx, e.Texts.ProductID)
			if err != nil {
				return nil, 0, err
			}
			all = append(all, wordsOf(&p, e.Seq))
		}
	}
	return all, upTo(len(page), after, head), nil
}

// placeWords are places in the order of their last changes.
type placeWords struct{ store timeline.Places }

var _ find.Source = placeWords{}

// Heads implements find.Source.
func (s placeWords) Heads(ctx context.Context) ([]int64, error) { return s.store.PlaceHeads(ctx) }

// Since implements find.Source.
func (s placeWords) Since(ctx context.Context, order int, after, head int64) (all []find.Document, _ int64, _ error) {
	page, err := s.store.PlacesSince(ctx, order, after, wordsPage)
	for _, c := range page {
		p := c.Place
		after = c.No
		all = append(all, find.Document{
			Kind: find.Place, ID: p.ID, Brand: c.Brand, Title: p.Name, Words: []string{p.ID, p.Kind}, Version: c.No, Gone: c.Gone,
		})
	}
	return all, upTo(len(page), after, head), err
}

// eventWords are EPCIS events in the order of capture.
type eventWords struct{ standing *trace.Standing }

var _ find.Source = eventWords{}

// Heads implements find.Source.
func (s eventWords) Heads(ctx context.Context) ([]int64, error) {
	heads, err := s.standing.CaptureHeads(ctx)
	return heads[:], err
}

// Since implements find.Source.
func (s eventWords) Since(ctx context.Context, order int, after, head int64) (all []find.Document, _ int64, _ error) {
	head = min(head, after+wordsPage)
	page, err := s.standing.Briefs(ctx, ids.Shard(order), after+1, head, wordsEPCs)
	for i := range page {
		b := &page[i]
		d := find.Document{Kind: find.Event, ID: b.ID, Brand: b.Brand, Title: b.Type, Words: b.Words, At: b.Time, Version: b.No}
		if b.Step != "" {
			d.Title = b.Step
		}
		all = append(all, d)
	}
	return all, head, err
}

package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findhttp"
	"github.com/chopmark/chopmark/internal/find/findsearch"
	"github.com/chopmark/chopmark/internal/find/findsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/timeline"
	"github.com/chopmark/chopmark/internal/timeline/timelineevent"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/traceevent"
)

const (
	dirWords    = "search" // the index of words, under the data directory
	wordsGroup  = "search-words"
	wordsLife   = 15 * time.Second // of the lease
	wordsPage   = 100              // events of the outbox that are read at once
	wordsBatch  = 500              // documents that are written at once
	wordsEPCs   = 32               // of an event
	wordsPoll   = time.Second
	wordsRetry  = 5 * time.Second
	wordsPauses = time.Second // the longest pause between two writes
)

// openWords opens the index of words: at the search server, which one process feeds for all,
// or in a file that each process with the API has for itself.
func (a *App) openWords(ctx context.Context) error {
	sum := sha256.Sum256([]byte(a.keys.present().Current(keyset.Codebook).ID))
	owner := hex.EncodeToString(sum[:8])
	f := &wordFeeder{
		trace: a.Trace, batches: a.Batches, places: a.Stories.Store, outbox: a.outbox, clock: a.clock, log: a.log, woken: make(chan struct{}, 1),
		written: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chopmark_search_documents_total", Help: "Documents that this process wrote into the search index, by kind.",
		}, []string{"kind"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chopmark_search_feed_failures_total", Help: "Times that the search index could not be fed; it is tried again.",
		}),
	}
	switch {
	case a.Search != "":
		client, err := search.Open(a.Search)
		if err != nil {
			return usage("search", "%v", err)
		}
		f.index, f.leases = findsearch.New(client, owner), lease.New(a.db, ids.New("proc"), a.clock)
	case a.Runs(RoleIssue):
		index, err := findsql.Open(ctx, filepath.Join(a.Data, dirWords), owner, a.log)
		if err != nil {
			return err
		}
		f.index, a.closers = index, append(a.closers, index.Close)
	default: // nobody asks here
		return nil
	}
	a.words = f
	a.metrics.Registry.MustRegister(f.written, f.failed)
	for _, k := range find.Kinds() {
		f.written.WithLabelValues(string(k))
	}
	return nil
}

// feedWords lets the index follow what is told: each process its own, of several with one
// server who leads.
func (a *App) feedWords() {
	if a.words == nil || a.words.leases != nil && !a.Runs(RoleWorker) {
		return
	}
	a.onCommit = append(a.onCommit, a.words.wake)
	a.work.Go(func() { a.words.run(a.background) })
}

func (a *App) wordRoutes(rt *httpx.Router) { findhttp.Mount(rt, find.NewService(a.words.index)) }

// wordFeeder writes into an index what was told. A document is what is there when it is
// written, under the number of the news: what comes again changes nothing, and what comes
// late takes the place of nothing newer.
type wordFeeder struct {
	index   find.Index
	leases  *lease.Leases // nil = the index is this process's own
	trace   *trace.Service
	batches *batch.Service
	places  timeline.Store
	outbox  *outbox.Outbox
	clock   clock.Clock
	log     *slog.Logger
	woken   chan struct{}
	written *prometheus.CounterVec
	failed  prometheus.Counter
}

func (f *wordFeeder) wake() {
	select {
	case f.woken <- struct{}{}:
	default:
	}
}

func (f *wordFeeder) run(ctx context.Context) {
	ctx = ids.WithScope(ctx, ids.AllBrands())
	if f.leases != nil {
		defer func() { _ = f.leases.Release(context.WithoutCancel(ctx), wordsGroup) }() // or it runs out
	}
	for ctx.Err() == nil {
		pause := wordsPoll
		if err := f.follow(ctx); err != nil && ctx.Err() == nil {
			f.failed.Inc()
			f.log.Warn("the search index is not fed, will try again", "error", err)
			pause = wordsRetry
		}
		f.rest(ctx, pause, nil)
	}
}

// rest waits for a time, or until it is woken.
func (f *wordFeeder) rest(ctx context.Context, long time.Duration, woken <-chan struct{}) {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-woken:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (f *wordFeeder) leads(ctx context.Context) (bool, error) {
	if f.leases == nil {
		return true, nil
	}
	_, ok, err := f.leases.Hold(ctx, wordsGroup, wordsLife)
	return ok, err
}

// follow goes on from where the index stands, for as long as this process leads.
func (f *wordFeeder) follow(ctx context.Context) error {
	ok, err := f.leads(ctx)
	if err != nil || !ok {
		return err
	}
	standing, at, err := f.begin(ctx)
	for err == nil && ctx.Err() == nil {
		if ok, err := f.leads(ctx); err != nil || !ok {
			return err
		}
		began := f.clock.Now()
		events, next, err := f.outbox.Read(ctx, at, wordsPage)
		if err != nil {
			return err
		}
		if next == at {
			if !standing.Filled {
				standing.Filled = true
				if err := f.index.Apply(ctx, nil, standing); err != nil {
					return err
				}
			}
			f.rest(ctx, wordsPoll, f.woken)
			continue
		}
		w := &words{f: f, standing: standing}
		for i := range events {
			if err := w.told(ctx, &events[i]); err != nil {
				return fmt.Errorf("words of event %s: %w", events[i].ID, err)
			}
		}
		at, standing.Cursor = next, next.String()
		if err := w.flush(ctx, standing); err != nil {
			return err
		}
		// as long as it worked: who waits for an answer comes first
		f.rest(ctx, min(f.clock.Now().Sub(began), wordsPauses), nil)
	}
	return err
}

// begin gives where to go on. An empty index, and one of a history that is not ours, is
// filled with what is not told again: products and places.
func (f *wordFeeder) begin(ctx context.Context) (standing find.Standing, at outbox.Cursor, _ error) {
	standing, err := f.index.Standing(ctx)
	if err != nil {
		return standing, at, err
	}
	if standing.Cursor != "" {
		heads, err := f.outbox.Heads(ctx)
		if err != nil {
			return standing, at, err
		}
		at, err = outbox.ParseCursor(standing.Cursor)
		behind := err == nil
		for shard := range at {
			behind = behind && at[shard] <= heads[shard]
		}
		if behind {
			return standing, at, nil
		}
	}
	standing = find.Standing{Cursor: outbox.Cursor{}.String()}
	w := &words{f: f}
	if err := w.catalog(ctx); err != nil {
		return standing, at, err
	}
	return standing, outbox.Cursor{}, w.flush(ctx, standing)
}

// words gathers documents.
type words struct {
	f        *wordFeeder
	standing find.Standing // of the index
	all      []find.Document
}

func (w *words) flush(ctx context.Context, to find.Standing) error {
	if len(w.all) == 0 && to == w.standing {
		return nil
	}
	if err := w.f.index.Apply(ctx, w.all, to); err != nil {
		return err
	}
	for i := range w.all {
		w.f.written.WithLabelValues(string(w.all[i].Kind)).Inc()
	}
	w.all, w.standing = nil, to
	return nil
}

func (w *words) add(ctx context.Context, d find.Document) error {
	if w.all = append(w.all, d); len(w.all) < wordsBatch {
		return nil
	}
	if ok, err := w.f.leads(ctx); err != nil || !ok {
		return errors.Join(err, errNotLeading)
	}
	return w.flush(ctx, w.standing)
}

var errNotLeading = errors.New("another process feeds the search index now")

const catalogPage = 500

// catalog adds all products and places.
func (w *words) catalog(ctx context.Context) error {
	for after := ids.ProductID(0); ; {
		page, err := w.f.batches.Products(ctx, 0, after, catalogPage)
		if err != nil {
			return err
		}
		for i := range page {
			after = page[i].ID
			if err := w.add(ctx, productWords(&page[i], 0)); err != nil {
				return err
			}
		}
		if len(page) < catalogPage {
			break
		}
	}
	for after := ids.BrandID(0); ; {
		page, err := w.f.batches.Brands(ctx, after, catalogPage)
		if err != nil {
			return err
		}
		for i := range page {
			after = page[i].ID
			if err := w.placesOf(ctx, after); err != nil {
				return err
			}
		}
		if len(page) < catalogPage {
			return nil
		}
	}
}

func (w *words) placesOf(ctx context.Context, brand ids.BrandID) error {
	for after := ""; ; {
		page, err := w.f.places.Places(ctx, brand, after, catalogPage)
		if err != nil {
			return err
		}
		for _, p := range page {
			after = p.ID
			if err := w.add(ctx, placeWords(brand, p, 0)); err != nil {
				return err
			}
		}
		if len(page) < catalogPage {
			return nil
		}
	}
}

// told adds what an event is about, as it is now.
func (w *words) told(ctx context.Context, e *outbox.Event) error {
	switch e.Type {
	case batchevent.ProductChanged:
		var of batchevent.Product
		if err := json.Unmarshal(e.Data, &of); err != nil {
			return err
		}
		p, err := w.f.batches.Product(ctx, ids.ProductID(of.ProductID))
		if err != nil {
			return err
		}
		return w.add(ctx, productWords(&p, e.Seq))
	case batchevent.CodeGenerated:
		var of batchevent.Generated
		if err := json.Unmarshal(e.Data, &of); err != nil || of.Kind != "batch" {
			return err
		}
		b, err := w.f.batches.Batch(ctx, ids.BatchID(of.BatchID))
		if err != nil {
			return err
		}
		return w.add(ctx, find.Document{
			Kind: find.Batch, ID: string(b.ID), Brand: b.BrandID, Title: b.No, Words: []string{b.Description, b.ProductionDate, string(b.ID)},
			At: b.CreatedAt, Version: e.Seq,
		})
	case timelineevent.PlaceChanged:
		return w.toldPlaces(ctx, e)
	case traceevent.TraceCaptured:
		return w.toldEvents(ctx, e)
	}
	return nil
}

func (w *words) toldPlaces(ctx context.Context, e *outbox.Event) error {
	var of timelineevent.Places
	if err := json.Unmarshal(e.Data, &of); err != nil {
		return err
	}
	named, err := w.f.places.Named(ctx, e.BrandID, of.PlaceIDs)
	if err != nil {
		return err
	}
	there := map[string]timeline.Place{}
	for _, p := range named {
		there[p.ID] = p
	}
	for _, id := range of.PlaceIDs {
		d := find.Document{Kind: find.Place, ID: id, Brand: e.BrandID, Version: e.Seq, Gone: true}
		if p, ok := there[id]; ok {
			d = placeWords(e.BrandID, p, e.Seq)
		}
		if err := w.add(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (w *words) toldEvents(ctx context.Context, e *outbox.Event) error {
	var of traceevent.Captured
	if err := json.Unmarshal(e.Data, &of); err != nil {
		return err
	}
	for _, name := range of.EventIDs {
		h, ok := trace.ParseHash(name)
		if !ok {
			return fmt.Errorf("%q is no hash", name)
		}
		b, ok, err := w.f.trace.Brief(ctx, e.BrandID, h, wordsEPCs)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		d := find.Document{Kind: find.Event, ID: name, Brand: e.BrandID, Title: b.Type, Words: b.Words, At: b.Time, Version: e.Seq}
		if b.Step != "" {
			d.Title = b.Step
		}
		if err := w.add(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func productWords(p *batch.Product, version int64) find.Document {
	id := strconv.Itoa(int(p.ID))
	return find.Document{
		Kind: find.Product, ID: id, Brand: p.BrandID, Title: p.Name, Words: []string{string(p.GTIN), p.Description, id}, At: p.CreatedAt, Version: version,
	}
}

func placeWords(brand ids.BrandID, p timeline.Place, version int64) find.Document {
	return find.Document{Kind: find.Place, ID: p.ID, Brand: brand, Title: p.Name, Words: []string{p.ID, p.Kind}, Version: version}
}

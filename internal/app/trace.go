package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracehttp"
	"github.com/chopmark/chopmark/internal/trace/tracesql"
	"github.com/chopmark/chopmark/internal/verify"
)

// openTrace wires the repository of EPCIS events, and the lines whose events it keeps.
func (a *App) openTrace() {
	store := tracesql.Over(a.dbs, a.clock)
	a.closers = append(a.closers, store.Close)
	a.Trace = trace.NewService(trace.UsualLimits(), store, store, store, codedItems{a.codes, a.keys.items, a.texts, a.proj}, a.clock)
	a.standing = trace.NewStanding(a.Trace, store, tracePost{a.notify})
	a.onCommit = append(a.onCommit, a.standing.Wake)
	a.openLines()
}

func (a *App) traceRoutes(stopping context.Context, rt *httpx.Router) {
	tracehttp.Mount(rt, tracehttp.Deps{
		Service: a.Trace, Standing: a.standing, Clock: a.clock, Log: a.log, Version: a.Version, Stopping: stopping,
	})
}

const (
	subscriptionGroup = "subscription-group"
	subscriptionLife  = 15 * time.Second // of the lease
)

// sendSubscriptions puts what subscriptions ask for into the post. Of several processes one
// works.
func (a *App) sendSubscriptions(sent func()) {
	leases := lease.New(a.db, ids.New("proc"), a.clock)
	d := trace.NewDispatcher(a.standing, a.log, sent)
	a.work.Go(func() {
		d.Run(a.background, func(ctx context.Context) (bool, error) {
			_, ok, err := leases.Hold(ctx, subscriptionGroup, subscriptionLife)
			return ok, err
		})
		_ = leases.Release(context.WithoutCancel(a.background), subscriptionGroup) // or it runs out
	})
}

// tracePost sends subscriptions' documents by the courier of webhooks.
type tracePost struct{ svc *notify.Service }

var _ trace.Post = tracePost{}

func address(subscription string) notify.EndpointID {
	return notify.EndpointID("whk_" + strings.TrimPrefix(subscription, "sub_"))
}

// Open implements trace.Post.
func (p tracePost) Open(ctx context.Context, s *trace.Subscription, token string) error {
	return p.svc.OpenFed(ctx, address(s.ID), s.CreatedBy, s.Brand, s.Dest, token)
}

// Close implements trace.Post.
func (p tracePost) Close(ctx context.Context, subscription string) error {
	return p.svc.Remove(ctx, address(subscription))
}

// Send implements trace.Post.
func (p tracePost) Send(ctx context.Context, subscription, document string, body []byte) error {
	return p.svc.Feed(ctx, address(subscription), document, body)
}

// OnTheWay implements trace.Post.
func (p tracePost) OnTheWay(ctx context.Context, subscription, document string) (waiting, dead bool, _ error) {
	return p.svc.OnTheWay(ctx, address(subscription), document)
}

// GivenUp implements trace.Post.
func (p tracePost) GivenUp(ctx context.Context, subscriptions []string) (map[string]trace.GivenUp, error) {
	of := make([]notify.EndpointID, len(subscriptions))
	for i, s := range subscriptions {
		of[i] = address(s)
	}
	all, err := p.svc.GivenUp(ctx, of)
	if err != nil {
		return nil, err
	}
	out := make(map[string]trace.GivenUp, len(all))
	for _, s := range subscriptions {
		if g, ok := all[address(s)]; ok {
			out[s] = trace.GivenUp(g)
		}
	}
	return out, nil
}

// codedItems shows coded items to trace. The product's GTIN comes with its cached texts.
type codedItems struct {
	codes *batch.Reader
	items *codebook.Items
	texts *verify.TextCache
	proj  *batch.Projection
}

var _ trace.Items = codedItems{}

// Finder implements trace.Items.
func (c codedItems) Finder() trace.Finder {
	var product ids.ProductID
	var gtin gs1.GTIN // of that product
	return func(code string) (trace.Item, bool, error) {
		serial, item, err := c.codes.Resolve(code)
		if err != nil {
			return trace.Item{}, false, nil //nolint:nilerr // a code of nobody's is an answer
		}
		b := item.Batch
		if b.ProductID != product {
			text, err := c.texts.Text(context.Background(), &verify.Item{Serial: serial, ProductID: b.ProductID, BrandID: b.BrandID})
			if err != nil {
				return trace.Item{}, false, fmt.Errorf("load the GTIN of product %d: %w", b.ProductID, err)
			}
			product, gtin = b.ProductID, text.GTIN
		}
		return trace.Item{Serial: serial, Brand: b.BrandID, GTIN: gtin}, true, nil
	}
}

// Code implements trace.Items.
func (c codedItems) Code(s ids.Serial) string {
	code := c.items.Code(s)
	return code.String()
}

// Prefixes implements trace.Items.
func (c codedItems) Prefixes(brand ids.BrandID) []string { return c.proj.Settings(brand).GS1Prefixes }

// containers shows what is packed in what to batch. Trace is opened after it.
type containers struct{ app *App }

var _ batch.Containers = containers{}

// Inside implements batch.Containers.
func (c containers) Inside(ctx context.Context, container string) ([]batch.SerialRun, error) {
	in, err := c.app.Trace.Contents(ctx, 0, container, c.app.clock.Now(), true)
	out := make([]batch.SerialRun, len(in.Runs))
	for i, r := range in.Runs {
		out[i] = batch.SerialRun{From: r.From, To: r.To}
	}
	return out, err
}

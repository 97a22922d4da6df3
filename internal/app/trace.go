package app

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/tracehttp"
	"github.com/chopmark/chopmark/internal/trace/tracesql"
	"github.com/chopmark/chopmark/internal/verify"
)

// openTrace wires the repository of EPCIS events.
func (a *App) openTrace() {
	store := tracesql.Over(a.dbs, a.clock)
	a.closers = append(a.closers, store.Close)
	a.Trace = trace.NewService(trace.UsualLimits(), store, store, codedItems{a.codes, a.keys.items, a.texts}, a.clock)
}

func (a *App) traceRoutes(rt *httpx.Router) {
	tracehttp.Mount(rt, tracehttp.Deps{Service: a.Trace, Clock: a.clock, Log: a.log, Version: a.Version})
}

// codedItems shows coded items to trace. The product's GTIN comes with its cached texts.
type codedItems struct {
	codes *batch.Reader
	items *codebook.Items
	texts *verify.TextCache
}

var _ trace.Items = codedItems{}

// Find implements trace.Items.
func (c codedItems) Find(code string) (trace.Item, bool, error) {
	serial, item, err := c.codes.Resolve(code)
	if err != nil {
		return trace.Item{}, false, nil //nolint:nilerr // a code of nobody's is an answer
	}
	b := item.Batch
	text, err := c.texts.Text(context.Background(), &verify.Item{Serial: serial, ProductID: b.ProductID, BrandID: b.BrandID})
	if err != nil {
		return trace.Item{}, false, fmt.Errorf("load the GTIN of product %d: %w", b.ProductID, err)
	}
	return trace.Item{Serial: serial, Brand: b.BrandID, GTIN: text.GTIN}, true, nil
}

// Code implements trace.Items.
func (c codedItems) Code(s ids.Serial) string {
	code := c.items.Code(s)
	return code.String()
}

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

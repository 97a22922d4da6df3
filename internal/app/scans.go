package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/site"
	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyhttp"
)

// itemView shows the batch projection to verify in its own words.
type itemView struct{ proj *batch.Projection }

var _ verify.Items = itemView{}

// Lookup implements verify.Items.
func (v itemView) Lookup(s ids.Serial) (verify.Item, bool) {
	it, ok := v.proj.Lookup(s)
	if !ok {
		return verify.Item{}, false
	}
	b := it.Batch
	return verify.Item{
		Serial: s, BatchID: b.ID, BatchNo: b.No, ProductID: b.ProductID, BrandID: b.BrandID, No: it.No,
		State: it.State, Display: b.Mark == batch.Display, RotateEvery: b.RotateEvery, InnerKeyID: b.InnerKeyID, SignatureKeyID: b.SignatureKeyID,
		ExpiresAt: b.ExpiresAt, ProductionDate: b.ProductionDate, CreatedAt: b.CreatedAt, HasExtra: it.HasExtra(),
	}, true
}

// Extra implements verify.Items.
func (v itemView) Extra(s ids.Serial) (verify.Extra, error) {
	it, ok := v.proj.Lookup(s)
	if !ok {
		return verify.Extra{}, verify.ErrRefused
	}
	e, err := v.proj.Extra(s, it)
	return verify.Extra{Version: e.Version, Superseded: e.Superseded, InnerAt: e.InnerAt}, err
}

// Note implements verify.Items. A sale happened when the caller said, else when it
// was told.
func (v itemView) Note(s ids.Serial) (verify.Note, bool, error) {
	it, ok := v.proj.Lookup(s)
	if !ok {
		return verify.Note{}, false, nil
	}
	n, ok, err := v.proj.Note(s, it)
	if n.At.IsZero() {
		n.At = n.Effective
	}
	return verify.Note{At: n.At, Place: n.Place, Reason: n.Reason}, ok, err
}

// innerTries counts tries of inner codes in the batch domain.
type innerTries struct{ svc *batch.Service }

var _ verify.InnerTries = innerTries{}

// TryInner implements verify.InnerTries.
func (t innerTries) TryInner(ctx context.Context, item *verify.Item, right bool) (verify.Tried, error) {
	rec, err := t.svc.TryInner(ctx, ids.Request{}, item.Serial, right, verify.InnerTriesMax)
	return verify.Tried{Tries: rec.Tries, FirstAt: rec.FirstAt, Locked: rec.Locked}, err
}

// tokenLinks makes token links for answers to scans.
type tokenLinks struct{ codes *batch.Reader }

var _ verifyhttp.Links = tokenLinks{}

// TokenPath implements verifyhttp.Links.
func (t tokenLinks) TokenPath(item *verify.Item) (string, error) {
	it, ok := t.codes.Projection().Lookup(item.Serial)
	if !ok {
		return "", verify.ErrRefused
	}
	l, err := t.codes.LinkOf(item.Serial, it)
	if err != nil {
		return "", err
	}
	return "/" + t.codes.Code(it.Batch, it.No).String() + "/" + l.Token.String(), nil
}

// productText loads what a consumer reads of a product.
func productText(ctx context.Context, svc *batch.Service, id ids.ProductID) (verify.Text, error) {
	p, err := svc.Product(ctx, id)
	if err != nil {
		return verify.Text{}, fmt.Errorf("load product %d: %w", id, err)
	}
	b, err := svc.Brand(ctx, p.BrandID)
	if err != nil {
		return verify.Text{}, fmt.Errorf("load brand %d: %w", p.BrandID, err)
	}
	return verify.Text{Name: p.Name, Brand: b.Name, Help: p.Help, GTIN: p.GTIN, BrandID: b.ID}, nil
}

// warm loads the texts of the products that were scanned most of late, then those of
// others, as many as a usual brand has.
func (a *App) warm(ctx context.Context) {
	var products []ids.ProductID
	top, err := a.Scans.Top(ctx, scan.Question{From: a.clock.Now().Add(-24 * time.Hour)}, scan.ByProduct, scan.TopMax)
	if err == nil {
		for _, line := range top.Lines {
			products = append(products, line.Product)
		}
		var more []batch.Product
		if more, err = a.Batches.Products(ctx, 0, 0, warmMax); err == nil {
			for i := range more {
				products = append(products, more[i].ID)
			}
			err = a.texts.Warm(ctx, products)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.log.Warn("product texts were not loaded ahead; scans load them", "error", err)
	}
}

const warmMax = 1000

// pages shows answers with the site's pages.
type pages struct {
	site  *site.Site
	proj  *batch.Projection
	texts *verify.TextCache
}

var _ verifyhttp.Pages = pages{}

// Verdict implements verifyhttp.Pages.
func (p pages) Verdict(w io.Writer, v *verifyhttp.View) error {
	a := v.Answer
	page := site.Page{
		Lang: v.Lang, Verdict: a.Verdict.String(), Code: v.Code,
		Product: site.Product{
			Name: a.Text.Name, Brand: a.Text.Brand, BatchNo: a.Item.BatchNo,
			ProductionDate: a.Item.ProductionDate, Help: a.Text.Help,
		},
		ScanCount: a.Seen.Count, Sessions: a.Seen.Sessions, FirstScan: site.Event{At: a.Seen.FirstAt, Place: a.Seen.FirstIn},
		ExpiresAt: a.Item.ExpiresAt, Since: a.Since, TokenPath: v.TokenPath, Zone: pageZone(v),
	}
	if !a.Item.Display {
		page.Story = "/api/v1/trace/" + v.Code
	}
	switch a.Verdict {
	case verify.Recalled:
		page.Since, page.Reason = a.RecalledAt, a.Recall
	case verify.Unconfirmed:
		page.Since = a.AsOf
	}
	if !a.SoldAt.IsZero() {
		page.Sold = &site.Event{At: a.SoldAt, Place: a.SoldIn}
	}
	if in := a.Inner; in != nil {
		page.Inner = &site.Inner{Asked: in.Asked, OK: in.OK, TriesLeft: in.TriesLeft}
		if !in.First { // for the first right one there is no earlier time to warn of
			page.Inner.FirstAt = in.FirstAt
		}
	}
	chosen := p.proj.Settings(a.Item.BrandID)
	if chosen.Logo != "" {
		page.Logo = "/api/v1/images/" + chosen.Logo
	}
	if chosen.HidePlaces {
		page.FirstScan.Place = ""
		if page.Sold != nil {
			page.Sold.Place = ""
		}
	}
	return p.site.Render(w, page)
}

// pageZone is the zone that times are shown in: the one asked for, else China's for
// readers of Chinese.
func pageZone(v *verifyhttp.View) *time.Location {
	if v.Zone != nil || v.Lang != "zh" {
		return v.Zone
	}
	return chinaTime
}

var chinaTime = time.FixedZone("UTC+8", 8*60*60)

// Refused implements verifyhttp.Pages.
func (p pages) Refused(w io.Writer, lang string) error {
	return p.site.Render(w, site.Page{Lang: lang, Verdict: verify.Unknown.String()})
}

// ContentSecurityPolicy implements verifyhttp.Pages.
func (p pages) ContentSecurityPolicy() string { return p.site.CSP() }

// Malformed implements verifyhttp.Pages.
func (p pages) Malformed(w io.Writer, lang, reason string) error {
	if lang != "en" {
		reason = "" // it is told in English, to who makes links
	}
	return p.site.RenderNotice(w, site.Notice{Lang: lang, Status: http.StatusBadRequest, Detail: reason})
}

// Unavailable implements verifyhttp.Pages.
func (p pages) Unavailable(w io.Writer, lang string) error {
	return p.site.RenderNotice(w, site.Notice{Lang: lang, Status: http.StatusServiceUnavailable, Again: 5})
}

// Limited implements verifyhttp.Pages.
func (p pages) Limited(w io.Writer, lang string, again time.Duration, challenge string) (csp string, _ error) {
	csp = p.site.CSP()
	if challenge != "" {
		csp = p.site.ProofCSP()
	}
	return csp, p.site.RenderNotice(w, site.Notice{
		Lang: lang, Status: http.StatusTooManyRequests, Again: int((again + time.Second - 1) / time.Second), Challenge: challenge,
	})
}

// Front implements verifyhttp.Pages.
func (p pages) Front(w io.Writer, lang string) error { return p.site.RenderFront(w, lang) }

package app

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/complaint/complainthttp"
	"github.com/chopmark/chopmark/internal/complaint/complaintsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/site"
)

const (
	complaintsPerHour  = 10 // of one address
	complaintsAccounts = 1 << 16
)

// complaintRoutes take what people say of items, and show it to brands.
func (a *App) complaintRoutes(rt *httpx.Router) {
	accounts, rate := limit.NewMemory(complaintsAccounts), limit.Within(complaintsPerHour, time.Hour)
	limited := func(from netip.Addr) error {
		wait, _ := accounts.Take(limit.Key{Net: limit.Network(from)}, rate, a.clock.Now().UnixNano(), 0)
		if wait > 0 {
			return complaint.ErrLimited.After(wait)
		}
		return nil
	}
	complainthttp.Mount(rt, complainthttp.Deps{
		Service: complaint.NewService(complaintsql.New(a.dbs, a.clock), codeOwners{a.codes}, photos{a.files}, limited, a.clock),
		Pages:   complaintPages{a.site}, Client: a.proxies.Client, Clock: a.clock,
	})
}

// codeOwners tells complaints whose a code is.
type codeOwners struct{ codes *batch.Reader }

var _ complaint.Items = codeOwners{}

// Find implements complaint.Items.
func (c codeOwners) Find(code string) (ids.BrandID, ids.BatchID, bool) {
	_, item, err := c.codes.Resolve(code)
	if err != nil {
		return 0, "", false
	}
	return item.Batch.BrandID, item.Batch.ID, true
}

// photos keeps what complaints show among the files.
type photos struct{ files blob.Store }

var _ complaint.Photos = photos{}

// Put implements complaint.Photos.
func (p photos) Put(ctx context.Context, name string, data []byte) error {
	up, err := p.files.Resume(ctx, name, 0)
	if err != nil {
		return err
	}
	if _, err := up.Write(data); err != nil {
		return errors.Join(err, up.Close(), p.files.Remove(context.WithoutCancel(ctx), name))
	}
	return up.Commit(ctx)
}

// Get implements complaint.Photos.
func (p photos) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := p.files.Open(ctx, name)
	if errors.Is(err, blob.ErrUnknown) {
		return nil, complaint.ErrUnknown
	}
	return f, err
}

// Remove implements complaint.Photos.
func (p photos) Remove(ctx context.Context, name string) error { return p.files.Remove(ctx, name) }

// complaintPages shows the page with the site's.
type complaintPages struct{ site *site.Site }

var _ complainthttp.Pages = complaintPages{}

// Complaint implements complainthttp.Pages.
func (p complaintPages) Complaint(w io.Writer, f *complainthttp.Form) error {
	return p.site.RenderComplaint(w, site.Complaint{
		Lang: f.Lang, Code: f.Code, Token: f.Token, Text: f.Text, Place: f.Place, Request: f.Request, Wrong: f.Wrong, Thanks: f.Thanks,
	})
}

// ComplaintCSP implements complainthttp.Pages.
func (p complaintPages) ComplaintCSP() string { return p.site.ComplaintCSP() }

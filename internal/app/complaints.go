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
	"github.com/chopmark/chopmark/internal/complaint/complaintrpc"
	"github.com/chopmark/chopmark/internal/complaint/complaintsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/limit"
	"github.com/chopmark/chopmark/internal/site"
)

const (
	complaintsPerHour = 10 // of one address, at all processes together
	sweepPhotosEvery  = time.Hour
)

// complaintRoutes show brands what people say of items.
func (a *App) complaintRoutes(rt *httpx.Router) {
	service := a.complaints()
	complainthttp.Mount(rt, service)
	a.complaintForm(rt, service)
}

// complaintForm takes what people say.
func (a *App) complaintForm(rt *httpx.Router, desk complainthttp.Desk) {
	complainthttp.MountForm(rt, complainthttp.Deps{Desk: desk, Pages: complaintPages{a.site}, Client: a.proxies.Client, Clock: a.clock})
}

// joinDesk is that of an edge: it lets people file, and the process that it joins keeps it.
type joinDesk struct {
	*complaint.Door
	*complaintrpc.Client
}

var _ complainthttp.Desk = joinDesk{}

// desk takes complaints at a process that does not show them.
func (a *App) desk() complainthttp.Desk {
	if a.edge == nil {
		return a.complaints()
	}
	return joinDesk{complaint.NewDoor(a.complaintLimit), complaintrpc.NewClient(a.edge.join.Conn())}
}

// complaints is the use cases over this process's SQL and files.
func (a *App) complaints() *complaint.Service {
	return complaint.NewService(complaintsql.New(a.dbs, a.clock), codeOwners{a.codes}, photos{a.files}, a.complaintLimit, a.clock)
}

// complaintLimit is complaint.Limit.
func (a *App) complaintLimit(from netip.Addr) error {
	if wait := a.guard.Leave(from, limit.Within(complaintsPerHour, time.Hour)); wait > 0 {
		return complaint.ErrLimited.After(wait)
	}
	return nil
}

// sweepPhotos removes, now and then, photos whose complaints were never filed. Any number
// of processes may do it.
func (a *App) sweepPhotos() {
	service := a.complaints()
	a.work.Go(func() {
		t := time.NewTicker(sweepPhotosEvery)
		defer t.Stop()
		for {
			if n, err := service.Sweep(a.background); err != nil && a.background.Err() == nil {
				a.log.Warn("photos that no complaint names stay for now", "error", err)
			} else if n > 0 {
				a.log.Info("removed photos that no complaint names", "photos", n)
			}
			select {
			case <-t.C:
			case <-a.background.Done():
				return
			}
		}
	})
}

// sweepLogos removes, now and then, files of logos that nothing names.
func (a *App) sweepLogos() {
	a.work.Go(func() {
		t := time.NewTicker(sweepPhotosEvery)
		defer t.Stop()
		for {
			if n, err := a.Batches.SweepLogos(a.background, a.files.Remove); err != nil && a.background.Err() == nil {
				a.log.Warn("logos that nothing names stay for now", "error", err)
			} else if n > 0 {
				a.log.Info("removed logos that nothing names", "logos", n)
			}
			select {
			case <-t.C:
			case <-a.background.Done():
				return
			}
		}
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

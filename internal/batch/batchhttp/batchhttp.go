// Package batchhttp is the HTTP side of the batch domain: brands, products,
// generation, batches, claims, exports, states, codes, marks and events.
//
// Promise: an answer has the shape that docs/openapi.yaml gives it
// (TestAnswersMatchDocument); no answer has a serial in it, and none to the public
// names who acted (TestPublicAnswersTellNoActor); a code that is not ours, and a
// display mark's code without a key, get one and the same refusal
// (TestOneRefusal).
package batchhttp

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/mark"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// Deps is what the routes need. What is not said to be optional must be given.
type Deps struct {
	Service     *batch.Service
	Claims      batch.Claims // the store's, for the list of a batch's claims
	Tasks       *task.Runner
	Files       blob.Store
	Outbox      *outbox.Outbox
	Tail        *outbox.Tail // of Outbox, running
	Auth        httpx.Authenticator
	DownloadKey [32]byte // signs download links
	Clock       clock.Clock
	Log         *slog.Logger
	Stopping    context.Context //nolint:containedctx // the life of the process: streams end with it

	// Generated is told of codes that were issued, or of a request for some that
	// failed; brand is 0 when the request named none that exists. Optional.
	Generated func(brand ids.BrandID, codes int64, err error)
	Made      func(ctx context.Context, brand ids.BrandID) error // told of a brand that a caller made, before he is; optional

	BeatEvery time.Duration // how often idle event streams say so; 0 = 15 s
}

const (
	beatEvery  = 15 * time.Second
	streamsMax = 64 // event streams at a time
	pageUsual  = 100
	pageMax    = 1000
)

// What routes ask of their callers; identity's policy names who may.
const (
	brandRead     httpx.Permission = "brand:read"
	brandCreate   httpx.Permission = "brand:create"
	brandChange   httpx.Permission = "brand:change"
	productRead   httpx.Permission = "product:read"
	productCreate httpx.Permission = "product:create"
	productChange httpx.Permission = "product:change"
	batchRead     httpx.Permission = "batch:read"
	batchIssue    httpx.Permission = "batch:issue"
	codeRead      httpx.Permission = "code:read"
	codeChange    httpx.Permission = "code:change"
	codeReissue   httpx.Permission = "code:reissue"
	taskRead      httpx.Permission = "task:read"
	eventRead     httpx.Permission = "event:read"
)

// api answers the routes.
type api struct {
	Deps
	codes   *batch.Reader
	marks   *mark.Encoder
	streams chan struct{} // a place for each event stream
}

// Mount adds the routes.
func Mount(rt *httpx.Router, d Deps) {
	d.complete()
	a := &api{Deps: d, codes: d.Service.Reader, marks: mark.NewEncoder(), streams: make(chan struct{}, streamsMax)}

	rt.Allow("POST /api/v1/brands", brandCreate, a.postBrand)
	rt.Allow("GET /api/v1/brands", brandRead, a.getBrands)
	rt.Allow("GET /api/v1/brands/{brand_id}", brandRead, a.getBrand)
	rt.Allow("PATCH /api/v1/brands/{brand_id}", brandChange, a.patchBrand)
	rt.Allow("GET /api/v1/brands/{brand_id}/settings", brandRead, a.getSettings)
	rt.Allow("PATCH /api/v1/brands/{brand_id}/settings", brandChange, a.patchSettings)
	rt.Allow("PUT /api/v1/brands/{brand_id}/logo", brandChange, a.putLogo)
	rt.Public("GET "+imagesPath+"{name}", a.getImage(regexp.MustCompile(`^img_[0-9a-f]{32}\.(jpg|png|webp)$`)))
	rt.Allow("POST /api/v1/products", productCreate, a.postProduct)
	rt.Allow("GET /api/v1/products", productRead, a.getProducts)
	rt.Allow("GET /api/v1/products/{product_id}", productRead, a.getProduct)
	rt.Allow("PATCH /api/v1/products/{product_id}", productChange, a.patchProduct)
	rt.Allow("POST /api/v1/products/{product_id}/claims", batchIssue, a.postPoolClaim)

	rt.Allow("POST /api/v1/codes/generate", batchIssue, a.postGenerate)
	rt.Allow("GET /api/v1/tasks", taskRead, a.getTasks)
	rt.Allow("GET /api/v1/tasks/{task_id}", taskRead, a.getTask)
	rt.Public("GET "+filesPath+"{name}", a.getFile)

	rt.Allow("POST /api/v1/batches", batchIssue, a.postBatch)
	rt.Allow("GET /api/v1/batches", batchRead, a.getBatches)
	rt.Allow("GET /api/v1/batches/{batch_id}", batchRead, a.getBatch)
	rt.Allow("POST /api/v1/batches/{batch_id}/claims", batchIssue, a.postClaim)
	rt.Allow("GET /api/v1/batches/{batch_id}/claims", batchRead, a.getClaims)
	rt.Allow("POST /api/v1/batches/{batch_id}/claims/{claim_id}/return", batchIssue, a.postReturn)
	rt.Allow("POST /api/v1/batches/{batch_id}/export", batchIssue, a.postExport)

	rt.Allow("POST /api/v1/codes/state", codeChange, a.postState)
	rt.Allow("GET /api/v1/codes/{code}", codeRead, a.getCode)
	rt.Allow("GET /api/v1/codes/{code}/changes", codeRead, a.getChanges)
	rt.Allow("GET /api/v1/codes/{code}/link", codeRead, a.getLink)
	rt.Allow("POST /api/v1/codes/{code}/reissue", codeReissue, a.postReissue)
	a.mountMarks(rt)

	rt.Allow("GET /api/v1/events", eventRead, a.getEvents)
}

// MountMarks adds the routes of marks alone: all that a process without a store has.
func MountMarks(rt *httpx.Router, codes *batch.Reader, auth httpx.Authenticator) {
	a := &api{Deps: Deps{Auth: auth}, codes: codes, marks: mark.NewEncoder()}
	a.mountMarks(rt)
}

func (a *api) mountMarks(rt *httpx.Router) {
	rt.Public("GET /api/v1/codes/{code}/qr.svg", a.getQRSVG)
	rt.Public("GET /api/v1/codes/{code}/qr.png", a.getQRPNG)
}

// complete fills in what is optional. What is missing of the rest must show at the
// start and not at the first request.
func (d *Deps) complete() {
	if d.Service == nil || d.Claims == nil || d.Tasks == nil || d.Files == nil || d.Outbox == nil || d.Tail == nil || d.Auth == nil ||
		d.DownloadKey == [32]byte{} || d.Clock == nil || d.Log == nil || d.Stopping == nil {
		panic("batchhttp: Mount without all of its Deps")
	}
	if d.Generated == nil {
		d.Generated = func(ids.BrandID, int64, error) {}
	}
	if d.Made == nil {
		d.Made = func(context.Context, ids.BrandID) error { return nil }
	}
	d.BeatEvery = cmp.Or(d.BeatEvery, beatEvery)
}

// decode reads a mutation: its body, who asks, and which request it is.
func decode[T any](w http.ResponseWriter, r *http.Request, limit int64) (body T, _ batch.Command, _ error) {
	raw, err := httpx.Decode(w, r, limit, &body)
	if err != nil {
		return body, batch.Command{}, err
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, raw)
	return body, batch.Command{Request: req, Actor: caller.Name}, err
}

// decodeOptional is decode for a request whose every field is optional: no body at
// all asks for nothing special.
func decodeOptional[T any](w http.ResponseWriter, r *http.Request, limit int64) (body T, _ batch.Command, _ error) {
	if r.ContentLength != 0 {
		return decode[T](w, r, limit)
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, nil)
	return body, batch.Command{Request: req, Actor: caller.Name}, err
}

// answer gives the effect of a mutation, and says when it is an earlier one's.
func answer(w http.ResponseWriter, replayed bool, data any) error {
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return httpx.OK(w, data)
}

// noStore keeps what changes with every moment out of caches.
func noStore(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept, Accept-Language")
}

// mayRead is whose codes the caller of a public route may read beyond what the public
// may. A key that is not valid is refused rather than passed over.
func (a *api) mayRead(r *http.Request) (ids.Scope, error) {
	if r.Header.Get("Authorization") == "" {
		return ids.Scope{}, nil
	}
	p, err := a.Auth.Authenticate(r)
	if err != nil || !p.May(codeRead) {
		return ids.Scope{}, err
	}
	return p.Access.Scope(), nil
}

// number reads a 32-bit id of a path or a query.
func number(field, text string) (int32, error) {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fault.Field("input.bad_number", field, "must be a whole number in its range")
	}
	return int32(n), nil
}

func missing(field string) error { return fault.Field("input.required", field, "is needed") }

// renamed gives a fault about one field of the core's words the name that the
// field has in the request.
func renamed(err error, from, to string) error {
	f, ok := fault.From(err)
	if !ok || len(f.Details) != 1 || f.Details[0].Field != from {
		return err
	}
	return fault.Field(f.Code, to, "%s", f.Details[0].Reason)
}

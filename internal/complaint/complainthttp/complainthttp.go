// Package complainthttp is the HTTP side of complaints: the small page that a consumer page
// leads to, the route that takes what it sends, and the routes of brands.
//
// Promise: the page works without a script; the thank-you is byte for byte the same for
// every code (TestThanksTellNothing); a photo is handed out as what it was found to be, to
// who may read complaints (TestPhotoIsHarmless).
package complainthttp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

// Form is the page's state.
type Form struct {
	Lang                     string
	Code, Token, Text, Place string // as they were given
	Request                  string // names what the form sends: sent twice, it is one complaint
	Wrong                    string // what was wrong with it; "" = nothing yet
	Thanks                   bool   // it was taken
}

// Pages renders the page.
type Pages interface {
	Complaint(w io.Writer, f *Form) error
	ComplaintCSP() string
}

// Desk takes complaints: the use cases themselves, or those of another process.
type Desk interface {
	// Admit lets an address begin to file, before its body is read. done must be called.
	Admit(from netip.Addr) (done func(), _ error)
	File(ctx context.Context, r ids.Request, ask complaint.Ask) error
}

// Deps are what the routes of those who complain need.
type Deps struct {
	Desk   Desk
	Pages  Pages
	Client func(*http.Request) netip.Addr // whose limit a request is held to
	Clock  clock.Clock
}

type form struct {
	Deps

	packer httpx.Packer
}

type api struct{ *complaint.Service }

const (
	read httpx.Permission = "complaint:read"
	shut httpx.Permission = "complaint:close"

	pagePath  = "/complaint"
	bodyMax   = complaint.PhotoBytesMax + 64<<10
	fieldMax  = 16 << 10         // of a text, in bytes; its own limit is in characters
	uploadFor = 10 * time.Minute // 2 MB at 50 kbit/s take half of it
	pageUsual = 100
	pageMax   = 1000
)

// MountForm adds the page and the route that takes what it sends.
func MountForm(rt *httpx.Router, d Deps) {
	a := &form{Deps: d}
	rt.Public("GET "+pagePath, a.page)
	rt.Public("POST /api/v1/complaints", a.post)
}

// Mount adds the routes of brands.
func Mount(rt *httpx.Router, service *complaint.Service) {
	a := &api{service}
	rt.Allow("GET /api/v1/complaints", read, a.list)
	rt.Allow("GET /api/v1/complaints/{complaint_id}", read, a.get)
	rt.Allow("GET /api/v1/complaints/{complaint_id}/photo", read, a.photo)
	rt.Allow("POST /api/v1/complaints/{complaint_id}/close", shut, a.close)
}

// page answers GET /complaint?code=.
func (a *form) page(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	return a.show(w, r, http.StatusOK, &Form{Lang: httpx.Language(r), Code: q.Get("code"), Thanks: q.Has("thanks")})
}

func (a *form) show(w http.ResponseWriter, r *http.Request, status int, f *Form) error {
	if f.Request == "" {
		f.Request = ids.New("req")
	}
	var page bytes.Buffer
	if err := a.Pages.Complaint(&page, f); err != nil {
		return err
	}
	return a.packer.HTML(w, r, status, a.Pages.ComplaintCSP(), page.Bytes())
}

// post answers POST /api/v1/complaints: JSON, or for a browser's form a page.
func (a *form) post(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-store")
	f := &Form{Lang: httpx.Language(r)}
	err := a.take(w, r, f)
	browser := strings.Contains(r.Header.Get("Accept"), "text/html") && !httpx.PrefersJSON(r)
	switch fa, ok := fault.From(err); {
	case !browser && err != nil:
		return err
	case !browser:
		return httpx.OK(w, struct {
			Received bool `json:"received"`
		}{true})
	case err == nil:
		w.Header().Set("Location", pagePath+"?"+url.Values{"lang": {f.Lang}, "thanks": {""}}.Encode())
		w.WriteHeader(http.StatusSeeOther) // so that a reload sends nothing again
		return nil
	case ok && fa.Kind != fault.Internal:
		f.Wrong = reasonOf(fa)
		httpx.RetryAfter(w, fa)
		return a.show(w, r, fa.Kind.HTTPStatus(), f)
	}
	return err
}

// reasonOf is what a person is told of an input that was not taken.
func reasonOf(f *fault.Error) string {
	if len(f.Details) == 0 {
		return f.Text
	}
	return f.Details[0].Field + ": " + f.Details[0].Reason
}

func (a *form) take(w http.ResponseWriter, r *http.Request, f *Form) error {
	done, err := a.Desk.Admit(a.Client(r))
	if err != nil {
		return err
	}
	defer done()
	// a photo on a weak link takes longer than any other request; where no deadline can be
	// set, the usual one holds
	_ = http.NewResponseController(w).SetReadDeadline(a.Clock.Now().Add(uploadFor))
	r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
	ask, err := readForm(r, f)
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return complaint.ErrPhotoTooLarge
	}
	if err != nil {
		return err
	}
	if r.Header.Get("Idempotency-Key") == "" && f.Request != "" {
		r.Header.Set("Idempotency-Key", f.Request)
	}
	sum := sha256.New()
	for _, part := range []string{ask.Code, ask.Token, ask.Text, ask.Place, string(ask.Photo)} {
		_, _ = io.WriteString(sum, strconv.Itoa(len(part))+":"+part) // a hash takes all
	}
	req, err := httpx.Request(r, "public", sum.Sum(nil))
	if err != nil {
		return err
	}
	return a.Desk.File(r.Context(), req, ask)
}

var errNotForm = fault.New(fault.Unsupported, "input.not_form", "the body must be multipart/form-data")

// readForm reads the fields one by one; what is there before an error stays in f.
func readForm(r *http.Request, f *Form) (ask complaint.Ask, _ error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return ask, errNotForm
	}
	into := map[string]*string{"code": &f.Code, "token": &f.Token, "text": &f.Text, "place": &f.Place, "request": &f.Request, "lang": &f.Lang}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return complaint.Ask{Code: f.Code, Token: f.Token, Text: f.Text, Place: f.Place, Photo: ask.Photo}, nil
		}
		if err != nil {
			return ask, damaged(err)
		}
		name := part.FormName()
		field, ok := into[name]
		switch {
		case name == "photo":
			ask.Photo, err = readPart(part, complaint.PhotoBytesMax, complaint.ErrPhotoTooLarge)
		case ok:
			var text []byte
			text, err = readPart(part, fieldMax, fault.Field("input.too_long", name, "has more than %d bytes", fieldMax))
			*field = string(text)
		default:
			err = fault.Field("input.unknown_field", name, "is not a field of this request")
		}
		if err != nil {
			return ask, err
		}
	}
}

func damaged(err error) error {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return err
	}
	return errNotForm.Because(err)
}

func readPart(part *multipart.Part, most int64, tooLong error) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(part, most+1))
	if err != nil {
		return nil, damaged(err)
	}
	if int64(len(raw)) > most {
		return nil, tooLong
	}
	return raw, nil
}

type view struct {
	ID        complaint.ID `json:"complaint_id"`
	BrandID   *ids.BrandID `json:"brand_id"` // null = the code is nobody's
	BatchID   *ids.BatchID `json:"batch_id"`
	Code      string       `json:"code"`
	Token     string       `json:"token"`
	Text      string       `json:"text"`
	Place     string       `json:"place"`
	Photo     *string      `json:"photo"` // where it is; null = there is none
	State     string       `json:"state"`
	CreatedAt time.Time    `json:"created_at"`
	ClosedAt  *time.Time   `json:"closed_at"`
	ClosedBy  string       `json:"closed_by"`
	Outcome   string       `json:"outcome"`
}

func viewOf(c *complaint.Complaint) view {
	v := view{
		ID: c.ID, Code: c.Code, Token: c.Token, Text: c.Text, Place: c.Place, State: string(complaint.OnlyOpen), CreatedAt: c.CreatedAt,
		ClosedBy: c.ClosedBy, Outcome: c.Outcome,
	}
	if c.Brand != 0 {
		v.BrandID, v.BatchID = &c.Brand, &c.Batch
	}
	if c.Photo != picture.None {
		at := "/api/v1/complaints/" + string(c.ID) + "/photo"
		v.Photo = &at
	}
	if !c.Open() {
		v.State, v.ClosedAt = string(complaint.OnlyClosed), &c.ClosedAt
	}
	return v
}

// list answers GET /api/v1/complaints?brand_id=&state=&limit=&cursor=. Without a brand it
// lists what is said of codes that are nobody's.
func (a *api) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	var brand int64
	if text := q.Get("brand_id"); text != "" {
		var err error
		if brand, err = strconv.ParseInt(text, 10, 32); err != nil || brand < 1 {
			return fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
		}
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	page, err := a.List(r.Context(), ids.BrandID(brand), complaint.Filter(q.Get("state")), complaint.ID(q.Get("cursor")), limit)
	if err != nil {
		return err
	}
	out := struct {
		Complaints []view        `json:"complaints"`
		Cursor     *complaint.ID `json:"cursor"`
	}{Complaints: make([]view, 0, len(page))}
	for i := range page {
		out.Complaints = append(out.Complaints, viewOf(&page[i]))
	}
	if len(page) == limit {
		out.Cursor = &page[len(page)-1].ID
	}
	return httpx.OK(w, out)
}

func idOf(r *http.Request) complaint.ID { return complaint.ID(r.PathValue("complaint_id")) }

// get answers GET /api/v1/complaints/{complaint_id}.
func (a *api) get(w http.ResponseWriter, r *http.Request) error {
	c, err := a.Complaint(r.Context(), idOf(r))
	if err != nil {
		return err
	}
	return httpx.OK(w, viewOf(&c))
}

// photo answers GET /api/v1/complaints/{complaint_id}/photo. It is a stranger's file: a
// browser may show it, and nothing else.
func (a *api) photo(w http.ResponseWriter, r *http.Request) error {
	f, kind, err := a.Photo(r.Context(), idOf(r))
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, complaint.PhotoBytesMax+1))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", `inline; filename="`+string(idOf(r))+"."+string(kind)+`"`)
	return httpx.Bytes(w, http.StatusOK, kind.ContentType(), raw)
}

// close answers POST /api/v1/complaints/{complaint_id}/close.
func (a *api) close(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Outcome string `json:"outcome"`
	}
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
	if err != nil {
		return err
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, raw)
	if err != nil {
		return err
	}
	c, replayed, err := a.Close(r.Context(), req, idOf(r), caller.Name, ask.Outcome)
	if err != nil {
		return err
	}
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	return httpx.OK(w, viewOf(&c))
}

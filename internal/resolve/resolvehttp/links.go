package resolvehttp

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/resolve"
)

// api is what brands look after their links by.
type api struct{ svc *resolve.Service }

// MountLinks adds the routes of brands. All of them need a key.
func MountLinks(rt *httpx.Router, svc *resolve.Service) {
	a := &api{svc}
	rt.Admin("GET /api/v1/links", a.getLinks)
	rt.Admin("PUT /api/v1/links", a.putLinks)
	rt.Admin("DELETE /api/v1/links", a.deleteLinks)
	rt.Admin("GET /api/v1/brands/{brand_id}/link-policy", a.getPolicy)
	rt.Admin("PUT /api/v1/brands/{brand_id}/link-policy", a.putPolicy)
}

const (
	pageUsual = 100
	pageMax   = 1000
	// cursorBytesMax is longer than any cursor that is given out.
	cursorBytesMax = 256
)

type setView struct {
	BrandID   ids.BrandID    `json:"brand_id"`
	Anchor    string         `json:"anchor"`
	Version   int64          `json:"version"`
	ChangedAt time.Time      `json:"changed_at"`
	Links     []resolve.Link `json:"links"`
}

func viewSet(s *resolve.Set) setView {
	return setView{s.BrandID, s.Anchor.String(), s.Version, s.ChangedAt, s.Links}
}

type setList struct {
	Sets   []setView `json:"sets"`
	Cursor *string   `json:"cursor"`
}

// getLinks answers GET /api/v1/links?anchor=, or ?brand_id=&limit=&cursor=.
func (a *api) getLinks(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if text := q.Get("anchor"); text != "" {
		anchor, err := parseAnchor(text)
		if err != nil {
			return err
		}
		set, err := a.svc.Set(r.Context(), anchor)
		if err != nil {
			return err
		}
		return httpx.OK(w, viewSet(&set))
	}
	brand, err := brandID(q.Get("brand_id"), false)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, pageUsual, pageMax)
	if err != nil {
		return err
	}
	cursor := q.Get("cursor")
	if len(cursor) > cursorBytesMax {
		return fault.Field("input.bad_cursor", "cursor", "was not given out by this list")
	}
	sets, next, err := a.svc.List(r.Context(), brand, cursor, limit)
	if err != nil {
		return err
	}
	list := setList{Sets: make([]setView, 0, len(sets))}
	for i := range sets {
		list.Sets = append(list.Sets, viewSet(&sets[i]))
	}
	if next != "" {
		list.Cursor = &next
	}
	return httpx.OK(w, list)
}

// parseAnchor takes a whole Digital Link for its path.
func parseAnchor(text string) (resolve.Anchor, error) {
	if strings.Contains(text, "://") {
		l, err := gs1.ParseLink(text)
		if err != nil {
			return resolve.Anchor{}, err
		}
		text = l.Path()
	}
	return resolve.ParseAnchor(text)
}

func brandID(text string, needed bool) (ids.BrandID, error) {
	if text == "" && !needed {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
	}
	return ids.BrandID(n), nil
}

type setAsk struct {
	BrandID   ids.BrandID    `json:"brand_id"`
	Anchor    string         `json:"anchor"`
	Links     []resolve.Link `json:"links"`
	IfVersion *int64         `json:"if_version"`
}

type setMade struct {
	Anchor  string `json:"anchor"`
	Version int64  `json:"version"`
	Changed bool   `json:"changed"`
}

func ifVersion(v *int64) (int64, error) {
	switch {
	case v == nil:
		return resolve.AnyVersion, nil
	case *v < 0:
		return 0, fault.Field("input.bad_number", "if_version", "must be 0 or a version")
	}
	return *v, nil
}

// putLinks answers PUT /api/v1/links: it replaces the links of an anchor.
func (a *api) putLinks(w http.ResponseWriter, r *http.Request) error {
	var ask setAsk
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &ask); err != nil {
		return err
	}
	if ask.BrandID < 1 {
		return fault.Field("input.required", "brand_id", "is needed")
	}
	anchor, err := parseAnchor(ask.Anchor)
	if err != nil {
		return err
	}
	version, err := ifVersion(ask.IfVersion)
	if err != nil {
		return err
	}
	made, err := a.svc.Put(r.Context(), resolve.Set{Anchor: anchor, BrandID: ask.BrandID, Links: ask.Links}, version)
	if err != nil {
		return err
	}
	return httpx.OK(w, setMade{anchor.String(), made.Version, made.Changed})
}

// deleteLinks answers DELETE /api/v1/links?brand_id=&anchor=[&if_version=].
func (a *api) deleteLinks(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	brand, err := brandID(q.Get("brand_id"), true)
	if err != nil {
		return err
	}
	anchor, err := parseAnchor(q.Get("anchor"))
	if err != nil {
		return err
	}
	version := int64(resolve.AnyVersion)
	if text := q.Get("if_version"); text != "" {
		if version, err = strconv.ParseInt(text, 10, 64); err != nil || version < 0 {
			return fault.Field("input.bad_number", "if_version", "must be 0 or a version")
		}
	}
	made, err := a.svc.Delete(r.Context(), brand, anchor, version)
	if err != nil {
		return err
	}
	return httpx.OK(w, setMade{anchor.String(), made.Version, made.Changed})
}

type policyView struct {
	BrandID   ids.BrandID `json:"brand_id"`
	Schemes   []string    `json:"schemes"`
	Hosts     []string    `json:"hosts"`
	GLN       string      `json:"gln,omitempty"`
	Version   int64       `json:"version"`
	ChangedAt *time.Time  `json:"changed_at"` // null = it was never set
}

// getPolicy answers GET /api/v1/brands/{brand_id}/link-policy.
func (a *api) getPolicy(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandID(r.PathValue("brand_id"), true)
	if err != nil {
		return err
	}
	p, err := a.svc.Policy(r.Context(), brand)
	if err != nil {
		return err
	}
	view := policyView{BrandID: brand, Schemes: p.Schemes, Hosts: p.Hosts, GLN: p.GLN, Version: p.Version}
	if !p.ChangedAt.IsZero() {
		view.ChangedAt = &p.ChangedAt
	}
	return httpx.OK(w, view)
}

type policyAsk struct {
	Schemes   []string `json:"schemes"`
	Hosts     []string `json:"hosts"`
	GLN       string   `json:"gln"`
	IfVersion *int64   `json:"if_version"`
}

// putPolicy answers PUT /api/v1/brands/{brand_id}/link-policy. Without schemes it is
// https alone.
func (a *api) putPolicy(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandID(r.PathValue("brand_id"), true)
	if err != nil {
		return err
	}
	var ask policyAsk
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &ask); err != nil {
		return err
	}
	if ask.Hosts == nil {
		return fault.Field("input.required", "hosts", "is needed; [] lets no link lead anywhere")
	}
	if ask.Schemes == nil {
		ask.Schemes = []string{"https"}
	}
	version, err := ifVersion(ask.IfVersion)
	if err != nil {
		return err
	}
	made, err := a.svc.PutPolicy(r.Context(), resolve.Policy{BrandID: brand, Schemes: ask.Schemes, Hosts: ask.Hosts, GLN: ask.GLN}, version)
	if err != nil {
		return err
	}
	return httpx.OK(w, struct {
		BrandID ids.BrandID `json:"brand_id"`
		Version int64       `json:"version"`
		Changed bool        `json:"changed"`
	}{brand, made.Version, made.Changed})
}

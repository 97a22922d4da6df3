package timelinehttp

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/timeline"
)

// Brands tells which brands there are.
type Brands interface {
	// HasBrand must answer an error that may be told for a brand that the caller may not see.
	HasBrand(ctx context.Context, brand ids.BrandID) error
}

type placeView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
}

type placesAsk struct {
	Set    []placeView `json:"set"`
	Remove []string    `json:"remove"`
}

const (
	placesUsual = 100
	placesMost  = 1000
	placesBody  = 1 << 20
)

func (a *api) brand(r *http.Request) (ids.BrandID, error) {
	n, err := strconv.ParseInt(r.PathValue("brand_id"), 10, 32)
	if err != nil {
		return 0, fault.Field("input.bad_number", "brand_id", "must be a whole number in its range")
	}
	return ids.BrandID(n), a.Brands.HasBrand(r.Context(), ids.BrandID(n))
}

// getPlaces answers GET /api/v1/brands/{brand_id}/places.
func (a *api) getPlaces(w http.ResponseWriter, r *http.Request) error {
	brand, err := a.brand(r)
	if err != nil {
		return err
	}
	limit, err := httpx.Page(r, placesUsual, placesMost)
	if err != nil {
		return err
	}
	after, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("cursor"))
	if err != nil {
		return fault.Field("input.bad_cursor", "cursor", "was not given out by this list")
	}
	found, err := a.Service.Store.Places(r.Context(), brand, string(after), limit+1)
	if err != nil {
		return err
	}
	out := struct {
		Places []placeView `json:"places"`
		Cursor string      `json:"cursor,omitempty"`
	}{Places: []placeView{}}
	for _, p := range found[:min(limit, len(found))] {
		out.Places = append(out.Places, placeView(p))
	}
	if len(found) > limit {
		out.Cursor = base64.RawURLEncoding.EncodeToString([]byte(found[limit-1].ID))
	}
	return httpx.OK(w, out)
}

// patchPlaces answers PATCH /api/v1/brands/{brand_id}/places. The same twice is the same
// once, so it needs no key.
func (a *api) patchPlaces(w http.ResponseWriter, r *http.Request) error {
	var ask placesAsk
	if _, err := httpx.Decode(w, r, placesBody, &ask); err != nil {
		return err
	}
	brand, err := a.brand(r)
	if err != nil {
		return err
	}
	set := make([]timeline.Place, len(ask.Set))
	for i, p := range ask.Set {
		set[i] = timeline.Place(p)
	}
	if err := a.Service.ChangePlaces(r.Context(), brand, set, ask.Remove); err != nil {
		return err
	}
	return httpx.OK(w, struct {
		BrandID ids.BrandID `json:"brand_id"`
		Set     int         `json:"set"`
		Removed int         `json:"removed"`
	}{brand, len(set), len(ask.Remove)})
}

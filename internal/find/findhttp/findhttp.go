// Package findhttp is the HTTP side of the search over words.
package findhttp

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
)

const mayRead httpx.Permission = "trace:read"

const (
	pageUsual = 20
	pageMax   = 100
)

// needs is what the caller must be allowed to read of each kind.
func needs(k find.Kind) httpx.Permission {
	switch k {
	case find.Product:
		return "product:read"
	case find.Batch:
		return "batch:read"
	case find.Place:
		return "brand:read"
	case find.Event:
	}
	return mayRead
}

type hit struct {
	Kind  find.Kind   `json:"kind"`
	ID    string      `json:"id"`
	Brand ids.BrandID `json:"brand_id"`
	Title string      `json:"title"`
	At    *time.Time  `json:"at"`
}

type answer struct {
	Hits    []hit   `json:"hits"`
	Cursor  *string `json:"cursor"`
	Filling bool    `json:"filling"`
}

// Brands knows which brands there are.
type Brands interface {
	// HasBrand must be an error for a brand that is not there, or not the caller's.
	HasBrand(ctx context.Context, id ids.BrandID) error
}

// Mount adds the route.
func Mount(rt *httpx.Router, s *find.Service, brands Brands) {
	// get answers GET /api/v1/search.
	rt.Allow("GET /api/v1/search", mayRead, func(w http.ResponseWriter, r *http.Request) error {
		ask, err := askOf(r)
		if err != nil {
			return err
		}
		if ask.Brand != 0 {
			if err := brands.HasBrand(r.Context(), ask.Brand); err != nil {
				return err
			}
		}
		page, err := s.Find(r.Context(), ask)
		if err != nil {
			return err
		}
		out := answer{Hits: []hit{}, Filling: page.Filling}
		for _, h := range page.Hits {
			one := hit{Kind: h.Kind, ID: h.ID, Brand: h.Brand, Title: h.Title}
			if !h.At.IsZero() {
				one.At = &h.At
			}
			out.Hits = append(out.Hits, one)
		}
		if page.Next != "" {
			out.Cursor = &page.Next
		}
		return httpx.OK(w, out)
	})
}

// askOf reads the question. Kinds that the caller may not read are not looked through.
func askOf(r *http.Request) (a find.Ask, err error) {
	q := r.URL.Query()
	a.Text, a.Cursor = q.Get("q"), q.Get("cursor")
	if a.Limit, err = httpx.Page(r, pageUsual, pageMax); err != nil {
		return a, err
	}
	if text := q.Get("brand_id"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return a, fault.Field("input.bad_number", "brand_id", "must be the number of a brand")
		}
		a.Brand = ids.BrandID(n)
	}
	a.Kinds = find.Kinds()
	if text := q.Get("kind"); text != "" {
		a.Kinds = a.Kinds[:0]
		for k := range strings.SplitSeq(text, ",") {
			a.Kinds = append(a.Kinds, find.Kind(k))
		}
	}
	caller := httpx.Caller(r)
	a.Kinds = slices.DeleteFunc(a.Kinds, func(k find.Kind) bool { return !caller.May(needs(k)) })
	if len(a.Kinds) == 0 {
		return a, httpx.ErrDenied
	}
	return a, nil
}

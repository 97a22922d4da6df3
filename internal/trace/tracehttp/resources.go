package tracehttp

import (
	"net/http"
	"slices"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// resource is one of the lists at the top.
type resource struct {
	name      string
	parameter string // that asks for the events of one of its members
	kinds     []trace.TermKind
}

func resources() []resource {
	return []resource{
		{"eventTypes", "eventType", nil},
		{"epcs", "MATCH_anyEPC", []trace.TermKind{trace.EPCTerm, trace.ChildTerm, trace.ParentTerm}},
		{"bizSteps", "EQ_bizStep", []trace.TermKind{trace.StepTerm}},
		{"bizLocations", "EQ_bizLocation", []trace.TermKind{trace.LocationTerm}},
		{"readPoints", "EQ_readPoint", []trace.TermKind{trace.ReadPointTerm}},
		{"dispositions", "EQ_disposition", []trace.TermKind{trace.DispositionTerm}},
	}
}

// getResources lists what the events name. Items of ours are not listed one by one: they are
// runs here, and GET /api/v1/codes lists them.
func (a *api) getResources(res resource) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if res.kinds == nil {
			return writeJSON(w, http.StatusOK, collect(trace.EventTypes()...))
		}
		brand, err := brandOf(r)
		if err != nil {
			return err
		}
		limit, err := pageOf(r)
		if err != nil {
			return err
		}
		all, next, err := a.Service.Words(r.Context(), brand, res.kinds, r.URL.Query().Get("nextPageToken"), limit)
		if err != nil {
			return err
		}
		a.next(w, r, next)
		slices.Sort(all)
		return writeJSON(w, http.StatusOK, collect(slices.Compact(all)...))
	}
}

// member judges the {x} of a path.
func (a *api) member(r *http.Request, res resource) (string, error) {
	x := r.PathValue("x")
	if res.kinds == nil {
		if !slices.Contains(trace.EventTypes(), x) {
			return "", errNoResource
		}
		return x, nil
	}
	brand, err := brandOf(r)
	if err != nil {
		return "", err
	}
	known, err := a.Service.Known(r.Context(), brand, res.kinds, x)
	if err == nil && !known {
		err = errNoResource
	}
	return x, err
}

var errNoResource = exception(http.StatusNotFound, "NoSuchNameException", "there is no such resource", "no event names it")

func (a *api) getResource(res resource) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := a.member(r, res); err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, collect("events"))
	}
}

func (a *api) getResourceEvents(res resource) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		x, err := a.member(r, res)
		if err != nil {
			return err
		}
		params, token := parameters(r)
		if params[res.parameter] != nil {
			return trace.ErrBadQuery.Textf("%s: the path says it already", res.parameter)
		}
		params[res.parameter] = []string{x}
		return a.answer(w, r, simpleQuery, params, token)
	}
}

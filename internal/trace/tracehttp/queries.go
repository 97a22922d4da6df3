package tracehttp

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

type queryAsk struct {
	Name  string          `json:"name"`
	Query json.RawMessage `json:"query"`
}

type queryView struct {
	Name      string          `json:"name"`
	CreatedAt string          `json:"createdAt"`
	Query     json.RawMessage `json:"query"`
}

func viewQuery(q *trace.NamedQuery) queryView {
	return queryView{q.Name, stamp(q.CreatedAt), q.Params.JSON()}
}

func (a *api) postQuery(w http.ResponseWriter, r *http.Request) error {
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	var ask queryAsk
	if _, err := httpx.Decode(w, r, httpx.BodyMax, &ask); err != nil {
		return err
	}
	params, err := a.Service.ReadQuery(ask.Query)
	if err != nil {
		return err
	}
	q, err := a.Service.AddQuery(r.Context(), brand, ask.Name, params)
	if err != nil {
		return err
	}
	versions(w)
	w.Header().Set("Location", prefix+"/queries/"+url.PathEscape(q.Name))
	return writeJSON(w, http.StatusCreated, viewQuery(&q))
}

func (a *api) getQueries(w http.ResponseWriter, r *http.Request) error {
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	limit, err := pageOf(r)
	if err != nil {
		return err
	}
	all, err := a.Service.Queries(r.Context(), brand, r.URL.Query().Get("nextPageToken"), limit+1)
	if err != nil {
		return err
	}
	if len(all) > limit {
		all = all[:limit]
		a.next(w, r, all[limit-1].Name)
	}
	out := make([]queryView, len(all))
	for i := range all {
		out[i] = viewQuery(&all[i])
	}
	return writeJSON(w, http.StatusOK, out)
}

func (a *api) getQuery(w http.ResponseWriter, r *http.Request) error {
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	q, err := a.Service.Query(r.Context(), brand, r.PathValue("queryName"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, viewQuery(&q))
}

func (a *api) deleteQuery(w http.ResponseWriter, r *http.Request) error {
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	if err := a.Standing.RemoveQuery(r.Context(), brand, r.PathValue("queryName")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) getQueryEvents(w http.ResponseWriter, r *http.Request) error {
	if isUpgrade(r) {
		return a.subscribeBySocket(w, r)
	}
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	q, err := a.Service.Query(r.Context(), brand, r.PathValue("queryName"))
	if err != nil {
		return err
	}
	params, token := parameters(r)
	if len(params) > 0 {
		return trace.ErrBadQuery.Textf("a named query has its parameters already")
	}
	return a.answer(w, r, q.Name, q.Params, token)
}

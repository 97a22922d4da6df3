package tracehttp

import (
	"net/http"
	"net/url"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// spec reads what a capture's headers say.
func (a *api) spec(r *http.Request, doc string, isXML bool) (s trace.CaptureSpec, err error) {
	s.XML = isXML
	switch b := r.Header.Get("GS1-Capture-Error-Behaviour"); b {
	case "", "rollback":
	case "proceed":
		s.Proceed = true
	default:
		return s, trace.ErrBadQuery.Textf("GS1-Capture-Error-Behaviour: must be rollback or proceed")
	}
	if v := r.Header.Get("GS1-EPCIS-Version"); v != "" && (majorOf(v) < 1 || majorOf(v) > 2) {
		return s, trace.ErrBadQuery.Textf("GS1-EPCIS-Version: documents are of 1.2 or 2.0")
	}
	if s.Brand, err = brandOf(r); err != nil {
		return s, err
	}
	var raw []byte // what nobody needs without a key
	if r.Header.Get("Idempotency-Key") != "" {
		raw = []byte(doc)
	}
	s.Request, err = httpx.Request(r, httpx.Caller(r).ID, raw)
	return s, err
}

// postCapture answers POST /capture. The job has run by then: its Location tells at once what
// became of each event.
func (a *api) postCapture(w http.ResponseWriter, r *http.Request) error {
	doc, isXML, err := a.body(w, r)
	if err != nil {
		return err
	}
	spec, err := a.spec(r, doc, isXML)
	if err != nil {
		return err
	}
	done, err := a.Service.Capture(r.Context(), spec, doc)
	if err != nil {
		return err
	}
	versions(w)
	if done.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", prefix+"/capture/"+done.Job.ID)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// job is a capture job as the bindings show it, with a result for each event beside the
// errors.
type job struct {
	CaptureID string         `json:"captureID"`
	CreatedAt string         `json:"createdAt"`
	Finished  string         `json:"finishedAt"`
	Running   bool           `json:"running"`
	Success   bool           `json:"success"`
	Behaviour string         `json:"captureErrorBehaviour"`
	Errors    []problem      `json:"errors"`
	Events    int            `json:"events"`
	Counts    map[string]int `json:"counts"`
	Results   []trace.Result `json:"results,omitempty"`
}

func viewJob(j *trace.Job, whole bool) job {
	v := job{
		CaptureID: j.ID, CreatedAt: stamp(j.CreatedAt), Finished: stamp(j.FinishedAt), Success: j.Success(), Behaviour: "rollback",
		Errors: []problem{}, Events: j.Events, Counts: map[string]int{},
	}
	if j.Proceed {
		v.Behaviour = "proceed"
	}
	told := map[int]*trace.Result{}
	for i := range j.Results {
		r := &j.Results[i]
		told[r.Index] = r
		for _, p := range r.Problems {
			v.Errors = append(v.Errors, *exception(http.StatusBadRequest, "ValidationException", "the event is not valid", p.String()))
		}
	}
	for i := range j.Events {
		r := trace.Result{Index: i, Status: trace.Accepted}
		if one := told[i]; one != nil {
			r = *one
		}
		v.Counts[string(r.Status)]++
		if whole {
			v.Results = append(v.Results, r)
		}
	}
	return v
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (a *api) getCapture(w http.ResponseWriter, r *http.Request) error {
	j, err := a.Service.Job(r.Context(), r.PathValue("captureID"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, viewJob(&j, true))
}

func (a *api) getCaptures(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	limit, err := pageOf(r)
	if err != nil {
		return err
	}
	before, id := time.Time{}, r.URL.Query().Get("nextPageToken")
	if id != "" { // the last job of the page before
		j, err := a.Service.Job(r.Context(), id)
		if err != nil {
			return trace.ErrBadToken
		}
		before = j.CreatedAt
	}
	all, err := a.Service.Jobs(r.Context(), brand, before, id, limit+1)
	if err != nil {
		return err
	}
	if len(all) > limit {
		all = all[:limit]
		a.next(w, r, all[limit-1].ID)
	}
	out := make([]job, len(all))
	for i := range all {
		out[i] = viewJob(&all[i], false)
	}
	return writeJSON(w, http.StatusOK, out)
}

// postEvent answers POST /events.
func (a *api) postEvent(w http.ResponseWriter, r *http.Request) error {
	doc, isXML, err := a.body(w, r)
	if err == nil && isXML {
		err = errMedia.Textf("one event is application/json or application/ld+json; XML comes as a document to %s/capture", prefix)
	}
	if err != nil {
		return err
	}
	spec, err := a.spec(r, doc, false)
	if err != nil {
		return err
	}
	e, replayed, err := a.Service.CaptureEvent(r.Context(), spec, doc)
	if err != nil {
		return err
	}
	versions(w)
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", prefix+"/events/"+url.PathEscape(e.ID))
	return httpx.Bytes(w, http.StatusCreated, "application/json", a.Service.AppendEvent(nil, e, trace.Form{}))
}

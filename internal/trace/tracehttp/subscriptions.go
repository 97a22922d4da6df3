package tracehttp

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// field is one of a schedule: a text, or a number as many write it.
type field string

// UnmarshalJSON implements json.Unmarshaler.
func (f *field) UnmarshalJSON(raw []byte) error {
	var n json.Number
	if len(raw) > 0 && raw[0] != '"' && json.Unmarshal(raw, &n) == nil {
		*f = field(n.String())
		return nil
	}
	return json.Unmarshal(raw, (*string)(f))
}

type scheduleView struct {
	Second     field `json:"second,omitempty"`
	Minute     field `json:"minute,omitempty"`
	Hour       field `json:"hour,omitempty"`
	DayOfMonth field `json:"dayOfMonth,omitempty"`
	Month      field `json:"month,omitempty"`
	DayOfWeek  field `json:"dayOfWeek,omitempty"`
}

func (v *scheduleView) times() trace.Times {
	if v == nil {
		return trace.Times{}
	}
	return trace.Times{
		Second: string(v.Second), Minute: string(v.Minute), Hour: string(v.Hour),
		DayOfMonth: string(v.DayOfMonth), Month: string(v.Month), DayOfWeek: string(v.DayOfWeek),
	}
}

type subscriptionAsk struct {
	Dest              string        `json:"dest"`
	SignatureToken    string        `json:"signatureToken"`
	InitialRecordTime *time.Time    `json:"initialRecordTime"`
	ReportIfEmpty     bool          `json:"reportIfEmpty"`
	Stream            bool          `json:"stream"`
	Schedule          *scheduleView `json:"schedule"`
}

type subscriptionView struct {
	SubscriptionID    string        `json:"subscriptionID"`
	QueryName         string        `json:"queryName"`
	Dest              string        `json:"dest"`
	CreatedAt         string        `json:"createdAt"`
	LastNotifiedAt    string        `json:"lastNotifiedAt,omitempty"`
	InitialRecordTime string        `json:"initialRecordTime"`
	MinRecordTime     string        `json:"minRecordTime"`
	EPCFormat         string        `json:"epcFormat"`
	ReportIfEmpty     bool          `json:"reportIfEmpty,omitempty"`
	Stream            bool          `json:"stream,omitempty"`
	Schedule          *scheduleView `json:"schedule,omitempty"`
	Undelivered       int           `json:"undelivered,omitempty"` // ours, as the next; for who may subscribe
	UndeliveredReason string        `json:"undeliveredReason,omitempty"`
}

// withUndelivered adds to views what was given up, for a caller who may manage subscriptions.
func (a *api) withUndelivered(r *http.Request, of []trace.Subscription, views []subscriptionView) error {
	caller := httpx.Caller(r)
	if !caller.May(mayWrite) {
		return nil
	}
	up, err := a.Standing.GivenUp(r.Context(), of)
	if err != nil {
		return err
	}
	for i := range of {
		g := up[of[i].ID]
		views[i].Undelivered, views[i].UndeliveredReason = g.Count, g.Reason
	}
	return nil
}

func viewSubscription(s *trace.Subscription) subscriptionView {
	v := subscriptionView{
		SubscriptionID: s.ID, QueryName: s.Query, Dest: s.Dest, CreatedAt: stamp(s.CreatedAt), InitialRecordTime: stamp(s.From),
		MinRecordTime: stamp(s.MinRecordTime()), EPCFormat: s.Format, ReportIfEmpty: s.ReportIfEmpty, Stream: s.Schedule.IsZero(),
	}
	if !s.NotifiedAt.IsZero() {
		v.LastNotifiedAt = stamp(s.NotifiedAt)
	}
	if t := s.Schedule; !t.IsZero() {
		v.Schedule = &scheduleView{field(t.Second), field(t.Minute), field(t.Hour), field(t.DayOfMonth), field(t.Month), field(t.DayOfWeek)}
	}
	return v
}

// errControls answers who asks for both a stream and a schedule, or for neither.
var errControls = exception(http.StatusBadRequest, "SubscriptionControlsException", "not a subscription",
	"either stream must be true, or a schedule must be given")

func (a *api) postSubscription(w http.ResponseWriter, r *http.Request) error {
	httpx.Annotate(r.Context(), httpx.Note{Subject: r.PathValue("queryName"), Private: true}) // the body holds a secret
	var ask subscriptionAsk
	raw, err := httpx.Decode(w, r, httpx.BodyMax, &ask)
	if err != nil {
		return err
	}
	sub := &trace.Subscription{
		Query: r.PathValue("queryName"), Dest: ask.Dest, Schedule: ask.Schedule.times(), ReportIfEmpty: ask.ReportIfEmpty, CreatedBy: httpx.Caller(r).Name,
	}
	if ask.Stream != sub.Schedule.IsZero() {
		return errControls
	}
	if ask.InitialRecordTime != nil {
		sub.From = *ask.InitialRecordTime
	}
	if sub.Brand, err = ownerOf(r); err != nil {
		return err
	}
	if sub.Format, err = epcFormat(r); err != nil {
		return err
	}
	request, err := httpx.Request(r, httpx.Caller(r).ID, raw)
	if err != nil {
		return err
	}
	made, replayed, err := a.Standing.Subscribe(r.Context(), request, sub, ask.SignatureToken)
	if err != nil {
		return err
	}
	versions(w)
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.Header().Set("Location", prefix+"/queries/"+url.PathEscape(made.Query)+"/subscriptions/"+made.ID)
	return writeJSON(w, http.StatusCreated, viewSubscription(&made))
}

func (a *api) getSubscriptions(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageOf(r)
	if err != nil {
		return err
	}
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	all, err := a.Standing.Subscriptions(r.Context(), brand, r.PathValue("queryName"), r.URL.Query().Get("nextPageToken"), limit+1)
	if err != nil {
		return err
	}
	if len(all) > limit {
		all = all[:limit]
		a.next(w, r, all[limit-1].ID)
	}
	out := make([]subscriptionView, len(all))
	for i := range all {
		out[i] = viewSubscription(&all[i])
	}
	if err := a.withUndelivered(r, all, out); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// subscriptionOf is the one that a path names.
func (a *api) subscriptionOf(r *http.Request) (trace.Subscription, error) {
	brand, err := ownerOf(r)
	if err != nil {
		return trace.Subscription{}, err
	}
	return a.Standing.Subscription(r.Context(), brand, r.PathValue("queryName"), r.PathValue("subscriptionID"))
}

func (a *api) getSubscription(w http.ResponseWriter, r *http.Request) error {
	s, err := a.subscriptionOf(r)
	if err != nil {
		return err
	}
	out := []subscriptionView{viewSubscription(&s)}
	if err := a.withUndelivered(r, []trace.Subscription{s}, out); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out[0])
}

func (a *api) deleteSubscription(w http.ResponseWriter, r *http.Request) error {
	brand, err := ownerOf(r)
	if err != nil {
		return err
	}
	if err := a.Standing.Unsubscribe(r.Context(), brand, r.PathValue("queryName"), r.PathValue("subscriptionID")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// connectionSpec reads a subscription from a query string, as a WebSocket has it.
func connectionSpec(r *http.Request) (*trace.Subscription, error) {
	q := r.URL.Query()
	s := &trace.Subscription{Query: r.PathValue("queryName"), Schedule: trace.Times{
		Second: q.Get("second"), Minute: q.Get("minute"), Hour: q.Get("hour"),
		DayOfMonth: q.Get("dayOfMonth"), Month: q.Get("month"), DayOfWeek: q.Get("dayOfWeek"),
	}, ReportIfEmpty: q.Get("reportIfEmpty") == "true"}
	if text := q.Get("initialRecordTime"); text != "" {
		at, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
		if err != nil {
			return nil, trace.ErrBadQuery.Textf("initialRecordTime: must be a date and time with a zone")
		}
		s.From = at
	}
	if stream := q.Get("stream") == "true"; stream != s.Schedule.IsZero() {
		return nil, errControls
	}
	return s, nil
}

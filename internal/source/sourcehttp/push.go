package sourcehttp

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/source"
)

// rowsAsk is what is pushed.
type rowsAsk struct {
	BrandID ids.BrandID `json:"brand_id"`
	Source  string      `json:"data_source"`
	Rows    []struct {
		Code      string         `json:"code"`
		BatchNo   string         `json:"batch_no"`
		ProductID ids.ProductID  `json:"product_id"`
		TraceType string         `json:"trace_type"`
		Time      time.Time      `json:"time"`
		Location  string         `json:"location"`
		Details   map[string]any `json:"details"`
	} `json:"rows"`
}

func (a *rowsAsk) rows() []source.Row {
	out := make([]source.Row, len(a.Rows))
	for i, r := range a.Rows {
		out[i] = source.Row{
			Code: r.Code, BatchNo: r.BatchNo, Product: r.ProductID, Stage: r.TraceType, Source: a.Source,
			Time: r.Time.UTC().Truncate(time.Microsecond), Location: r.Location, Details: r.Details,
		}
	}
	return out
}

type pushed struct {
	ID       string `json:"push_id"`
	Accepted int    `json:"accepted"`
}

// push answers POST /api/v1/trace-data.
func (a *api) push(w http.ResponseWriter, r *http.Request) error {
	var ask rowsAsk
	raw, err := httpx.Decode(w, r, httpx.BodyMaxList, &ask)
	if err != nil {
		return err
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, raw)
	if err != nil {
		return err
	}
	id, replayed, err := a.service.Add(r.Context(), req, caller.Name, ask.BrandID, ask.rows())
	if err != nil {
		return err
	}
	replay(w, replayed)
	return httpx.OK(w, pushed{id, len(ask.Rows)})
}

// signed answers POST /api/v1/trace-sources/{source_id}/push: who has the source's secret
// needs no key. The body is taken apart only when its signature holds.
func (a *api) signed(w http.ResponseWriter, r *http.Request) error {
	raw, err := body(w, r, httpx.BodyMaxList)
	if err != nil {
		return err
	}
	sys, req, err := a.service.Signed(r.Context(), idOf(r), source.Signed{
		ID: r.Header.Get("Webhook-Id"), Timestamp: r.Header.Get("Webhook-Timestamp"), Signature: r.Header.Get("Webhook-Signature"),
	}, raw)
	if err != nil {
		return err
	}
	var ask rowsAsk
	r.Body = io.NopCloser(bytes.NewReader(raw))
	if _, err := httpx.Decode(w, r, httpx.BodyMaxList, &ask); err != nil {
		return err
	}
	if ask.Source != "" && ask.Source != sys.Kind {
		return fault.Field("source.other_kind", "data_source", "a source pushes as what it is: %s", sys.Kind)
	}
	id, replayed, err := a.service.AddSigned(r.Context(), &sys, req, ask.BrandID, ask.rows())
	if err != nil {
		return err
	}
	replay(w, replayed)
	return httpx.OK(w, pushed{id, len(ask.Rows)})
}

var errNotCSV = fault.New(fault.Unsupported, "source.not_csv", "the body must be text/csv")

// tableOf reads what the address and the headers say of a file.
func tableOf(r *http.Request) (t source.Table, preview bool, err error) {
	if t.Brand, err = brandOf(r); err == nil && t.Brand == 0 {
		err = fault.Field("input.bad_number", "brand_id", "must be named")
	}
	if err != nil {
		return t, false, err
	}
	q := r.URL.Query()
	if text := q.Get("preview"); text != "" {
		if preview, err = strconv.ParseBool(text); err != nil {
			return t, false, fault.Field("input.bad_flag", "preview", "must be true or false")
		}
	}
	if t.Zone, err = httpx.Zone(r); err != nil {
		return t, false, err
	}
	t.Source, t.Stage, t.Ignore, t.Columns = q.Get("data_source"), q.Get("trace_type"), q["ignore"], map[string]string{}
	for _, text := range q["map"] {
		field, header, ok := strings.Cut(text, "=")
		if !ok || header == "" || t.Columns[header] != "" {
			return t, false, fault.Field("source.bad_map", "map", "must be FIELD=COLUMN, each column once")
		}
		t.Columns[header] = field
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "text/csv" {
		return t, preview, errNotCSV
	}
	t.Charset = params["charset"]
	return t, preview, nil
}

type lineView struct {
	Line   int    `json:"line"`
	Column string `json:"column"`
	Reason string `json:"reason"`
}

type columnView struct {
	Header string `json:"column"`
	Field  string `json:"field"`
}

type rowView struct {
	Code      string         `json:"code"`
	BatchNo   string         `json:"batch_no"`
	ProductID ids.ProductID  `json:"product_id"`
	TraceType string         `json:"trace_type"`
	Source    string         `json:"data_source"`
	Time      time.Time      `json:"time"`
	Location  string         `json:"location"`
	Details   map[string]any `json:"details"`
}

type previewView struct {
	Charset string       `json:"charset"`
	Columns []columnView `json:"columns"`
	Rows    int          `json:"rows"`
	Bad     int          `json:"bad"`
	Errors  []lineView   `json:"errors"`
	Sample  []rowView    `json:"sample"`
}

func viewPreview(p *source.Preview) previewView {
	v := previewView{Charset: p.Charset, Columns: []columnView{}, Rows: p.Rows, Bad: p.Bad, Errors: []lineView{}, Sample: []rowView{}}
	for _, c := range p.Columns {
		v.Columns = append(v.Columns, columnView(c))
	}
	for _, e := range p.Errors {
		v.Errors = append(v.Errors, lineView(e))
	}
	for _, r := range p.Sample {
		details := map[string]any{}
		maps.Copy(details, r.Details)
		v.Sample = append(v.Sample, rowView{r.Code, r.BatchNo, r.Product, r.Stage, r.Source, r.Time, r.Location, details})
	}
	return v
}

// importTable answers POST /api/v1/trace-data/import?brand_id=&preview=&map=&ignore=&tz=:
// with preview=true what the file would bring, else the task that brings it.
func (a *api) importTable(w http.ResponseWriter, r *http.Request) error {
	t, preview, bad := tableOf(r)
	if t.Brand != 0 {
		if err := a.service.Catalog.HasBrand(r.Context(), t.Brand); err != nil {
			return err
		}
	}
	if bad != nil {
		return bad
	}
	raw, err := body(w, r, source.TableBytesMax)
	if err != nil {
		return err
	}
	if preview {
		p, err := a.service.Preview(r.Context(), t, raw)
		if err != nil {
			return err
		}
		return httpx.OK(w, viewPreview(&p))
	}
	caller := httpx.Caller(r)
	req, err := httpx.Request(r, caller.ID, slices.Concat([]byte(r.URL.RawQuery+"\x00"), raw))
	if err != nil {
		return err
	}
	id, n, replayed, err := a.service.Import(r.Context(), req, caller.Name, t, raw)
	if err != nil {
		return err
	}
	httpx.Annotate(r.Context(), httpx.Note{Subject: string(id), After: map[string]any{"brand_id": t.Brand, "rows": n}, Private: true})
	replay(w, replayed)
	return httpx.OK(w, map[string]any{"task_id": id, "rows": n})
}

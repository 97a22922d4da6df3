package tracehttp

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/trace"
)

// parameters reads a query string: values of one parameter stand between bars. An address
// escapes spaces, so a space is the plus of a time's zone that was not escaped.
func parameters(r *http.Request) (params trace.Parameters, token string) {
	params = trace.Parameters{}
	for name, values := range r.URL.Query() {
		switch name {
		case "perPage":
		case "nextPageToken":
			token = values[0]
		default:
			for _, v := range values {
				if strings.HasSuffix(name, "Time") || strings.HasSuffix(name, "_time") {
					v = strings.ReplaceAll(v, " ", "+")
				}
				params[name] = append(params[name], strings.Split(v, "|")...)
			}
		}
	}
	return params, token
}

// epcFormat reads how identifiers are wanted.
func epcFormat(r *http.Request) (string, error) {
	format := r.Header.Get("GS1-EPC-Format")
	if !trace.KnownFormat(format) {
		return "", exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable",
			"GS1-EPC-Format: Always_GS1_Digital_Link, Always_EPC_URN and Never_Translates are answered")
	}
	if format == "" || format == "No_Preference" {
		format = "Never_Translates"
	}
	return format, nil
}

// answer runs a query and writes its page.
func (a *api) answer(w http.ResponseWriter, r *http.Request, name string, params trace.Parameters, token string) error {
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	limit, err := pageOf(r)
	if err != nil {
		return err
	}
	q, err := a.Service.NewQuery(r.Context(), brand, params)
	if err != nil {
		return err
	}
	p, err := a.Service.Events(r.Context(), q, params.Fingerprint(), token, limit)
	if err != nil {
		return err
	}
	return a.write(w, r, &p, name)
}

// write answers a page. Whatever can be wrong with it is found before the first byte: what
// fails later cuts the answer off.
func (a *api) write(w http.ResponseWriter, r *http.Request, p *trace.Page, name string) error {
	format, err := epcFormat(r)
	if err != nil {
		return err
	}
	form, urns, err := a.Service.FormOf(r.Context(), format, p.Brands)
	if err != nil {
		return err
	}
	around := trace.Around{Query: name, Created: a.Clock.Now(), Form: form}
	kind := asJSON
	var write func(io.Writer) error
	if formatOf(r.Header.Get("Accept")) == asXML {
		kind = asXML
		write, err = a.xml(r, p, around)
	} else {
		write, err = a.Service.QueryDocument(p.Entries(r.Context()), around)
	}
	if err == nil && urns != nil {
		err = urns.Err()
	}
	if errors.Is(err, trace.ErrNoXML) || errors.Is(err, trace.ErrNoURN) {
		f, _ := fault.From(err)
		return exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable", f.Text)
	}
	if err != nil {
		return err
	}
	a.next(w, r, p.Next)
	w.Header().Set("GS1-EPC-Format", format)
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if err := write(w); err != nil {
		a.Log.WarnContext(r.Context(), "an answer is cut off", "request_id", httpx.RequestID(w), "error", err)
		panic(http.ErrAbortHandler) // the client sees that it is not whole
	}
	return nil
}

// xml writes a page in XML, with words of the vocabulary as GS1-CBV-XML-Format has them: they
// are kept bare, so that Never_Translates cannot be done.
func (a *api) xml(r *http.Request, p *trace.Page, around trace.Around) (write func(io.Writer) error, _ error) {
	form := trace.XMLForm{Form: around.Form}
	switch f := r.Header.Get("GS1-CBV-XML-Format"); f {
	case "", "No_Preference", "Always_URN":
	case "Always_Web_URI":
		form.WebURI = true
	default:
		return nil, exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable", "GS1-CBV-XML-Format: Always_URN or Always_Web_URI are answered")
	}
	return a.Service.QueryXML(p.Entries(r.Context()), around, form)
}

// simpleQuery is the name of a query that has none.
const simpleQuery = "SimpleEventQuery"

func (a *api) getEvents(w http.ResponseWriter, r *http.Request) error {
	params, token := parameters(r)
	return a.answer(w, r, simpleQuery, params, token)
}

// getEvent answers GET /events/{eventID}: the event, and with it its error declaration, which
// has the same id.
func (a *api) getEvent(w http.ResponseWriter, r *http.Request) error {
	brand, err := brandOf(r)
	if err != nil {
		return err
	}
	p, err := a.Service.Event(r.Context(), brand, r.PathValue("eventID"))
	if err != nil {
		return err
	}
	return a.write(w, r, &p, simpleQuery)
}

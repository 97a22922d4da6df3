package tracehttp

import (
	"errors"
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
	if _, ok := trace.FormOf(format); !ok {
		return "", exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable",
			"GS1-EPC-Format: Always_GS1_Digital_Link, Never_Translates, and to a query Always_EPC_URN are answered")
	}
	if format == "" || format == "No_Preference" {
		format = "Never_Translates"
	}
	return format, nil
}

const asURN = "Always_EPC_URN"

// formOf reads how identifiers of a page are wanted, and says how they are answered. As URNs
// they are only when all could be: urns tells once they are written.
func (a *api) formOf(w http.ResponseWriter, r *http.Request, p *trace.Page) (form trace.Form, urns *trace.URNs, _ error) {
	if r.Header.Get("GS1-EPC-Format") == asURN {
		urns, err := a.Service.URNs(r.Context(), p.Brands)
		if err != nil {
			return form, nil, err
		}
		w.Header().Set("GS1-EPC-Format", asURN)
		form = urns.Form()
		return form, urns, nil
	}
	format, err := epcFormat(r)
	if err != nil {
		return form, nil, err
	}
	w.Header().Set("GS1-EPC-Format", format)
	form, _ = trace.FormOf(format)
	return form, nil, nil
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

func (a *api) write(w http.ResponseWriter, r *http.Request, p *trace.Page, name string) error {
	form, urns, err := a.formOf(w, r, p)
	if err != nil {
		return err
	}
	around := trace.Around{Query: name, Created: a.Clock.Now(), Form: form}
	kind := asJSON
	var raw []byte
	if formatOf(r.Header.Get("Accept")) == asXML {
		kind = asXML
		raw, err = a.xml(r, p.Events, around)
	} else {
		raw = a.Service.AppendQueryDocument(nil, p.Events, around)
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
	return httpx.Bytes(w, http.StatusOK, kind, raw)
}

// xml writes events in XML, with words of the vocabulary as GS1-CBV-XML-Format has them: they
// are kept bare, so that Never_Translates cannot be done.
func (a *api) xml(r *http.Request, events []*trace.Event, around trace.Around) ([]byte, error) {
	form := trace.XMLForm{Form: around.Form}
	switch f := r.Header.Get("GS1-CBV-XML-Format"); f {
	case "", "No_Preference", "Always_URN":
	case "Always_Web_URI":
		form.WebURI = true
	default:
		return nil, exception(http.StatusNotAcceptable, "NotAcceptableException", "not acceptable", "GS1-CBV-XML-Format: Always_URN or Always_Web_URI are answered")
	}
	return a.Service.AppendQueryXML(nil, events, around, form)
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

package timelinehttp

import (
	"cmp"
	"encoding/csv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/timeline"
)

const (
	reportUsual = 30 * 24 * time.Hour
	reportMax   = 366 * 24 * time.Hour
)

// errNoEvents answers a report where no events are kept.
var errNoEvents = fault.New(fault.Conflict, "reports.no_events", "no EPCIS events are kept here, so there is nothing to report")

// period reads what a report is about.
func (a *api) period(r *http.Request) (brand ids.BrandID, from, to time.Time, _ error) {
	q := r.URL.Query()
	n, err := strconv.ParseInt(q.Get("brand_id"), 10, 32)
	if err != nil {
		return 0, from, to, fault.Field("input.bad_number", "brand_id", "is needed: a whole number")
	}
	brand = ids.BrandID(n)
	if err := a.Brands.HasBrand(r.Context(), brand); err != nil {
		return 0, from, to, err
	}
	if a.Service.Movements == nil {
		return 0, from, to, errNoEvents
	}
	to = a.Clock.Now()
	if err := readTime(q.Get("to"), "to", &to); err != nil {
		return 0, from, to, err
	}
	from = to.Add(-reportUsual)
	if err := readTime(q.Get("from"), "from", &from); err != nil {
		return 0, from, to, err
	}
	if !from.Before(to) || to.Sub(from) > reportMax {
		return 0, from, to, fault.Field("reports.bad_period", "from", "must be before to, by at most 366 days")
	}
	return brand, from, to, nil
}

func readTime(text, field string, into *time.Time) error {
	if text == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fault.Field("input.bad_time", field, "must be an RFC 3339 time such as 2026-01-31T08:00:00Z")
	}
	*into = t
	return nil
}

// table writes a report as it is made. More says in a header that it is not all.
type table struct {
	*csv.Writer

	names    func(id string) (name, kind string)
	products map[ids.ProductID]string
}

func (a *api) table(w http.ResponseWriter, r *http.Request, brand ids.BrandID, name string, more bool, flows []timeline.Flow) (*table, error) {
	var places []string
	t := &table{products: map[ids.ProductID]string{}}
	for _, f := range flows {
		places = append(places, f.Place)
		if _, ok := t.products[f.Product]; !ok {
			var err error
			if t.products[f.Product], err = a.Products(r.Context(), f.Product); err != nil {
				return nil, err
			}
		}
	}
	var err error
	if t.names, err = a.Service.PlaceNames(r.Context(), brand, places); err != nil {
		return nil, err
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Report-Truncated", strconv.FormatBool(more))
	t.Writer = csv.NewWriter(w)
	return t, nil
}

// row writes a line: what it is about, and numbers.
func (t *table) row(f *timeline.Flow, with []string, numbers ...int64) error {
	name, kind := t.names(f.Place)
	line := []string{strconv.Itoa(int(f.Product)), cell(t.products[f.Product]), cell(f.BatchNo), cell(f.Place), cell(name), kind}
	line = append(line, with...)
	for _, n := range numbers {
		line = append(line, strconv.FormatInt(n, 10))
	}
	return t.Write(line)
}

func (t *table) end() error {
	t.Flush()
	return t.Error()
}

// cell is a text that no spreadsheet takes for a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

func inOrder(a, b timeline.Flow) int {
	return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.BatchNo, b.BatchNo), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Step, b.Step))
}

// getFlow answers GET /api/v1/reports/trace-flow.
func (a *api) getFlow(w http.ResponseWriter, r *http.Request) error {
	brand, from, to, err := a.period(r)
	if err != nil {
		return err
	}
	all, more, err := a.Service.Flows(r.Context(), brand, from, to)
	if err != nil {
		return err
	}
	flows := slices.SortedFunc(maps.Keys(all), inOrder)
	t, err := a.table(w, r, brand, "trace-flow", more, flows)
	if err != nil {
		return err
	}
	_ = t.Write([]string{"product_id", "product", "batch_no", "place_id", "place", "place_kind", "step", "events", "items"}) // end tells
	for i := range flows {
		if err := t.row(&flows[i], []string{cell(flows[i].Step)}, all[flows[i]].Events, all[flows[i]].Items); err != nil {
			return err
		}
	}
	return t.end()
}

// getCompleteness answers GET /api/v1/reports/trace-completeness.
func (a *api) getCompleteness(w http.ResponseWriter, r *http.Request) error {
	brand, from, to, err := a.period(r)
	if err != nil {
		return err
	}
	all, more, err := a.Service.Complete(r.Context(), brand, from, to)
	if err != nil {
		return err
	}
	flows := slices.SortedFunc(maps.Keys(all), inOrder)
	t, err := a.table(w, r, brand, "trace-completeness", more, flows)
	if err != nil {
		return err
	}
	_ = t.Write([]string{"product_id", "product", "batch_no", "place_id", "place", "place_kind", "complete_percent",
		"shipped_items", "complete_items", "not_received_items", "not_shipped_items", "looked_at"}) // end tells
	for i := range flows {
		c := all[flows[i]]
		share := strconv.FormatFloat(100*float64(c.Complete)/float64(max(c.Shipped, 1)), 'f', 2, 64)
		if err := t.row(&flows[i], []string{share}, c.Shipped, c.Complete, c.NotReceived, c.NotShipped, c.Looked); err != nil {
			return err
		}
	}
	return t.end()
}

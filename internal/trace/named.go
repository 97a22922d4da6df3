package trace

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// NamedQuery is a query that is kept under a name.
type NamedQuery struct {
	Brand     ids.BrandID // whose it is; 0 = the platform's
	Name      string
	Params    Parameters
	CreatedAt time.Time
}

// Queries keeps named queries: each brand has names of its own.
type Queries interface {
	// AddQuery must refuse a name that is taken with ErrQueryExists.
	AddQuery(ctx context.Context, q NamedQuery) error
	// Query must answer ErrNoQuery for a name that is not there.
	Query(ctx context.Context, brand ids.BrandID, name string) (NamedQuery, error)
	// Queries lists a brand's by name, from after on.
	Queries(ctx context.Context, brand ids.BrandID, after string, limit int) ([]NamedQuery, error)
	// RemoveQuery must answer ErrNoQuery for a name that is not there.
	RemoveQuery(ctx context.Context, brand ids.BrandID, name string) error
}

// What a caller may be told of named queries.
var (
	ErrQueryExists = fault.New(fault.Conflict, "trace.query_exists", "there is a query of this name already")
	ErrNoQuery     = fault.New(fault.NotFound, "trace.unknown_query", "no such query")
)

const queryNameBytesMax = 128

// AddQuery keeps a query that is valid. brand is Owner's, here and below.
func (s *Service) AddQuery(ctx context.Context, brand ids.BrandID, name string, params Parameters) (NamedQuery, error) {
	q := NamedQuery{brand, name, params, s.clock.Now()}
	if name == "" || len(name) > queryNameBytesMax {
		return q, ErrBadQuery.Textf("the name must have 1 to %d bytes", queryNameBytesMax)
	}
	if _, err := s.NewQuery(ctx, brand, params); err != nil {
		return q, err
	}
	return q, s.named.AddQuery(ctx, q)
}

// Query reads a named query.
func (s *Service) Query(ctx context.Context, brand ids.BrandID, name string) (NamedQuery, error) {
	return s.named.Query(ctx, brand, name)
}

// Queries lists named queries.
func (s *Service) Queries(ctx context.Context, brand ids.BrandID, after string, limit int) ([]NamedQuery, error) {
	return s.named.Queries(ctx, brand, after, limit)
}

// RemoveQuery forgets a query.
func (s *Service) RemoveQuery(ctx context.Context, brand ids.BrandID, name string) error {
	return s.named.RemoveQuery(ctx, brand, name)
}

// ReadQuery reads a query in JSON, {"EQ_bizStep": ["shipping"], "GE_eventTime": …}: each
// parameter with a text, a number, a truth value, or a list of texts.
func (c *Codec) ReadQuery(raw []byte) (Parameters, error) {
	t := &tree{}
	if err := parseJSON(string(raw), c.limits, t); err != nil {
		return nil, err
	}
	if t.kind(0) != object {
		return nil, ErrBadQuery.Textf("the query must be an object")
	}
	out := Parameters{}
	for key, v := range t.members(0) {
		if key == "@context" {
			continue
		}
		values := []ref{v}
		if t.kind(v) == list {
			values = slices.Collect(t.elements(v))
		}
		for _, one := range values {
			if k := t.kind(one); k == list || k == object || k == null {
				return nil, ErrBadQuery.Textf("%s: must be a text, a number, true or false, or a list of texts", clip(key))
			}
			out[key] = append(out[key], t.text(one))
		}
		if len(values) == 0 {
			return nil, ErrBadQuery.Textf("%s: is empty", clip(key))
		}
	}
	return out, nil
}

// JSON is the form that ReadQuery reads. What may have several values is a list.
func (p Parameters) JSON() json.RawMessage {
	out := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, name), ':')
		values := p[name]
		single := len(values) == 1 && (len(name) > 3 && (name[:3] == "GE_" || name[:3] == "GT_" || name[:3] == "LE_" || name[:3] == "LT_") ||
			name == "orderBy" || name == "orderDirection" || name == "EQ_quantity")
		switch {
		case single && isNumeral(values[0]), name == "eventCountLimit", name == "maxEventCount", len(name) > 7 && name[:7] == "EXISTS_":
			out = append(out, values[0]...)
		case single:
			out = appendText(out, values[0])
		default:
			out = append(out, '[')
			for j, v := range values {
				if j > 0 {
					out = append(out, ',')
				}
				out = appendText(out, v)
			}
			out = append(out, ']')
		}
	}
	return append(out, '}')
}

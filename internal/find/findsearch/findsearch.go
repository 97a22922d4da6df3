// Package findsearch keeps the words in OpenSearch (2.15 or later) or Elasticsearch (7.9 or
// later), in a field of type wildcard, which finds texts within texts of any length and
// script. Where the follower stands is a document beside the others, so that an index that
// was lost is filled again.
//
// Each document carries its version, and the server keeps the larger: a process that was
// paused and writes late changes nothing. What is gone stays as an empty document.
package findsearch

import (
	"context"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/search"
)

//go:embed template.json
var template embed.FS

const (
	prefix   = "chopmark-words"
	form     = "1" // of documents: another form is another index, and filled anew
	position = "position"
)

// Index implements find.Index.
type Index struct {
	client *search.Client
	name   string

	mu    sync.Mutex
	ready bool // guarded by mu: the template is there
}

var _ find.Index = (*Index)(nil)

// New makes the index of an installation. owner tells it from others at the same server:
// lower-case letters and digits.
func New(c *search.Client, owner string) *Index {
	return &Index{client: c, name: prefix + "-" + form + "-" + owner}
}

type document struct {
	Rank  int         `json:"rank"`
	Kind  find.Kind   `json:"kind"`
	Brand ids.BrandID `json:"brand_id"`
	ID    string      `json:"id"`
	Title string      `json:"title"`
	Words string      `json:"words"`
	At    int64       `json:"at"` // microseconds
	Gone  bool        `json:"gone"`
}

type standing struct {
	Cursor string `json:"cursor"`
	Filled bool   `json:"filled"`
}

// prepare sets the template once, before the first document makes the index.
func (i *Index) prepare(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ready {
		return nil
	}
	body, err := template.ReadFile("template.json")
	if err == nil {
		err = i.client.PutTemplate(ctx, prefix, body)
	}
	i.ready = err == nil
	return err
}

// Standing implements find.Index.
func (i *Index) Standing(ctx context.Context) (find.Standing, error) {
	raw, ok, err := i.client.Get(ctx, i.name, position)
	if err != nil || !ok {
		return find.Standing{}, err
	}
	var s standing
	if err := json.Unmarshal(raw, &s); err != nil {
		return find.Standing{}, fmt.Errorf("read where the search index stands: %w", err)
	}
	return find.Standing(s), nil
}

// Reset implements find.Index.
func (i *Index) Reset(ctx context.Context) error { return i.client.DeleteIndex(ctx, i.name) }

// Apply implements find.Index: the documents first, the position when they are there.
func (i *Index) Apply(ctx context.Context, all []find.Document, at find.Standing) error {
	if err := i.prepare(ctx); err != nil {
		return err
	}
	out := make([]search.Document, len(all))
	for n := range all {
		d := &all[n]
		body := document{
			Rank: len(find.Kinds()) - slices.Index(find.Kinds(), d.Kind), Kind: d.Kind, Brand: d.Brand, ID: d.ID, Title: d.Title,
			Words: d.Text(), Gone: d.Gone,
		}
		if !d.At.IsZero() {
			body.At = d.At.UnixMicro()
		}
		if d.Gone {
			body.Words = ""
		}
		raw, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode document %s: %w", d.ID, err)
		}
		// a version from 1 on: the first filling has 0
		out[n] = search.Document{Index: i.name, ID: idOf(d), Body: raw, Version: d.Version + 1}
	}
	if err := i.write(ctx, out); err != nil {
		return err
	}
	raw, err := json.Marshal(standing(at))
	if err != nil {
		return fmt.Errorf("encode where the search index stands: %w", err)
	}
	return i.write(ctx, []search.Document{{Index: i.name, ID: position, Body: raw}})
}

// write is done when the server has taken everything. What it never takes is an error that
// stays until somebody looks: documents are of one form, so it is about all of them.
func (i *Index) write(ctx context.Context, all []search.Document) error {
	rejected, err := i.client.Index(ctx, all)
	for n, why := range rejected {
		return fmt.Errorf("document %s of the search index: %w", all[n].ID, why)
	}
	return err
}

func idOf(d *find.Document) string {
	return strings.Join([]string{string(d.Kind), strconv.Itoa(int(d.Brand)), base64.RawURLEncoding.EncodeToString([]byte(d.ID))}, ":")
}

// Find implements find.Index.
func (i *Index) Find(ctx context.Context, q *find.Query) (page find.Page, _ error) {
	filter := []any{map[string]any{"terms": map[string]any{"kind": q.Kinds}}}
	if !q.All {
		filter = append(filter, map[string]any{"terms": map[string]any{"brand_id": q.Brands}})
	}
	for _, t := range q.Terms {
		filter = append(filter, map[string]any{"wildcard": map[string]any{"words": map[string]any{"value": "*" + literal(t) + "*"}}})
	}
	ask := map[string]any{
		"size": q.Limit, "track_total_hits": false, "_source": []string{"kind", "brand_id", "id", "title", "at"},
		"query": map[string]any{"bool": map[string]any{"filter": filter}},
		"sort":  []any{map[string]string{"rank": "desc"}, map[string]string{"brand_id": "desc"}, map[string]string{"at": "desc"}, map[string]string{"id": "desc"}},
	}
	if q.After != "" {
		after, err := cursor(q.After)
		if err != nil {
			return page, err
		}
		ask["search_after"] = after
	}
	raw, err := json.Marshal(ask)
	if err != nil {
		return page, fmt.Errorf("encode a search: %w", err)
	}
	found, err := i.client.Search(ctx, i.name, raw)
	if err != nil {
		return page, err
	}
	for _, f := range found {
		var d document
		if err := json.Unmarshal(f.Source, &d); err != nil {
			return page, fmt.Errorf("read what was found: %w", err)
		}
		h := find.Hit{Kind: d.Kind, ID: d.ID, Brand: d.Brand, Title: d.Title}
		if d.At != 0 {
			h.At = time.UnixMicro(d.At).UTC()
		}
		page.Hits = append(page.Hits, h)
	}
	if len(found) == q.Limit {
		page.Next = base64.RawURLEncoding.EncodeToString(found[len(found)-1].Sort)
	}
	return page, nil
}

// cursor reads what a page was sorted by: three numbers and a text.
func cursor(text string) ([]any, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, find.ErrBadCursor
	}
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil || len(parts) != 4 {
		return nil, find.ErrBadCursor
	}
	var id string
	if json.Unmarshal(parts[3], &id) != nil {
		return nil, find.ErrBadCursor
	}
	out := []any{nil, nil, nil, id}
	for n := range 3 {
		var number int64
		if json.Unmarshal(parts[n], &number) != nil {
			return nil, find.ErrBadCursor
		}
		out[n] = number
	}
	return out, nil
}

// literal takes the meaning from what a pattern gives one.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`).Replace(s)
}

package searchtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// get answers the get API.
func (s *Server) get(w http.ResponseWriter, r *http.Request) {
	if s.Fail != nil && s.Fail(w, false) {
		return
	}
	if _, ok := s.read(w, r, "application/json"); !ok {
		return
	}
	s.mu.Lock()
	index, there := s.indices[r.PathValue("index")]
	body, found := index[r.PathValue("id")]
	s.mu.Unlock()
	switch {
	case !there:
		answer(w, http.StatusNotFound, failure(http.StatusNotFound, "index_not_found_exception", "no such index"))
	case !found:
		answer(w, http.StatusNotFound, map[string]any{"_index": r.PathValue("index"), "_id": r.PathValue("id"), "found": false})
	default:
		answer(w, http.StatusOK, map[string]any{"_index": r.PathValue("index"), "_id": r.PathValue("id"), "found": true, "_source": body})
	}
}

// remove answers the delete index API. Wildcards are refused, as both servers usually do.
func (s *Server) remove(w http.ResponseWriter, r *http.Request) {
	if s.Fail != nil && s.Fail(w, false) {
		return
	}
	name := r.PathValue("index")
	if !indexName.MatchString(name) {
		s.tb.Errorf("%q is to be deleted", name)
		answer(w, http.StatusBadRequest, failure(http.StatusBadRequest, "illegal_argument_exception", "wildcard"))
		return
	}
	s.mu.Lock()
	_, there := s.indices[name]
	delete(s.indices, name)
	maps.DeleteFunc(s.versions, func(id string, _ int64) bool { return strings.HasPrefix(id, name+"/") })
	s.mu.Unlock()
	if !there {
		answer(w, http.StatusNotFound, failure(http.StatusNotFound, "index_not_found_exception", "no such index"))
		return
	}
	answer(w, http.StatusOK, map[string]bool{"acknowledged": true})
}

// request is the part of the search API that we use.
type request struct {
	Size  int `json:"size"`
	Query struct {
		Bool struct {
			Filter []map[string]map[string]json.RawMessage `json:"filter"`
		} `json:"bool"`
	} `json:"query"`
	Sort        []map[string]string `json:"sort"`
	SearchAfter []any               `json:"search_after"`
	Track       *bool               `json:"track_total_hits"`
	Source      []string            `json:"_source"`
}

// search answers the search API.
func (s *Server) search(w http.ResponseWriter, r *http.Request) {
	if s.Fail != nil && s.Fail(w, false) {
		return
	}
	body, ok := s.read(w, r, "application/json")
	if !ok {
		return
	}
	var q request
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil || q.Size < 1 || q.Size > 10_000 || q.SearchAfter != nil && len(q.SearchAfter) != len(q.Sort) {
		s.tb.Errorf("search %s: %v", body, err)
		answer(w, http.StatusBadRequest, failure(http.StatusBadRequest, "parsing_exception", "unknown field"))
		return
	}
	s.mu.Lock()
	types := s.mapping(r.PathValue("index"))
	var found []map[string]any
	for _, raw := range s.indices[r.PathValue("index")] {
		var document map[string]any
		_ = json.Unmarshal(raw, &document) // it was read when it was taken
		if s.matches(types, document, q.Query.Bool.Filter) {
			found = append(found, document)
		}
	}
	s.mu.Unlock()
	compare := func(a, b map[string]any) int { return -compareValues(keyOf(a, q.Sort), keyOf(b, q.Sort)) }
	slices.SortFunc(found, compare)
	hits := []any{}
	for _, document := range found {
		key := keyOf(document, q.Sort)
		if len(hits) == q.Size || q.SearchAfter != nil && compareValues(key, q.SearchAfter) >= 0 {
			continue
		}
		source := map[string]any{}
		for _, field := range q.Source {
			source[field] = document[field]
		}
		hits = append(hits, map[string]any{"_source": source, "sort": key})
	}
	answer(w, http.StatusOK, map[string]any{"timed_out": false, "_shards": map[string]int{"failed": 0}, "hits": map[string]any{"hits": hits}})
}

// keyOf is what a document is sorted by. All of ours are "desc".
func keyOf(document map[string]any, by []map[string]string) (key []any) {
	for _, one := range by {
		for field := range one {
			key = append(key, document[field])
		}
	}
	return key
}

func compareValues(a, b []any) int {
	for i := range a {
		c := 0
		switch x := a[i].(type) {
		case float64:
			y, _ := b[i].(float64)
			c = cmp.Compare(x, y)
		case string:
			y, _ := b[i].(string)
			c = cmp.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

// matches holds a document to filters, and these to the types of their fields. Caller holds mu.
func (s *Server) matches(types map[string]string, document map[string]any, filters []map[string]map[string]json.RawMessage) bool {
	for _, filter := range filters {
		for name, of := range filter {
			for field, raw := range of {
				if types[field] == "" {
					s.tb.Errorf("%s of %s, which no template maps", name, field)
				}
				if !s.holds(name, types[field], document[field], raw) {
					return false
				}
			}
		}
	}
	return true
}

func (s *Server) holds(name, kind string, value any, raw json.RawMessage) bool {
	switch name {
	case "wildcard":
		var pattern struct {
			Value string `json:"value"`
		}
		if err := json.Unmarshal(raw, &pattern); err != nil || kind != "wildcard" {
			s.tb.Errorf("wildcard %s on a field of type %s: %v", raw, kind, err)
		}
		text, ok := value.(string)
		return ok && wildcard(pattern.Value).MatchString(text)
	case "terms":
		var all []any
		if err := json.Unmarshal(raw, &all); err != nil || kind == "wildcard" || len(all) > 65_536 {
			s.tb.Errorf("terms %s on a field of type %s: %v", raw, kind, err)
		}
		return slices.Contains(all, value)
	}
	s.tb.Errorf("%s is no query of ours", name)
	return false
}

// wildcard reads a pattern: * is any text, ? any letter, a backslash takes their meaning.
func wildcard(pattern string) *regexp.Regexp {
	var out strings.Builder
	out.WriteString("(?s)^")
	escaped := false
	for _, r := range pattern {
		switch {
		case escaped:
			out.WriteString(regexp.QuoteMeta(string(r)))
			escaped = false
		case r == '\\':
			escaped = true
		case r == '*':
			out.WriteString(".*")
		case r == '?':
			out.WriteString(".")
		default:
			out.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	out.WriteString("$")
	return regexp.MustCompile(out.String())
}

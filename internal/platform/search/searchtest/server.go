// Package searchtest is a search server for tests: the part of OpenSearch's and
// Elasticsearch's HTTP interface that we use, as their reference documents it, and strict
// where they are. It is no such server, and proves nothing about one beyond the protocol.
package searchtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server keeps documents in memory.
type Server struct {
	*httptest.Server

	Auth     string // the Authorization header that it wants; "" = any
	BytesMax int    // of a request; 0 = no limit
	// Fail may answer in the server's place, once it has taken the documents when after
	// is true: an answer that was lost.
	Fail func(w http.ResponseWriter, after bool) bool
	// Item may give a document another status than its own.
	Item func(id string) int

	tb        testing.TB
	mu        sync.Mutex
	templates map[string]template                   // guarded by mu
	indices   map[string]map[string]json.RawMessage // guarded by mu
	versions  map[string]int64                      // guarded by mu: of "index/id"
	writes    int                                   // guarded by mu: documents that were taken
	requests  int                                   // guarded by mu: bulk requests
}

type template struct {
	Patterns []string `json:"index_patterns"`
	Priority *int     `json:"priority"`
	Template struct {
		Mappings struct {
			Dynamic    *bool `json:"dynamic"`
			Properties map[string]struct {
				Type string `json:"type"`
			} `json:"properties"`
		} `json:"mappings"`
	} `json:"template"`
}

// New starts a server. What breaks the protocol fails the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{tb: tb, templates: map[string]template{}, indices: map[string]map[string]json.RawMessage{}, versions: map[string]int64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /_index_template/{name}", s.putTemplate)
	mux.HandleFunc("POST /_bulk", s.bulk)
	mux.HandleFunc("GET /{index}/_doc/{id}", s.get)
	mux.HandleFunc("DELETE /{index}", s.remove)
	mux.HandleFunc("POST /{index}/_search", s.search)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		tb.Errorf("%s %s is no request of ours", r.Method, r.URL)
		w.WriteHeader(http.StatusBadRequest)
	})
	s.Server = httptest.NewServer(mux)
	tb.Cleanup(s.Close)
	return s
}

// Address is what search.Open takes.
func (s *Server) Address() string { return "opensearch+" + s.URL }

// Documents are all that were kept, by "index/id".
func (s *Server) Documents() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]json.RawMessage{}
	for index, documents := range s.indices {
		for id, body := range documents {
			all[index+"/"+id] = body
		}
	}
	return all
}

// Counts tells how many documents were written, repetitions included, and in how many
// requests.
func (s *Server) Counts() (writes, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes, s.requests
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // maps of our own, to a client that may have left
}

func failure(status int, kind, reason string) map[string]any {
	return map[string]any{"status": status, "error": map[string]any{"type": kind, "reason": reason}}
}

// read gives a request's body, or has answered.
func (s *Server) read(w http.ResponseWriter, r *http.Request, kind string) ([]byte, bool) {
	body, err := io.ReadAll(r.Body)
	switch {
	case s.Auth != "" && r.Header.Get("Authorization") != s.Auth:
		answer(w, http.StatusUnauthorized, failure(http.StatusUnauthorized, "security_exception", "missing authentication credentials"))
	case err != nil || r.Header.Get("Content-Type") != kind:
		s.tb.Errorf("%s %s with content type %q, %v", r.Method, r.URL, r.Header.Get("Content-Type"), err)
		answer(w, http.StatusNotAcceptable, failure(http.StatusNotAcceptable, "illegal_argument_exception", "Content-Type is not supported"))
	case s.BytesMax > 0 && len(body) > s.BytesMax:
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	default:
		return body, true
	}
	return nil, false
}

func (s *Server) putTemplate(w http.ResponseWriter, r *http.Request) {
	body, ok := s.read(w, r, "application/json")
	if !ok {
		return
	}
	var t template
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&t); err != nil || len(t.Patterns) == 0 {
		s.tb.Errorf("template %s: %v", body, err)
		answer(w, http.StatusBadRequest, failure(http.StatusBadRequest, "x_content_parse_exception", "unknown field"))
		return
	}
	s.mu.Lock()
	s.templates[r.PathValue("name")] = t
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]bool{"acknowledged": true})
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request) {
	if s.Fail != nil && s.Fail(w, false) {
		return
	}
	body, ok := s.read(w, r, "application/x-ndjson")
	if !ok {
		return
	}
	if len(body) == 0 || body[len(body)-1] != '\n' {
		s.tb.Errorf("a bulk request does not end with a line end")
		answer(w, http.StatusBadRequest, failure(http.StatusBadRequest, "illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]"))
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if len(lines)%2 != 0 {
		s.tb.Errorf("a bulk request has %d lines", len(lines))
	}
	s.mu.Lock()
	s.requests++
	items := []any{}
	for i := 0; i+1 < len(lines); i += 2 {
		items = append(items, s.index(lines[i], lines[i+1]))
	}
	s.mu.Unlock()
	if s.Fail != nil && s.Fail(w, true) {
		return
	}
	if filter := r.URL.Query().Get("filter_path"); filter != "items.*._id,items.*.status,items.*.error" {
		s.tb.Errorf("filter_path is %q", filter)
	}
	answer(w, http.StatusOK, map[string]any{"items": items})
}

var indexName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,254}$`)

// index takes one document. Caller holds mu.
func (s *Server) index(action, source string) any {
	var a map[string]struct {
		Index       string `json:"_index"`
		ID          string `json:"_id"`
		Version     int64  `json:"version"`
		VersionType string `json:"version_type"`
	}
	d := json.NewDecoder(strings.NewReader(action))
	d.DisallowUnknownFields()
	err := d.Decode(&a)
	at := a["index"]
	if err != nil || len(a) != 1 || at.ID == "" || len(at.ID) > 512 || !indexName.MatchString(at.Index) || at.VersionType != "" && at.VersionType != "external_gte" || (at.Version != 0) != (at.VersionType != "") {
		s.tb.Errorf("action %s: %v", action, err)
	}
	item := func(status int, kind, reason string) any {
		v := map[string]any{"_id": at.ID, "status": status}
		if kind != "" {
			v["error"] = failure(status, kind, reason)["error"]
		}
		return map[string]any{"index": v}
	}
	if s.Item != nil {
		if status := s.Item(at.ID); status != 0 {
			return item(status, "made_up_exception", "as the test wants it")
		}
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(source), &document); err != nil {
		return item(http.StatusBadRequest, "document_parsing_exception", err.Error())
	}
	name := at.Index + "/" + at.ID
	if at.Version < s.versions[name] && at.VersionType != "" {
		return item(http.StatusConflict, "version_conflict_engine_exception", "current version is higher")
	}
	types := s.mapping(at.Index)
	for field, value := range document {
		if why := unlike(types[field], value); why != "" {
			return item(http.StatusBadRequest, "document_parsing_exception", "failed to parse field ["+field+"]: "+why)
		}
	}
	if s.indices[at.Index] == nil {
		s.indices[at.Index] = map[string]json.RawMessage{}
	}
	status := http.StatusCreated
	if _, ok := s.indices[at.Index][at.ID]; ok {
		status = http.StatusOK
	}
	s.indices[at.Index][at.ID] = json.RawMessage(source)
	s.versions[name] = at.Version
	s.writes++
	return item(status, "", "")
}

// mapping gives the types of an index's fields. Caller holds mu.
func (s *Server) mapping(index string) map[string]string {
	for _, name := range slices.Sorted(maps.Keys(s.templates)) {
		t := s.templates[name]
		for _, p := range t.Patterns {
			if ok, _ := path.Match(p, index); ok {
				types := map[string]string{}
				for field, of := range t.Template.Mappings.Properties {
					types[field] = of.Type
				}
				return types
			}
		}
	}
	return nil
}

// unlike says why a value is not of a field's type.
func unlike(kind string, value any) string {
	ok := true
	switch kind {
	case "keyword", "wildcard":
		_, ok = value.(string)
	case "integer", "long":
		var n float64
		n, ok = value.(float64)
		ok = ok && n == float64(int64(n))
	case "boolean":
		_, ok = value.(bool)
	case "date":
		text, isText := value.(string)
		_, err := time.Parse(time.RFC3339Nano, text)
		ok = isText && err == nil
	}
	if !ok {
		return fmt.Sprintf("%v is no %s", value, kind)
	}
	return ""
}

package search_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/search"
	"github.com/chopmark/chopmark/internal/platform/search/searchtest"
)

func open(t *testing.T, address string) *search.Client {
	t.Helper()
	c, err := search.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func documents(n, bytes int) (all []search.Document) {
	for i := range n {
		body := fmt.Sprintf("{\"n\":%d,\n \"text\":%q}", i, strings.Repeat("x", bytes))
		all = append(all, search.Document{Index: fmt.Sprint("i-2026.0", i%2+1), ID: fmt.Sprint("d", i), Body: json.RawMessage(body)})
	}
	return all
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"opensearch+http://h:9200", "opensearch+https://h", "elasticsearch+https://u:p@h:9200/prefix/", "opensearch+https://h?api_key=abc",
	} {
		if _, err := search.Open(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "http://h", "opensearch://h", "solr+http://h", "opensearch+ftp://h", "opensearch+http://", "opensearch+http://u:s3cret@h?api_key=x",
		"opensearch+http://u:s3cret@h?x=1", "opensearch+http://u:s3cret@h:port", "opensearch+http://h#x",
	} {
		if _, err := search.Open(bad); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestBulkProtocol writes many documents, twice, to a server that is strict.
func TestBulkProtocol(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]struct{ before, after, header string }{
		"basic":   {"elastic:p%40ss@", "", "Basic ZWxhc3RpYzpwQHNz"},
		"api key": {"", "?api_key=a2V5", "ApiKey a2V5"},
		"open":    {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := searchtest.New(t)
			s.Auth = with.header
			c := open(t, "elasticsearch+http://"+with.before+strings.TrimPrefix(s.URL, "http://")+with.after)
			all := documents(2000, 6000) // 12 MB
			for range 2 {
				rejected, err := c.Index(t.Context(), all)
				if err != nil || len(rejected) != 0 {
					t.Fatal(rejected, err)
				}
			}
			kept := s.Documents()
			if writes, requests := s.Counts(); len(kept) != 2000 || writes != 4000 || requests != 6 {
				t.Errorf("%d documents of %d writes in %d requests", len(kept), writes, requests)
			}
			var got struct{ N int }
			if err := json.Unmarshal(kept["i-2026.02/d1999"], &got); err != nil || got.N != 1999 {
				t.Errorf("the last document is %v, %v", got, err)
			}
			if rejected, err := c.Index(t.Context(), nil); err != nil || len(rejected) != 0 {
				t.Errorf("no documents: %v, %v", rejected, err)
			}
		})
	}
}

func TestRejectedDocuments(t *testing.T) {
	t.Parallel()
	s := searchtest.New(t)
	c := open(t, s.Address())
	if err := c.PutTemplate(t.Context(), "i", json.RawMessage(`{"index_patterns": ["i-*"], "template": {"mappings": {"properties": {"n": {"type": "integer"}}}}}`)); err != nil {
		t.Fatal(err)
	}
	all := documents(1000, 6000)
	for _, i := range []int{0, 7, 999} { // in both requests
		all[i].Body = json.RawMessage(`{"n":"seven"}`)
	}
	rejected, err := c.Index(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 7, 999} {
		if rejected[i] == nil || !strings.Contains(rejected[i].Error(), "failed to parse field [n]") {
			t.Errorf("document %d: %v", i, rejected[i])
		}
	}
	if kept := len(s.Documents()); len(rejected) != 3 || kept != 997 {
		t.Errorf("%d rejected, %d kept", len(rejected), kept)
	}
}

// TestOutOfReach has the server be busy, broken, strange and gone: nothing of it is a
// document's fault.
func TestOutOfReach(t *testing.T) {
	t.Parallel()
	always := func(status int, header, text string) func(http.ResponseWriter, bool) bool {
		return func(w http.ResponseWriter, after bool) bool {
			if !after {
				if header != "" {
					w.Header().Set("Retry-After", header)
				}
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
			}
			return true
		}
	}
	usual := 5 * time.Second
	for name, tc := range map[string]struct {
		set  func(s *searchtest.Server)
		wait time.Duration
	}{
		"too many":         {func(s *searchtest.Server) { s.Fail = always(429, "17", "") }, 17 * time.Second},
		"too many, a date": {func(s *searchtest.Server) { s.Fail = always(429, "Fri, 27 Nov 2026 08:00:00 GMT", "") }, usual},
		"unavailable":      {func(s *searchtest.Server) { s.Fail = always(503, "", "no master") }, usual},
		"a proxy's page":   {func(s *searchtest.Server) { s.Fail = always(200, "", "<html>") }, usual},
		"another's answer": {func(s *searchtest.Server) { s.Fail = always(200, "", `{"items":[]}`) }, usual},
		"another's id": {func(s *searchtest.Server) {
			s.Fail = always(200, "", `{"items":[{"index":{"_id":"z","status":201}},{"index":{"_id":"d1","status":201}}]}`)
		}, usual},
		"a redirect":    {func(s *searchtest.Server) { s.Fail = always(302, "", "") }, usual},
		"bad request":   {func(s *searchtest.Server) { s.Fail = always(400, "", "") }, usual},
		"password":      {func(s *searchtest.Server) { s.Auth = "Basic x" }, usual},
		"item too many": {func(s *searchtest.Server) { s.Item = status("d1", 429) }, usual},
		"item failed":   {func(s *searchtest.Server) { s.Item = status("d1", 500) }, usual},
		"disk full":     {func(s *searchtest.Server) { s.Item = status("d1", 403) }, usual},
		"gone":          {func(s *searchtest.Server) { s.Close() }, usual},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := searchtest.New(t)
			tc.set(s)
			_, err := open(t, s.Address()).Index(t.Context(), documents(2, 1))
			f, _ := fault.From(err)
			if !errors.Is(err, search.ErrUnavailable) || f.RetryAfter != tc.wait {
				t.Errorf("%v, to try again after %v, want %v", err, f.RetryAfter, tc.wait)
			}
		})
	}
}

func status(id string, code int) func(string) int {
	return func(of string) int {
		if of == id {
			return code
		}
		return 0
	}
}

// TestTooLarge meets a server with a limit far below ours.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := searchtest.New(t)
	s.BytesMax = 10_000
	all := documents(40, 1000)
	all[13].Body = json.RawMessage(`"` + strings.Repeat("y", 10_000) + `"`)
	rejected, err := open(t, s.Address()).Index(t.Context(), all)
	var which []int
	for i := range rejected {
		which = append(which, i)
	}
	if diff := cmp.Diff([]int{13}, which); diff != "" || err != nil || len(s.Documents()) != 39 {
		t.Errorf("%v, %d kept, rejected (-want +got):\n%s", err, len(s.Documents()), diff)
	}
}

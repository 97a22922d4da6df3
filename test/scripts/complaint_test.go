package scripts

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
)

// complain posts a complaint to a process, and gives the status and the error's code.
func (r *roles) complain(at *harness.Server, key string, fields map[string]string) (int, string) {
	r.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := form.WriteField(name, value); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		r.t.Fatal(err)
	}
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, at.URL+"/api/v1/complaints", &body)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Content-Type", form.FormDataContentType())
	q.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct {
		Error string `json:"error"`
	}
	raw, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(raw, &said)
	}
	if err != nil {
		r.t.Fatalf("%d %q: %v", resp.StatusCode, raw, err)
	}
	return resp.StatusCode, said.Error
}

// TestComplainAtAnEdge: the page that every consumer page leads to is there where scans are
// answered; what it sends is kept where SQL is, once; what is wrong is said; and while nobody
// can keep it that is said too.
func TestComplainAtAnEdge(t *testing.T) {
	t.Parallel()
	r := newRoles(t)
	edge := r.startEdge("edge-1")
	if status, page := r.get(edge, "/complaint?lang=en"); status != http.StatusOK || !strings.Contains(page, `action="/api/v1/complaints"`) {
		t.Fatalf("the page: %d %s", status, page)
	}
	for range 2 {
		if status, said := r.complain(edge, "one", map[string]string{"text": "the label peels off"}); status != http.StatusOK {
			t.Fatalf("a complaint: %d %s", status, said)
		}
	}
	if status, said := r.complain(edge, "two", map[string]string{"text": "x", "code": "12"}); status != http.StatusBadRequest || said != "code.malformed" {
		t.Errorf("a code that is none: %d %s", status, said)
	}
	var kept struct {
		Complaints []struct {
			Text string `json:"text"`
		} `json:"complaints"`
	}
	if err := r.issue.Must(t.Context(), http.MethodGet, "/api/v1/complaints", nil, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.Complaints) != 1 || kept.Complaints[0].Text != "the label peels off" {
		t.Errorf("kept: %+v", kept)
	}
	r.issue.Kill()
	if status, said := r.complain(edge, "three", map[string]string{"text": "x"}); status != http.StatusServiceUnavailable || said != "complaint.unavailable" {
		t.Errorf("while nobody can keep it: %d %s", status, said)
	}
}

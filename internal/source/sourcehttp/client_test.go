package sourcehttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/source"
)

const ours = "123456789012345678"

const story = `{"code":"` + ours + `","parts":[{"stage":"logistics","time":"2026-02-01T08:00:00+08:00","location":"上海仓","details":{"carrier":"顺丰","n":1.5}}],"more":1}`

func ask() source.Ask {
	return source.Ask{Code: ours, Brand: 1001, BatchNo: "B-1", Product: 7}
}

func peer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestClient asks peers that answer as they should, and in every other way.
func TestClient(t *testing.T) {
	t.Parallel()
	c := NewClient(egress.New(true))
	t.Cleanup(func() { _ = c.Close() })
	good := peer(t, func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q["code"] != ours || q["brand_id"] != 1001.0 || q["batch_no"] != "B-1" || q["product_id"] != 7.0 ||
			r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer sesame" || r.URL.RequestURI() != "/ask?x=1" {
			t.Errorf("asked %v %v %v", q, r, err)
		}
		_, _ = io.WriteString(w, story)
	})
	a, err := c.Ask(t.Context(), good+"/ask?x=1", "sesame", ask())
	if err != nil || a.Code != ours || len(a.Parts) != 1 || a.Parts[0].Stage != "logistics" || a.Parts[0].Location != "上海仓" ||
		!a.Parts[0].Time.Equal(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)) || a.Parts[0].Details["n"] != 1.5 {
		t.Errorf("%+v %v", a, err)
	}
	var visited atomic.Int64
	elsewhere := peer(t, func(w http.ResponseWriter, _ *http.Request) { visited.Add(1); _, _ = io.WriteString(w, story) })
	for what, p := range map[string]struct {
		answer http.HandlerFunc
		want   *fault.Error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
		}, source.ErrWrong},
		"huge": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", answerMax)+story)
		}, source.ErrWrong},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		}, source.ErrWrong},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, source.ErrWrong},
		"bad time": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Replace(story, "2026-02-01", "yesterday ", 1))
		}, source.ErrWrong},
		"error":      {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, story, http.StatusInternalServerError) }, source.ErrNoAnswer},
		"not there":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, story, http.StatusNotFound) }, source.ErrNoAnswer},
		"no content": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, source.ErrNoAnswer},
		"headers":    {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*headerMax)) }, source.ErrNoAnswer},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, source.ErrNoAnswer},
	} {
		url := peer(t, p.answer)
		if _, err := c.Ask(t.Context(), url, "", ask()); !errors.Is(err, p.want) || strings.Contains(err.Error(), "token") {
			t.Errorf("%s: %v, want %v", what, err, p.want)
		}
	}
	if visited.Load() != 0 {
		t.Error("a redirect was followed")
	}
	shut := NewClient(egress.New(false))
	if _, err := shut.Ask(t.Context(), elsewhere, "", ask()); !errors.Is(err, source.ErrAddress) || visited.Load() != 0 {
		t.Errorf("this machine was asked: %v", err)
	}
}

package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/search/searchtest"
)

// TestWords: through both engines, what was made is found when the index has caught up, a
// change and a removal too, nobody finds another's, nor a kind that he may not read, and
// nothing of it is told to who follows events.
func TestWords(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, c *Config){
		"file":   func(*testing.T, *Config) {},
		"server": func(t *testing.T, c *Config) { t.Helper(); c.Search = searchtest.New(t).Address() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wordsAreFound(t, openDesk(t, func(c *Config) { change(t, c) }))
		})
	}
}

func wordsAreFound(t *testing.T, d *desk) {
	number := func(path, body, field string) string {
		t.Helper()
		status, answer, _ := d.ask(http.MethodPost, path, matrixAdminKey, body)
		if status != http.StatusOK || answer[field] == nil {
			t.Fatalf("POST %s: %d %v", path, status, answer)
		}
		return fmt.Sprint(answer[field])
	}
	patch := func(path, body string) {
		t.Helper()
		if status, answer, _ := d.ask(http.MethodPatch, path, matrixAdminKey, body); status != http.StatusOK {
			t.Fatalf("PATCH %s: %d %v", path, status, answer)
		}
	}
	found := func(key, q, want string) {
		t.Helper()
		if err := d.a.words.Catch(t.Context()); err != nil {
			t.Fatal(err)
		}
		status, answer, _ := d.ask(http.MethodGet, "/api/v1/search?q="+url.QueryEscape(q), key, "")
		var got []string
		hits, _ := answer["hits"].([]any)
		for _, h := range hits {
			one, _ := h.(map[string]any)
			got = append(got, fmt.Sprint(one["kind"], " ", one["title"]))
		}
		if status != http.StatusOK || strings.Join(got, ", ") != want {
			t.Errorf("%q finds %d %q, want %q", q, status, strings.Join(got, ", "), want)
		}
	}
	brand := number("/api/v1/brands", `{"name":"A"}`, "brand_id")
	product := number("/api/v1/products", `{"brand_id":`+brand+`,"name":"飞天茅台酒"}`, "product_id")
	number("/api/v1/batches", `{"product_id":`+product+`,"batch_no":"茅台 2026","quantity":10,"rotate_every":"off"}`, "batch_id")
	patch("/api/v1/brands/"+brand+"/places", `{"set":[{"id":"urn:shop:1","name":"茅台 专卖店","kind":"store"}]}`)
	found(matrixAdminKey, "茅台", "product 飞天茅台酒, batch 茅台 2026, place 茅台 专卖店")
	tenant := number("/api/v1/tenants", `{"name":"another","kind":"brand","brands":[`+number("/api/v1/brands", `{"name":"B"}`, "brand_id")+`],"four_eyes_above":1}`, "tenant_id")
	found(number("/api/v1/keys", `{"name":"theirs","role":"auditor","tenant_id":"`+tenant+`"}`, "key"), "茅台", "")
	patch("/api/v1/products/"+product, `{"name":"Sauce baijiu"}`)
	patch("/api/v1/brands/"+brand+"/places", `{"remove":["urn:shop:1"]}`)
	found(matrixAdminKey, "茅台", "batch 茅台 2026")
	found(matrixAdminKey, "baijiu", "product Sauce baijiu")
	status, answer, _ := d.ask(http.MethodGet, "/api/v1/events?limit=100", matrixAdminKey, "")
	if text := fmt.Sprint(answer); status != http.StatusOK || !strings.Contains(text, "code.generated") || strings.Contains(text, "product.") || strings.Contains(text, "place.") {
		t.Errorf("told: %d %s", status, text)
	}
}

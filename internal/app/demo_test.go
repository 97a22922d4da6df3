package app

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDemoIsInOrder: the story of each item of the demo that went some way goes forward: made before
// it was packed, packed before it was shipped, shipped before it was sold. Nothing of it is
// flagged, and nobody is alarmed.
func TestDemoIsInOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t, func(*Config) {})
	for range 2 { // a second start changes nothing
		if err := d.a.seedDemo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	demo := d.a.demoWorld.Load()
	ask := func(path string) map[string]any {
		t.Helper()
		status, answer, _ := d.ask(http.MethodGet, path, matrixAdminKey, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %v", path, status, answer)
		}
		return answer
	}
	order := []string{"commissioning", "packing", "shipping", "receiving", "stocking", "retail_selling"}
	for no := int64(1); no <= demoCases*demoCase+1; no++ {
		for i, b := range []struct {
			name string
			code string
		}{{"liquor", demo.code(&demo.liquor, no)}, {"medicine", demo.code(&demo.pills, no)}} {
			history := ask("/api/v1/codes/" + b.code + "/changes")
			if text := fmt.Sprint(history); strings.Contains(text, "illegal") {
				t.Errorf("%s %d is flagged: %s", b.name, no, text)
			}
			first := map[string]time.Time{}
			var last time.Time
			for _, one := range list(ask("/api/v1/trace/" + b.code)["timeline"]) {
				at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(one["time"]))
				if err != nil || at.Before(last) {
					t.Fatalf("%s %d: %v comes after %v, %v", b.name, no, one, last, err)
				}
				last = at
				details, _ := one["details"].(map[string]any)
				if step := fmt.Sprint(details["step"]); details["step"] != nil && first[step].IsZero() {
					first[step] = at
				}
			}
			want := order[:1] // no more than made
			switch {
			case no == noStory:
				want = order
			case no <= demoCase:
				want = order[:5]
			case no <= demoCases*demoCase:
				want = order[:4]
			}
			for k, step := range want {
				if first[step].IsZero() || k > 0 && !first[want[k-1]].Before(first[step]) {
					t.Errorf("%s %d: %s at %v, all are %v", b.name, no, step, first[step], first)
				}
			}
			if no == 1 {
				pallet := ask("/api/v1/containers/" + url.PathEscape(demoSSCC(i, 0)) + "?deep=true")
				if flags := fmt.Sprint(pallet["flags"]); flags != "[]" && flags != "<nil>" {
					t.Errorf("the pallet of %s has flags %s", b.name, flags)
				}
			}
		}
	}
	for cursor := ""; ; {
		page := ask("/api/v1/events?limit=1000" + cursor)
		events := list(page["events"])
		if slices.ContainsFunc(events, func(e map[string]any) bool { return strings.HasPrefix(fmt.Sprint(e["type"]), "alert.") }) || len(events) == 0 && cursor == "" {
			t.Fatalf("told: %v", page)
		}
		if len(events) < 1000 {
			return
		}
		cursor = "&cursor=" + url.QueryEscape(fmt.Sprint(page["cursor"]))
	}
}

// list are the objects of a list.
func list(of any) (all []map[string]any) {
	many, _ := of.([]any)
	for _, one := range many {
		if m, ok := one.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

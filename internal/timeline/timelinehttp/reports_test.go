package timelinehttp

import (
	"context"
	"encoding/csv"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/timeline"
)

const formula = `=HYPERLINK("http://evil.example","open")`

// poisoned is a brand of whose things each is named as a formula.
type poisoned struct{ *world }

func (poisoned) Walk(_ context.Context, _ ids.BrandID, _ string, _, _ time.Time, tell func(m *timeline.Movement) (bool, error)) error {
	lots := []timeline.LotItems{{Lot: timeline.Lot{Product: 1, BatchNo: "+1+cmd|' /C calc'!A0"}, First: 1, Items: 3}}
	_, err := tell(&timeline.Movement{Time: time.Now(), Step: "-shipping", Places: []string{"@place"}, Lots: lots})
	return err
}

func (poisoned) LifeOf(context.Context, ids.BrandID, ids.Serial) ([]timeline.Event, error) {
	return nil, nil
}

func (poisoned) Named(context.Context, ids.BrandID, []string) ([]timeline.Place, error) {
	return []timeline.Place{{ID: "@place", Name: "\t=1+1", Kind: "shop"}}, nil
}

// TestReportsHaveNoFormulas: no cell of a report is one that a spreadsheet computes, whatever a
// product, a batch or a place is called, and each is one cell.
func TestReportsHaveNoFormulas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := poisoned{w}
	w.rt = httpx.NewRouter(w, obs.NewMetrics(), slog.New(slog.DiscardHandler))
	Mount(w.rt, Deps{
		Service: timeline.NewService(timeline.Config{
			Items: w, Store: p, Movements: p, Rules: func(ids.BrandID) timeline.Rules { return timeline.Rules{} }, Clock: clock.System{},
			Log: slog.New(slog.DiscardHandler), Canonical: func(s string) string { return s },
		}),
		Brands: w, Pages: w, Auth: w, Clock: clock.System{}, Traced: func(time.Duration) {}, Asked: func(ids.BrandID, bool) {},
		Products: func(context.Context, ids.ProductID) (string, error) { return formula, nil },
	})
	for _, path := range []string{"/api/v1/reports/trace-flow?brand_id=7", "/api/v1/reports/trace-completeness?brand_id=7"} {
		rec := w.ask("GET", path, "", "Authorization: "+key)
		rows, err := csv.NewReader(strings.NewReader(rec.Body.String())).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%s: %d rows, %v: %d %s", path, len(rows), err, rec.Code, rec.Body)
		}
		for i, cell := range rows[1] {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%s, %s is a formula: %q", path, rows[0][i], cell)
			}
		}
		if rows[1][1] != "'"+formula {
			t.Errorf("%s: the product is %q", path, rows[1][1])
		}
	}
}

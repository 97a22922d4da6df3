package crash

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// checkEffects holds what consumers made of the scans to the counts that were
// answered: each scan is in the log, in the records and in the statistics once. It
// ends the server in order.
func (w *world) checkEffects(ctx context.Context) error {
	var want int64
	for _, a := range w.actors {
		for _, it := range a.items {
			want += it.highest
			n, err := w.history(ctx, it.code)
			if err != nil {
				return err
			}
			if n != it.highest {
				w.reportf("%s: its history has %d scans, the last answer said %d", it.code, n, it.highest)
			}
		}
	}
	counted, err := w.counted(ctx)
	if err != nil {
		return err
	}
	if err := w.server.Stop(); err != nil {
		return err
	}
	kept, err := recorded(ctx, w.Data)
	if err != nil {
		return err
	}
	if counted != want || kept != want {
		w.reportf("%d scans were answered; the statistics have %d, the records %d", want, counted, kept)
	}
	w.consumed = want
	return nil
}

// history counts the scans that are listed of a code.
func (w *world) history(ctx context.Context, code string) (n int64, _ error) {
	for cursor := ""; ; {
		var page struct {
			Scans  []struct{} `json:"scans"`
			Cursor *string    `json:"cursor"`
		}
		path := "/api/v1/codes/" + code + "/scans?limit=100&cursor=" + url.QueryEscape(cursor)
		if err := w.server.Must(ctx, http.MethodGet, path, nil, &page); err != nil {
			return n, err
		}
		n += int64(len(page.Scans))
		if page.Cursor == nil {
			return n, nil
		}
		cursor = *page.Cursor
	}
}

// counted is what the statistics say of the pool when all consumers are done.
func (w *world) counted(ctx context.Context) (int64, error) {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		behind := 0.0
		for _, group := range []string{"scan-records", "scan-statistics"} {
			n, err := w.server.Metric(ctx, `chopmark_stream_lag_records{group="`+group+`"}`)
			if err != nil {
				return 0, err
			}
			behind += n
		}
		if behind == 0 {
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("consumers are still behind: %w", ctx.Err())
		}
	}
	var stats struct {
		Totals struct {
			Scans int64 `json:"scans"`
		} `json:"totals"`
	}
	from := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	err := w.server.Must(ctx, http.MethodGet, "/api/v1/scan-stats?by=day&batch_id="+w.pool+"&from="+from, nil, &stats)
	return stats.Totals.Scans, err
}

// recorded counts the rows of a stopped server's day files.
func recorded(ctx context.Context, data string) (n int64, _ error) {
	days, err := filepath.Glob(filepath.Join(data, "scans", "records", "*.db"))
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		db, err := sqldb.OpenSQLite(ctx, day)
		if err != nil {
			return 0, err
		}
		var rows int64
		err = db.Reader().QueryRowContext(ctx, "SELECT COUNT(*) FROM scan_records").Scan(&rows)
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return 0, fmt.Errorf("count records in %s: %w", day, err)
		}
		n += rows
	}
	return n, nil
}

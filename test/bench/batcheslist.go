package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/test/harness"
)

const (
	listedBatches = 1_000_000
	listedRare    = 1000 // of a second product, the oldest
	listedTimes   = 40
	listedPage    = 100
)

// benchBatchesList pages through a table of a million batches: its beginning, its middle, its
// end, and the batches of a product that are the oldest of all.
func benchBatchesList(ctx context.Context, b *bench) error {
	data := b.data("batches-list")
	server, err := harness.Start(ctx, b.bin, data)
	if err != nil {
		return err
	}
	common, rare, err := listedShop(ctx, server)
	if err == nil {
		err = server.Stop()
	} else {
		server.Kill()
	}
	if err != nil {
		return err
	}
	if err := fillBatches(ctx, filepath.Join(data, "chopmark.db"), common, rare); err != nil {
		return err
	}
	if server, err = harness.Start(ctx, b.bin, data); err != nil {
		return err
	}
	defer server.Kill()
	for _, page := range []struct {
		what  string
		query string
	}{
		{"the newest", ""}, {"in the middle", "&cursor=" + listCursor(listedBatches/2)}, {"the last", "&cursor=" + listCursor(listedPage)},
		{"of a product whose are the oldest", fmt.Sprintf("&product_id=%d", rare)},
	} {
		took, err := pageTimes(ctx, server, fmt.Sprintf("/api/v1/batches?limit=%d%s", listedPage, page.query))
		if err != nil {
			return err
		}
		b.rowf(fmt.Sprintf("a page of %d of %d batches, %s: median, longest", listedPage, listedBatches, page.what), "≤ 100 ms", "%v, %v",
			micros(took[len(took)/2]), micros(took[len(took)-1]))
	}
	return nil
}

// listedShop makes two products with a batch each, which fillBatches takes for a pattern.
func listedShop(ctx context.Context, s *harness.Server) (common, rare int32, _ error) {
	many, err := openShop(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	other, err := openShop(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	for _, one := range []*shop{many, other} {
		if _, err := one.batch(ctx, "first", 10_000, "off"); err != nil {
			return 0, 0, err
		}
	}
	return many.product, other.product, nil
}

// fillBatches adds rows as batches of long ago would have left them. The server is not
// there meanwhile: it takes what the database has.
func fillBatches(ctx context.Context, path string, common, rare int32) error {
	db, err := sqldb.OpenSQLite(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // what was committed is there
	const batches = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO batches (batch_id, product_id, brand_id, batch_no, first_serial, quantity, mark, rotate_seconds, inner_key_id, expires_at, production_date, description, created_at)
		SELECT 'bat_' || printf('%026d', i), b.product_id, b.brand_id, 'no ' || i, b.first_serial + 20000000 + i * 10, 10, b.mark, 0, '', 0, '', '', 1000 * i
		FROM n CROSS JOIN batches b ON b.product_id = CASE WHEN i <= ? THEN ? ELSE ? END AND b.batch_no = 'first'`
	const free = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO pool_free (batch_id, from_no, to_no) SELECT 'bat_' || printf('%026d', i), 1, 10 FROM n`
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, batches, listedBatches, listedRare, rare, common); err != nil {
			return fmt.Errorf("fill batches: %w", err)
		}
		_, err := tx.ExecContext(ctx, free, listedBatches)
		return err
	})
}

// listCursor leads to what is older than the i-th batch, as the list's own cursors do.
func listCursor(i int) string {
	raw, _ := json.Marshal(map[string]any{"l": "batches", "n": 1000 * i, "i": fmt.Sprintf("bat_%026d", i)}) //nolint:errchkjson // of plain values
	return base64.RawURLEncoding.EncodeToString(raw)
}

// pageTimes asks for one page again and again, and gives the times in order.
func pageTimes(ctx context.Context, s *harness.Server, path string) ([]time.Duration, error) {
	var took []time.Duration
	for range listedTimes {
		var page struct {
			Batches []struct {
				ID string `json:"batch_id"`
			} `json:"batches"`
		}
		start := time.Now()
		if err := s.Must(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		if len(page.Batches) < listedPage-1 {
			return nil, fmt.Errorf("%s gives %d batches", path, len(page.Batches))
		}
	}
	slices.Sort(took)
	return took, nil
}

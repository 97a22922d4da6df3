package sourcesql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/source"
	"github.com/chopmark/chopmark/internal/source/sourceevent"
)

const rowColumns = `code, batch_no, product_id, trace_type, data_source, location, data, happened_at`

func scanRow(r *sql.Rows) (row source.Row, err error) {
	var data []byte
	var happened int64
	if err := r.Scan(&row.Code, &row.BatchNo, &row.Product, &row.Stage, &row.Source, &row.Location, &data, &happened); err != nil {
		return row, err
	}
	row.Time = sqldb.Time(happened)
	if err := json.Unmarshal(data, &row.Details); err != nil {
		return row, fmt.Errorf("read what was pushed: %w", err)
	}
	return row, nil
}

// insertRows adds rows of a brand.
func insertRows(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, rows []source.Row, at int64) error {
	const insert = `INSERT INTO trace_data (data_id, brand_id, ` + rowColumns + `, created_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)`
	for i := range rows {
		r := &rows[i]
		data, err := json.Marshal(r.Details)
		if err != nil {
			return fmt.Errorf("encode what was pushed: %w", err)
		}
		_, err = tx.ExecContext(ctx, insert, ids.NewIn(ids.ShardOf(brand), "trd"), brand, r.Code, r.BatchNo, r.Product, r.Stage, r.Source,
			r.Location, data, sqldb.Micros(r.Time), at)
		if err != nil {
			return fmt.Errorf("add what was pushed: %w", err)
		}
	}
	return nil
}

// AddRows implements source.Store.
func (s *Store) AddRows(ctx context.Context, r ids.Request, p source.Push) (string, bool, error) {
	return idem.Once(ctx, s.brand(p.Brand), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := insertRows(ctx, tx, p.Brand, p.Rows, sqldb.Micros(p.CreatedAt)); err != nil {
			return "", err
		}
		return p.ID, s.tell(ctx, tx, p.Brand, p.ID, sourceevent.Synced{Rows: len(p.Rows), Sources: sources(p.Rows), CreatedBy: p.CreatedBy})
	})
}

func sources(rows []source.Row) (out []string) {
	for i := range rows {
		if !slices.Contains(out, rows[i].Source) {
			out = append(out, rows[i].Source)
		}
	}
	slices.Sort(out)
	return out
}

// tell announces a push. It takes the shard's counter, so it comes last.
func (s *Store) tell(ctx context.Context, tx *sqldb.Tx, brand ids.BrandID, subject string, what sourceevent.Synced) error {
	what.What, what.BrandID = sourceevent.TraceData, int32(brand)
	data, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	stamp, err := outbox.Commit(ctx, tx, ids.ShardOf(brand), s.clock.Now())
	if err != nil {
		return err
	}
	return outbox.Append(ctx, tx, stamp, outbox.Event{Type: sourceevent.DataSynced, BrandID: brand, Subject: subject, Data: data})
}

// Rows implements source.Store.
func (s *Store) Rows(ctx context.Context, q source.Ask, limit int) ([]source.Row, error) {
	db := s.brand(q.Brand).Reader()
	rows, err := sqldb.Collect(ctx, db, scanRow, `SELECT `+rowColumns+` FROM trace_data
		WHERE code = ? AND brand_id = ? ORDER BY happened_at DESC, data_id LIMIT ?`, q.Code, q.Brand, limit)
	if err != nil || q.BatchNo == "" {
		return rows, err
	}
	of, err := sqldb.Collect(ctx, db, scanRow, `SELECT `+rowColumns+` FROM trace_data
		WHERE brand_id = ? AND batch_no = ? AND code = '' AND product_id IN (0, ?) ORDER BY happened_at DESC, data_id LIMIT ?`,
		q.Brand, q.BatchNo, q.Product, limit)
	if err != nil {
		return nil, err
	}
	rows = append(rows, of...)
	slices.SortStableFunc(rows, func(a, b source.Row) int { return b.Time.Compare(a.Time) })
	return rows[:min(len(rows), limit)], nil
}

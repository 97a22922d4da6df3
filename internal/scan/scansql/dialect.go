package scansql

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// What the dialects say differently is in this file, but for what only one of the
// engines says: shared*.go and summary.go are in MySQL's words.
const (
	upsertPolicy = `INSERT INTO scan_policies (brand_id, ip_days, changed_at) VALUES (?,?,?)
		ON CONFLICT (brand_id) DO UPDATE SET ip_days = excluded.ip_days, changed_at = excluded.changed_at`
	insertKey = `INSERT INTO scan_keys (brand_id, day, wrapped) VALUES (?,?,?) ON CONFLICT DO NOTHING`
	upsertDay = `INSERT INTO scan_days (day, low_pos, high_pos, closed_at) VALUES (?,?,?,?)
		ON CONFLICT (day) DO UPDATE SET low_pos = MIN(low_pos, excluded.low_pos), high_pos = MAX(high_pos, excluded.high_pos),
		closed_at = MAX(closed_at, excluded.closed_at)`
	ignoreDuplicates = ` ON CONFLICT DO NOTHING`
	addCounts        = ` ON CONFLICT (grain, brand_id, start, product_id, batch_first, province, verdict) DO UPDATE SET
		scans = scans + excluded.scans, sessions = sessions + excluded.sessions,
		first_scans = first_scans + excluded.first_scans, first_of_day = first_of_day + excluded.first_of_day`
	upsertSketch = `INSERT INTO scan_sketches (brand_id, day, product_id, batch_first, sketch) VALUES (?,?,?,?,?)
		ON CONFLICT (brand_id, day, product_id, batch_first) DO UPDATE SET sketch = excluded.sketch`
	upsertTop = `INSERT INTO scan_top_codes (brand_id, serial, scans, last_at) VALUES (?,?,?,?)
		ON CONFLICT (brand_id, serial) DO UPDATE SET scans = MAX(scans, excluded.scans), last_at = MAX(last_at, excluded.last_at)`
	upsertNewest = `INSERT INTO scan_newest (one, at) VALUES (1,?) ON CONFLICT (one) DO UPDATE SET at = MAX(at, excluded.at)`
)

// The same in MySQL's words, for what both engines do. An update to what is there
// already changes nothing, and unlike INSERT IGNORE hides no other failure.
const (
	upsertPolicyMySQL = `INSERT INTO scan_policies (brand_id, ip_days, changed_at) VALUES (?,?,?)
		ON DUPLICATE KEY UPDATE ip_days = VALUES(ip_days), changed_at = VALUES(changed_at)`
	insertKeyMySQL = `INSERT INTO scan_keys (brand_id, day, wrapped) VALUES (?,?,?) ON DUPLICATE KEY UPDATE day = VALUES(day)`
)

// secureDelete makes the writer overwrite what it deletes. It is the connection's
// setting, and a pool may have made a new one.
func secureDelete(ctx context.Context, tx *sqldb.Tx) error {
	var on int
	if err := tx.QueryRowContext(ctx, `PRAGMA secure_delete = ON`).Scan(&on); err != nil {
		return fmt.Errorf("overwrite what is deleted: %w", err)
	}
	return nil
}

// emptyLog moves the write-ahead log into the database and cuts it to nothing; old
// pages stand in it until then. done is false when a reader was in the way.
func emptyLog(ctx context.Context, db *sqldb.DB) (done bool, _ error) {
	var busy, pages, moved int
	err := db.Reader().QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved)
	if err != nil {
		return false, fmt.Errorf("empty the log of %s: %w", db.Name(), err)
	}
	return busy == 0, nil
}

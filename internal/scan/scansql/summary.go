package scansql

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/inbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Tallied is what an item's sightings that were consumed add up to.
type Tallied struct {
	Serial          ids.Serial
	Count, Sessions int64
	FirstAt, LastAt int64 // microseconds
	FirstIn, LastIn verifyevent.Place
}

// Summary keeps a row for each item that was ever scanned, for ever: what the counts
// that processes share are loaded from, and brought up to after they were lost.
type Summary struct {
	db    *sqldb.DB
	mine  func(ids.BrandID) bool // nil = all brands are summed up here
	raise func(ctx context.Context, items []Tallied) error
}

var _ stream.Handler = (*Summary)(nil)

// Handle implements stream.Handler. All items of the batch are told to raise, also when
// the batch was consumed before: who is told may not have been.
func (s *Summary) Handle(ctx context.Context, lane int, batch []stream.Message) error {
	all, err := seenOfAll(batch)
	if err != nil {
		return err
	}
	err = s.db.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		fresh, err := inbox.Take(ctx, tx, scan.GroupSummary, lane, batch)
		if err != nil || len(fresh) == 0 {
			return err
		}
		seen, err := seenOfAll(fresh)
		if err != nil {
			return err
		}
		return addTallied(ctx, tx, own(seen, s.mine))
	})
	if err == nil && s.raise != nil {
		err = s.tell(ctx, own(all, s.mine))
	}
	if err != nil {
		return outOfReach(fmt.Errorf("sum up scans: %w", err))
	}
	return nil
}

func addTallied(ctx context.Context, tx *sqldb.Tx, seen []*scan.Seen) error {
	items := map[ids.Serial]*Tallied{}
	for _, v := range seen {
		t := items[v.Serial]
		if t == nil {
			t = &Tallied{Serial: v.Serial, FirstAt: v.At, LastAt: v.At, FirstIn: v.Place, LastIn: v.Place}
			items[v.Serial] = t
		}
		t.Count++
		if v.What.Has(verifyevent.NewSession) {
			t.Sessions++
		}
		if v.At < t.FirstAt {
			t.FirstAt, t.FirstIn = v.At, v.Place
		}
		if v.At >= t.LastAt {
			t.LastAt, t.LastIn = v.At, v.Place
		}
	}
	var values []any
	for _, serial := range slices.Sorted(maps.Keys(items)) {
		t := items[serial]
		values = append(values, int64(serial), t.Count, t.Sessions, t.FirstAt, t.FirstIn.Country, t.FirstIn.Province, t.FirstIn.City,
			t.LastAt, t.LastIn.Country, t.LastIn.Province, t.LastIn.City)
	}
	const width = 11
	for chunk := range slices.Chunk(values, width*rowsMax) {
		// The times come last: what stands before them compares with the old ones.
		query := `INSERT INTO scan_summaries (serial, scans, sessions, first_at, first_country, first_province, first_city,
				last_at, last_country, last_province, last_city) VALUES (?,?,?,?,?,?,?,?,?,?,?)` +
			strings.Repeat(`,(?,?,?,?,?,?,?,?,?,?,?)`, len(chunk)/width-1) + ` ON DUPLICATE KEY UPDATE
				scans = scans + VALUES(scans), sessions = sessions + VALUES(sessions),
				first_country = IF(VALUES(first_at) < first_at, VALUES(first_country), first_country),
				first_province = IF(VALUES(first_at) < first_at, VALUES(first_province), first_province),
				first_city = IF(VALUES(first_at) < first_at, VALUES(first_city), first_city),
				last_country = IF(VALUES(last_at) >= last_at, VALUES(last_country), last_country),
				last_province = IF(VALUES(last_at) >= last_at, VALUES(last_province), last_province),
				last_city = IF(VALUES(last_at) >= last_at, VALUES(last_city), last_city),
				first_at = LEAST(first_at, VALUES(first_at)), last_at = GREATEST(last_at, VALUES(last_at))`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	return nil
}

// tell reads the summaries of sightings' items, and tells them.
func (s *Summary) tell(ctx context.Context, seen []*scan.Seen) error {
	known := map[ids.Serial]bool{}
	var serials []any
	for _, v := range seen {
		if !known[v.Serial] {
			known[v.Serial] = true
			serials = append(serials, int64(v.Serial))
		}
	}
	for chunk := range slices.Chunk(serials, rowsMax) {
		query := selectTallied + ` WHERE serial IN (?` + strings.Repeat(`,?`, len(chunk)-1) + `)`
		items, err := sqldb.Collect(ctx, s.db.Reader(), scanTallied, query, chunk...)
		if err == nil {
			err = s.raise(ctx, items)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const selectTallied = `SELECT serial, scans, sessions, first_at, first_country, first_province, first_city, last_at, last_country, last_province, last_city
	FROM scan_summaries`

func scanTallied(r *sql.Rows) (t Tallied, err error) {
	err = r.Scan(&t.Serial, &t.Count, &t.Sessions, &t.FirstAt, &t.FirstIn.Country, &t.FirstIn.Province, &t.FirstIn.City,
		&t.LastAt, &t.LastIn.Country, &t.LastIn.Province, &t.LastIn.City)
	return t, err
}

// Tally tells what an item's sightings that were consumed add up to; ok is false for an
// item without any.
func (s *Summary) Tally(ctx context.Context, serial ids.Serial) (_ Tallied, ok bool, _ error) {
	found, err := sqldb.Collect(ctx, s.db.Reader(), scanTallied, selectTallied+` WHERE serial = ?`, int64(serial))
	if err != nil {
		return Tallied{}, false, fmt.Errorf("read the summary of an item: %w", err)
	}
	if len(found) == 0 {
		return Tallied{}, false, nil
	}
	return found[0], true, nil
}

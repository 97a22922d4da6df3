package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// SharedRecords keeps one row for each scan, in a partition for each UTC day.
type SharedRecords struct {
	db    *sqldb.DB
	vault *Vault
	codes scan.Codes
	keep  atomic.Int64 // whole days
	clock clock.Clock
	log   *slog.Logger

	noted sync.Map // scan.Day: those that scan_days surely has while they are kept
}

var (
	_ scan.Records   = (*SharedRecords)(nil)
	_ scan.ByCode    = (*SharedRecords)(nil)
	_ stream.Handler = (*SharedRecords)(nil)
)

// Handle implements stream.Handler. The rows' key is the sighting's name, so no inbox
// is needed.
func (r *SharedRecords) Handle(ctx context.Context, _ int, batch []stream.Message) error {
	seen, err := seenOfAll(batch)
	if err != nil {
		return err
	}
	return outOfReach(r.Add(ctx, seen))
}

// rowsMax is how many rows go with one statement.
const rowsMax = 256

// Add implements scan.Records: all or nothing.
func (r *SharedRecords) Add(ctx context.Context, seen []*scan.Seen) error {
	if len(seen) == 0 {
		return nil
	}
	seen = slices.SortedFunc(slices.Values(seen), func(a, b *scan.Seen) int {
		return cmp.Or(cmp.Compare(scan.DayOf(a.At), scan.DayOf(b.At)), compareRefs(a.Ref, b.Ref))
	})
	values, err := r.values(ctx, seen)
	if err != nil {
		return err
	}
	fresh := map[scan.Day]bool{}
	for _, s := range seen {
		day := scan.DayOf(s.At)
		if _, ok := r.noted.Load(day); !ok {
			fresh[day] = true
		}
	}
	err = r.db.Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, day := range slices.Sorted(maps.Keys(fresh)) {
			const query = `INSERT INTO scan_days (day, closed_at) VALUES (?,0) ON DUPLICATE KEY UPDATE day = VALUES(day)`
			if _, err := tx.ExecContext(ctx, query, day); err != nil {
				return err
			}
		}
		return addRows(ctx, tx, values)
	})
	if err != nil {
		return fmt.Errorf("add %d scan records: %w", len(seen), err)
	}
	for day := range fresh {
		if day >= r.oldest() { // an older one may be deleted by whoever sweeps
			r.noted.Store(day, true)
		}
	}
	return nil
}

func addRows(ctx context.Context, tx *sqldb.Tx, values []any) error {
	for chunk := range slices.Chunk(values, rowsMax*sharedParams) {
		query := sharedInsert + strings.Repeat(`,`+sharedRow, len(chunk)/sharedParams-1) + ` ON DUPLICATE KEY UPDATE user_id = user_id`
		if _, err := tx.ExecContext(ctx, query, chunk...); err != nil {
			return err
		}
	}
	return nil
}

const (
	sharedRow    = `(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	sharedParams = 22
	sharedInsert = `INSERT INTO scan_records (day, result, ` + sharedColumns + `) VALUES ` + sharedRow
	// sharedColumns are in the order of recordColumns.
	sharedColumns = `pos, n, code, serial, brand_id, product_id, batch_first, scan_time, facts, error_msg, device, location, ip, ip_sealed, user_agent, user_timezone, trace_id, prev_pos, prev_n, user_id`
)

// values are the rows of sightings. What is not known is NULL.
func (r *SharedRecords) values(ctx context.Context, seen []*scan.Seen) ([]any, error) {
	random, sealers := nonces(len(seen)), map[brandDay]*scan.Sealer{}
	values := make([]any, 0, len(seen)*sharedParams)
	for _, s := range seen {
		day := scan.DayOf(s.At)
		result, word := scan.Judge(&s.Sighting)
		var device, prevPos, prevN, network, sealed, trace, user any
		if s.Device != 0 {
			device = int64(s.Device)
		}
		if s.Prev != (verifyevent.Ref{}) {
			prevPos, prevN = int64(s.Prev.At), int64(s.Prev.N)
		}
		if s.IP.IsValid() {
			network = scan.CoarseText(s.IP)
			id := brandDay{s.Brand, day}
			sealer, ok := sealers[id]
			if !ok {
				var err error
				if sealer, err = r.vault.Sealer(ctx, s.Brand, day); err != nil {
					return nil, err
				}
				sealers[id] = sealer
			}
			if sealer != nil {
				sealed = sealer.Seal(random[:scan.NonceBytes], s.IP)
				random = random[scan.NonceBytes:]
			}
		}
		if s.What.Has(verifyevent.Traced) {
			trace = s.Trace.ID[:]
		}
		if s.User != 0 {
			user = s.User
		}
		values = append(values, int64(day), int64(result),
			int64(s.Ref.At), int64(s.Ref.N), r.codes.Code(s.Serial), int64(s.Serial), int64(s.Brand), int64(s.Product), int64(s.FirstOfBatch()), s.At,
			int64(result)|int64(s.Verdict)<<8|int64(s.Source)<<16|int64(s.What)<<24, textOrNull(word), device, textOrNull(s.Place.String()),
			network, sealed, textOrNull(s.Agent), textOrNull(s.Zone), trace, prevPos, prevN, user)
	}
	return values, nil
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// open adds what only keys can open.
func (r *SharedRecords) open(ctx context.Context, rows []row, err error) ([]scan.Record, error) {
	rd := &reader{ctx, r.vault, map[brandDay]*scan.Sealer{}}
	records := make([]scan.Record, 0, len(rows))
	for _, o := range rows {
		rec, oerr := rd.open(o)
		err = errors.Join(err, oerr)
		records = append(records, rec)
	}
	return records, err
}

// Find implements scan.Records. A position says nothing of its day, so that the key is
// looked up in each.
func (r *SharedRecords) Find(ctx context.Context, ref verifyevent.Ref) (scan.Record, bool, error) {
	return r.find(ctx, r.db.Reader(), ref)
}

func (r *SharedRecords) find(ctx context.Context, q sqldb.Querier, ref verifyevent.Ref) (scan.Record, bool, error) {
	const query = `SELECT ` + recordColumns + ` FROM scan_days d JOIN scan_records r ON r.day = d.day WHERE r.pos = ? AND r.n = ?`
	rows, err := sqldb.Collect(ctx, q, scanRow, query, int64(ref.At), ref.N)
	records, err := r.open(ctx, rows, err)
	if err != nil {
		return scan.Record{}, false, fmt.Errorf("find scan record %s: %w", scan.RefText(ref), err)
	}
	if len(records) == 0 {
		return scan.Record{}, false, nil
	}
	return records[0], true, nil
}

// OfDay implements scan.Records.
func (r *SharedRecords) OfDay(ctx context.Context, day scan.Day, code string, limit int) ([]scan.Record, error) {
	const query = `SELECT ` + recordColumns + ` FROM scan_records r WHERE r.day = ? AND r.code = ?
		AND EXISTS (SELECT 1 FROM scan_days d WHERE d.day = ? AND d.closed_at <> 0) ORDER BY r.scan_time DESC LIMIT ?`
	rows, err := sqldb.Collect(ctx, r.db.Reader(), scanRow, query, day, code, day, limit)
	return r.open(ctx, rows, err)
}

// errNotHere makes the primary be asked for what a replica does not have yet.
var errNotHere = errors.New("scansql: a record is not here")

// OfCode implements scan.ByCode.
func (r *SharedRecords) OfCode(ctx context.Context, code string, from verifyevent.Ref, limit int) (_ []scan.Record, next verifyevent.Ref, _ error) {
	records, err := sqldb.ReadStale(ctx, r.db, func(ctx context.Context, q sqldb.Querier) ([]scan.Record, error) {
		return r.ofCode(ctx, q, code, from, limit+1)
	})
	if errors.Is(err, errNotHere) {
		return nil, next, nil
	}
	if err != nil {
		return nil, next, fmt.Errorf("history of a code: %w", err)
	}
	if len(records) > limit {
		records, next = records[:limit], records[limit].Ref
	}
	return records, next, nil
}

func (r *SharedRecords) ofCode(ctx context.Context, q sqldb.Querier, code string, from verifyevent.Ref, limit int) ([]scan.Record, error) {
	const query = `SELECT ` + recordColumns + ` FROM scan_records r WHERE r.code = ?
		AND (r.scan_time < ? OR r.scan_time = ? AND (r.pos < ? OR r.pos = ? AND r.n <= ?))
		ORDER BY r.scan_time DESC, r.pos DESC, r.n DESC LIMIT ?`
	at, pos, n := scan.Latest+1, int64(0), int64(0)
	if from != (verifyevent.Ref{}) {
		first, ok, err := r.find(ctx, q, from)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, errNotHere
		case first.Code != code:
			return nil, scan.ErrBadCursor
		}
		at, pos, n = first.At.UnixMicro(), int64(from.At), int64(from.N)
	}
	rows, err := sqldb.Collect(ctx, q, scanRow, query, code, at, at, pos, pos, n, limit)
	return r.open(ctx, rows, err)
}

// Each implements scan.Records.
func (r *SharedRecords) Each(ctx context.Context, day scan.Day, fn func(scan.Record) error) error {
	const query = `SELECT ` + recordColumns + ` FROM scan_records WHERE day = ? AND (pos > ? OR pos = ? AND n > ?) ORDER BY pos, n LIMIT 1000`
	pos, n := int64(-1), int64(0)
	for {
		rows, err := sqldb.Collect(ctx, r.db.Reader(), scanRow, query, day, pos, pos, n)
		page, err := r.open(ctx, rows, err)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, rec := range page {
			if err := fn(rec); err != nil {
				return err
			}
		}
		last := page[len(page)-1].Ref
		pos, n = int64(last.At), int64(last.N)
	}
}

// Days implements scan.Records.
func (r *SharedRecords) Days(ctx context.Context) ([]scan.DayInfo, error) {
	return sqldb.Collect(ctx, r.db.Reader(), func(rows *sql.Rows) (d scan.DayInfo, err error) {
		var closed int64
		err = rows.Scan(&d.Day, &closed)
		d.Closed = closed != 0
		return d, err
	}, `SELECT day, closed_at FROM scan_days ORDER BY day`)
}

// highest is the last position that a record has.
func (r *SharedRecords) highest(ctx context.Context) (stream.Position, error) {
	var high int64
	err := r.db.Reader().QueryRowContext(ctx, `SELECT COALESCE(MAX(last.pos), 0) FROM
		(SELECT (SELECT r.pos FROM scan_records r WHERE r.day = d.day ORDER BY r.pos DESC LIMIT 1) AS pos FROM scan_days d) AS last`).Scan(&high)
	if err != nil {
		return 0, fmt.Errorf("find the last scan record: %w", err)
	}
	return stream.Position(high), nil
}

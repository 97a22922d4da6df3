package scansql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/scan"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Records keeps one row for each scan, in a file for each UTC day.
type Records struct {
	files dayFiles
	meta  *sqldb.DB
	vault *Vault
	codes scan.Codes
	keep  atomic.Int64 // whole days
	clock clock.Clock
	log   *slog.Logger
	adds  combiner[add]

	settling sync.Mutex // held from the note of a day's range to the rows that it is about
	mu       sync.RWMutex
	days     map[scan.Day]dayInfo // guarded by mu; what scan_days says
}

// dayInfo is what is known of a day without opening its file.
type dayInfo struct {
	low, high uint64 // positions that it may have
	closedAt  int64  // 0 = open
}

var _ scan.Records = (*Records)(nil)

// add is one call of Add.
type add struct {
	ctx  context.Context //nolint:containedctx // who asked may go; the group goes on without its cancellation
	seen []*scan.Seen
}

// togetherMax is how many rows share a transaction: past that a longer one saves
// nothing, and readers and the log of the database wait for it.
const togetherMax = 4000

// OpenRecords opens the folder of day files. keep is in days, 0 for the usual.
func OpenRecords(ctx context.Context, dir string, meta *sqldb.DB, vault *Vault, codes scan.Codes, keep int, c clock.Clock, log *slog.Logger) (*Records, error) {
	r := &Records{
		files: dayFiles{dir: dir, open: map[scan.Day]*dayFile{}}, meta: meta, vault: vault, codes: codes,
		clock: c, log: log, days: map[scan.Day]dayInfo{},
	}
	r.keep.Store(int64(cmp.Or(keep, RecordDaysUsual)))
	r.adds = combiner[add]{run: r.write, size: func(a add) int { return len(a.seen) }, most: togetherMax}
	_, err := sqldb.Collect(ctx, meta.Reader(), func(rows *sql.Rows) (struct{}, error) {
		var day scan.Day
		var low, high, closed int64
		err := rows.Scan(&day, &low, &high, &closed)
		r.days[day] = dayInfo{uint64(low), uint64(high), closed}
		return struct{}{}, err
	}, `SELECT day, low_pos, high_pos, closed_at FROM scan_days`)
	if err != nil {
		return nil, fmt.Errorf("read the days of scan records: %w", err)
	}
	err = r.adopt(ctx)
	return r, err
}

// adopt notes days whose file is there and whose note is not: scans.db was lost, or
// the files came from elsewhere.
func (r *Records) adopt(ctx context.Context) error {
	days, err := r.files.list()
	for _, day := range days {
		if _, ok := r.days[day]; ok || err != nil {
			continue
		}
		var info dayInfo
		err = r.files.with(ctx, day, false, func(f *dayFile) (err error) {
			info, err = rangeOf(ctx, f.db)
			return err
		})
		if err == nil {
			err = r.note(ctx, day, info)
		}
	}
	return err
}

// rangeOf reads the positions that a day's file has, and whether it is closed.
func rangeOf(ctx context.Context, db *sqldb.DB) (info dayInfo, _ error) {
	var low, high int64
	err := db.Reader().QueryRowContext(ctx, `SELECT COALESCE((SELECT MIN(pos) FROM scan_rows), 0), COALESCE((SELECT MAX(pos) FROM scan_rows), 0),
		COALESCE((SELECT MAX(closed_at) FROM scan_day), 0)`).Scan(&low, &high, &info.closedAt)
	info.low, info.high = uint64(low), uint64(high)
	return info, err
}

// Close ends all connections.
func (r *Records) Close() error { return r.files.close() }

// Add implements scan.Records. Calls at the same time share a transaction.
func (r *Records) Add(ctx context.Context, seen []*scan.Seen) error {
	if len(seen) == 0 {
		return nil
	}
	return r.adds.do(add{ctx, seen})
}

// write commits a group of calls, day by day.
func (r *Records) write(acts []add) error {
	ctx := context.WithoutCancel(acts[0].ctx)
	n := 0
	for _, a := range acts {
		n += len(a.seen)
	}
	rows := make([]*scan.Seen, 0, n)
	for _, a := range acts {
		rows = append(rows, a.seen...)
	}
	slices.SortFunc(rows, func(a, b *scan.Seen) int {
		return cmp.Or(cmp.Compare(scan.DayOf(a.At), scan.DayOf(b.At)), compareRefs(a.Ref, b.Ref))
	})
	for len(rows) > 0 {
		day := scan.DayOf(rows[0].At)
		end := 1
		for end < len(rows) && scan.DayOf(rows[end].At) == day {
			end++
		}
		if err := r.writeDay(ctx, day, rows[:end]); err != nil {
			return err
		}
		rows = rows[end:]
	}
	return nil
}

func compareRefs(a, b verifyevent.Ref) int {
	return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.N, b.N))
}

// writeDay commits rows of one day, sorted as the key is.
func (r *Records) writeDay(ctx context.Context, day scan.Day, rows []*scan.Seen) error {
	r.settling.Lock()
	defer r.settling.Unlock()
	if err := r.widen(ctx, day, rows[0].Ref.At, rows[len(rows)-1].Ref.At); err != nil {
		return err
	}
	ins := inserter{codes: r.codes, nonces: nonces(len(rows)), sealers: map[ids.BrandID]*scan.Sealer{}}
	for _, s := range rows {
		if _, ok := ins.sealers[s.Brand]; !ok && s.IP.IsValid() {
			sealer, err := r.vault.Sealer(ctx, s.Brand, day)
			if err != nil {
				return err
			}
			ins.sealers[s.Brand] = sealer
		}
	}
	return r.files.with(ctx, day, true, func(f *dayFile) error {
		texts, err := f.texts(ctx)
		if err != nil {
			return err
		}
		ins.texts = texts
		err = f.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return ins.insert(ctx, tx, rows) })
		if err != nil {
			f.known = nil // it has texts that are not there
			return fmt.Errorf("add %d scan records of %s: %w", len(rows), day, err)
		}
		return nil
	})
}

// widenBy is how far ahead of a position a day is said to reach, so that an open day
// is not noted with each transaction.
const widenBy = 1 << 16

// widen notes which positions a day may have before it has them.
func (r *Records) widen(ctx context.Context, day scan.Day, low, high uint64) error {
	r.mu.RLock()
	info, ok := r.days[day]
	r.mu.RUnlock()
	if ok && info.low <= low && high <= info.high {
		return nil
	}
	if !ok {
		info = dayInfo{low: low, high: high + widenBy}
	}
	info.low = min(info.low, low)
	if high > info.high {
		info.high = high + widenBy
	}
	return r.note(ctx, day, info)
}

func (r *Records) note(ctx context.Context, day scan.Day, info dayInfo) error {
	err := r.meta.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, upsertDay, day, int64(info.low), int64(info.high), info.closedAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("note scan records of %s: %w", day, err)
	}
	r.mu.Lock()
	r.days[day] = info
	r.mu.Unlock()
	return nil
}

const (
	rowColumns = `pos, n, code, serial, brand_id, product_id, batch_first, scan_time, facts, error_msg, device, location_id, ip, ip_sealed, agent_id, zone_id, trace_id, prev_pos, prev_n, user_id`
	rowValues  = `(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	rowParams  = 20

	// Rows go in shapes of many and of one. A statement lives as long as its
	// transaction, so a longer shape costs more to prepare than it saves.
	shapeRows = 16
	insertRow = `INSERT INTO scan_rows (` + rowColumns + `) VALUES ` + rowValues

	// recordColumns are the same, read through the seed's table.
	recordColumns = `pos, n, code, serial, brand_id, product_id, batch_first, scan_time, facts, error_msg, device, location, ip, ip_sealed, user_agent, user_timezone, trace_id, prev_pos, prev_n, user_id`
)

// inserter turns sightings into rows.
type inserter struct {
	codes   scan.Codes
	nonces  []byte
	sealers map[ids.BrandID]*scan.Sealer
	texts   *texts
	args    [shapeRows * rowParams]any
}

func (in *inserter) insert(ctx context.Context, tx *sqldb.Tx, rows []*scan.Seen) error {
	if len(rows) >= shapeRows {
		//nolint:sqlclosecheck // the end of the transaction closes it
		many, err := tx.PrepareContext(ctx, insertRow+strings.Repeat(`,`+rowValues, shapeRows-1)+ignoreDuplicates)
		if err != nil {
			return err
		}
		for ; len(rows) >= shapeRows; rows = rows[shapeRows:] {
			for i, s := range rows[:shapeRows] {
				in.fill(in.args[i*rowParams:][:rowParams], s)
			}
			if _, err := many.ExecContext(ctx, in.args[:]...); err != nil {
				return err
			}
		}
	}
	if len(rows) == 0 {
		return in.texts.write(ctx, tx)
	}
	one, err := tx.PrepareContext(ctx, insertRow+ignoreDuplicates) //nolint:sqlclosecheck // as many
	if err != nil {
		return err
	}
	for _, s := range rows {
		in.fill(in.args[:rowParams], s)
		if _, err := one.ExecContext(ctx, in.args[:rowParams]...); err != nil {
			return err
		}
	}
	return in.texts.write(ctx, tx)
}

// fill binds one row. What is not known is NULL.
func (in *inserter) fill(a []any, s *scan.Seen) {
	result, word := scan.Judge(&s.Sighting)
	clear(a)
	a[0], a[1], a[2], a[3] = int64(s.Ref.At), int64(s.Ref.N), in.codes.Code(s.Serial), int64(s.Serial)
	a[4], a[5], a[6], a[7] = int64(s.Brand), int64(s.Product), int64(s.FirstOfBatch()), s.At
	a[8] = int64(result) | int64(s.Verdict)<<8 | int64(s.Source)<<16 | int64(s.What)<<24
	if word != "" {
		a[9] = word
	}
	if s.Device != 0 {
		a[10] = int64(s.Device)
	}
	if s.Place != (verifyevent.Place{}) {
		a[11] = in.texts.place(s.Place)
	}
	if s.IP.IsValid() {
		a[12] = scan.CoarseText(s.IP)
		if sealer := in.sealers[s.Brand]; sealer != nil {
			a[13] = sealer.Seal(in.nonces[:scan.NonceBytes], s.IP)
			in.nonces = in.nonces[scan.NonceBytes:]
		}
	}
	if s.Agent != "" {
		a[14] = in.texts.id(s.Agent)
	}
	if s.Zone != "" {
		a[15] = in.texts.id(s.Zone)
	}
	if s.What.Has(verifyevent.Traced) {
		a[16] = s.Trace.ID[:]
	}
	if s.Prev != (verifyevent.Ref{}) {
		a[17], a[18] = int64(s.Prev.At), int64(s.Prev.N)
	}
	if s.User != 0 {
		a[19] = s.User
	}
}

// reader turns rows into records. Openers are asked for once a brand and day.
type reader struct {
	ctx     context.Context //nolint:containedctx // lives for one call
	vault   *Vault
	openers map[brandDay]*scan.Sealer
}

func (r *Records) reader(ctx context.Context) *reader {
	return &reader{ctx, r.vault, map[brandDay]*scan.Sealer{}}
}

// row is a record with what only its key can open.
type row struct {
	scan.Record
	sealed []byte
}

func scanRow(rows *sql.Rows) (o row, err error) {
	var (
		pos, n, serial, first, at, facts, device, prevPos, prevN, user sql.NullInt64
		word, place, network, agent, zone                              sql.NullString
		trace                                                          []byte
	)
	err = rows.Scan(&pos, &n, &o.Code, &serial, &o.Brand, &o.Product, &first, &at, &facts, &word, &device, &place, &network,
		&o.sealed, &agent, &zone, &trace, &prevPos, &prevN, &user)
	o.Ref = verifyevent.Ref{At: uint64(pos.Int64), N: uint16(n.Int64)}
	o.Prev = verifyevent.Ref{At: uint64(prevPos.Int64), N: uint16(prevN.Int64)}
	o.Serial, o.Batch, o.At, o.Device = ids.Serial(serial.Int64), ids.Serial(first.Int64), sqldb.Time(at.Int64), uint64(device.Int64)
	f := facts.Int64
	o.Result, o.Verdict, o.Source, o.What = scan.Result(f), uint8(f>>8), uint8(f>>16), verifyevent.What(f>>24)
	o.Error, o.Place, o.Net, o.Agent, o.Zone = word.String, place.String, network.String, agent.String, zone.String
	copy(o.Trace[:], trace)
	o.User = user.Int64
	return o, err
}

// open adds the address to a record when its key still is there and the policy lets
// it be seen.
func (rd *reader) open(o row) (scan.Record, error) {
	if o.sealed == nil {
		return o.Record, nil
	}
	id := brandDay{o.Brand, scan.DayAt(o.At)}
	opener, ok := rd.openers[id]
	if !ok {
		may, err := rd.vault.MayShow(rd.ctx, id.brand, id.day)
		if err == nil && may {
			opener, err = rd.vault.Opener(rd.ctx, id.brand, id.day)
		}
		if err != nil {
			return o.Record, err
		}
		rd.openers[id] = opener
	}
	if opener != nil {
		// What another key sealed is an address that was forgotten and stays so.
		if ip, err := opener.Open(o.sealed); err == nil {
			o.IP = ip
		}
	}
	return o.Record, nil
}

// Find implements scan.Records.
func (r *Records) Find(ctx context.Context, ref verifyevent.Ref) (scan.Record, bool, error) {
	for _, day := range r.mayHave(ref.At) {
		var found []row
		err := r.files.with(ctx, day, false, func(f *dayFile) (err error) {
			found, err = sqldb.Collect(ctx, f.db.Reader(), scanRow,
				`SELECT `+recordColumns+` FROM scan_records WHERE pos = ? AND n = ?`, int64(ref.At), ref.N)
			return err
		})
		if err != nil && !errors.Is(err, errNoDay) {
			return scan.Record{}, false, fmt.Errorf("find scan record %s: %w", scan.RefText(ref), err)
		}
		if len(found) > 0 {
			rec, err := r.reader(ctx).open(found[0])
			return rec, true, err
		}
	}
	return scan.Record{}, false, nil
}

// mayHave lists the days that may have a position, the newest first.
func (r *Records) mayHave(pos uint64) []scan.Day {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var days []scan.Day
	for day, info := range r.days {
		if info.low <= pos && pos <= info.high {
			days = append(days, day)
		}
	}
	slices.SortFunc(days, func(a, b scan.Day) int { return cmp.Compare(b, a) })
	return days
}

// OfDay implements scan.Records.
func (r *Records) OfDay(ctx context.Context, day scan.Day, code string, limit int) ([]scan.Record, error) {
	r.mu.RLock()
	closed := r.days[day].closedAt != 0
	r.mu.RUnlock()
	if !closed {
		return nil, nil
	}
	var out []scan.Record
	err := r.files.with(ctx, day, false, func(f *dayFile) error {
		rows, err := sqldb.Collect(ctx, f.db.Reader(), scanRow,
			`SELECT `+recordColumns+` FROM scan_records WHERE code = ? ORDER BY scan_time DESC LIMIT ?`, code, limit)
		rd := r.reader(ctx)
		for _, o := range rows {
			rec, oerr := rd.open(o)
			err = errors.Join(err, oerr)
			out = append(out, rec)
		}
		return err
	})
	if errors.Is(err, errNoDay) {
		return nil, nil
	}
	return out, err
}

// Each implements scan.Records.
func (r *Records) Each(ctx context.Context, day scan.Day, fn func(scan.Record) error) error {
	const query = `SELECT ` + recordColumns + ` FROM scan_records WHERE pos > ? OR pos = ? AND n > ? ORDER BY pos, n LIMIT 1000`
	rd := r.reader(ctx)
	pos, n := int64(-1), int64(0)
	for {
		var page []row
		err := r.files.with(ctx, day, false, func(f *dayFile) (err error) {
			page, err = sqldb.Collect(ctx, f.db.Reader(), scanRow, query, pos, pos, n)
			return err
		})
		if errors.Is(err, errNoDay) || err == nil && len(page) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		for _, o := range page {
			rec, err := rd.open(o)
			if err == nil {
				err = fn(rec)
			}
			if err != nil {
				return err
			}
		}
		last := page[len(page)-1].Ref
		pos, n = int64(last.At), int64(last.N)
	}
}

// Days implements scan.Records.
func (r *Records) Days(context.Context) ([]scan.DayInfo, error) {
	days, err := r.files.list()
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := make([]scan.DayInfo, len(days))
	for i, d := range days {
		out[i] = scan.DayInfo{Day: d, Closed: r.days[d].closedAt != 0}
	}
	return out, err
}

// closeGrace is how long after its end a day may get late records before its
// indexes are made.
const closeGrace = 10 * time.Minute

package batchsql

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// feedRow is a row of changes without its stamp.
type feedRow struct {
	kind    batch.FeedKind
	id      string
	batch   ids.Serial
	brand   ids.BrandID
	change  batch.Change // for StateChanged
	refused []byte
	serial  ids.Serial // for single items
	version uint16
	actor   string
	reason  string
}

func insertEntry(ctx context.Context, tx *sqldb.Tx, st outbox.Stamp, r feedRow) error {
	const insert = `INSERT INTO changes (shard, seq, kind, change_id, batch_first, brand_id, to_state, reverts, reason, actor, effective_at, at, place, items, unchanged, refused, serial, version, event, event_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`
	if r.refused == nil {
		r.refused = []byte{}
	}
	c := &r.change
	if r.kind == batch.StateChanged {
		r.reason, r.actor = c.Reason, c.Actor
	}
	at := int64(0) // what is told is not later than it is told: acts that follow come after it
	if c.Event != "" {
		at = min(sqldb.Micros(c.Effective), sqldb.Micros(st.At))
	}
	_, err := tx.ExecContext(ctx, insert, st.Shard, st.Seq, r.kind, r.id, int64(r.batch), r.brand, c.To, c.Reverts, r.reason, r.actor,
		sqldb.Micros(st.At), sqldb.Micros(c.At), c.Place, c.Items, c.Unchanged, r.refused, int64(r.serial), r.version, c.Event, at)
	if err != nil {
		return fmt.Errorf("append to feed: %w", err)
	}
	return nil
}

// AppendChange implements batch.Changes.
func (s *Store) AppendChange(ctx context.Context, r ids.Request, c batch.Change, decided int64, events []batch.Event) (batch.Change, bool, error) {
	refused, err := json.Marshal(c.Refused)
	if err != nil {
		return c, false, fmt.Errorf("encode refused items: %w", err)
	}
	shard := ids.ShardOf(c.BrandID)
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := insertCovers(ctx, tx, &c); err != nil {
			return "", err
		}
		stamp, err := announce(ctx, tx, shard, s.clock, events...)
		if err != nil {
			return "", err
		}
		if err := stillDecided(ctx, tx, shard, decided); err != nil {
			return "", err
		}
		return string(c.ID), insertEntry(ctx, tx, stamp, feedRow{
			kind: batch.StateChanged, id: string(c.ID), brand: c.BrandID, change: c, refused: refused,
		})
	})
	if err != nil {
		return c, false, fmt.Errorf("append change: %w", err)
	}
	done, err := s.FindChange(ctx, ids.ChangeID(effect))
	return done, replayed, err
}

// stillDecided answers ErrRaced when a state change came after the position that
// a decision stands on. The shard's counter is held, so none can come any more.
func stillDecided(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, decided int64) error {
	const query = `SELECT seq FROM changes WHERE shard = ? AND kind = ? ORDER BY seq DESC LIMIT 1`
	var last int64
	err := tx.QueryRowContext(ctx, query, shard, batch.StateChanged).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read last change of shard %d: %w", shard, err)
	}
	if last > decided {
		return batch.ErrRaced
	}
	return nil
}

// What a row of change_covers is to its change.
const (
	coverGave    = 0 // it gave its numbers the state
	coverAsked   = 1 // an event says the state of its numbers
	coverRefused = 2 // an act was refused for them; changes.refused has the rest
)

// insertCovers writes what a change did, and what it asked for, so that it is found by
// either.
func insertCovers(ctx context.Context, tx *sqldb.Tx, c *batch.Change) error {
	n := 0
	insert := func(part int, covers []batch.Cover) error {
		for _, cover := range covers {
			if err := insertCover(ctx, tx, c.ID, n, part, cover); err != nil {
				return err
			}
			n++
		}
		return nil
	}
	var refused []batch.Cover
	for _, r := range c.Refused {
		if r.State.Known() && c.Event == "" { // others are codes without an item
			refused = append(refused, batch.Cover{Batch: r.Batch, To: c.To, Numbers: r.Numbers})
		}
	}
	return errors.Join(insert(coverGave, c.Covers), insert(coverAsked, c.Asked), insert(coverRefused, refused))
}

func insertCover(ctx context.Context, tx *sqldb.Tx, id ids.ChangeID, n, part int, c batch.Cover) error {
	const insert = `INSERT INTO change_covers (change_id, n, batch_first, to_state, from_no, to_no, runs, part, by_seq, size) VALUES (?,?,?,?,?,?,?,?,?,?)`
	var runs []byte
	if len(c.Numbers) > 1 {
		runs = encodeRuns(c.Numbers)
	}
	whole := batch.Run{From: c.Numbers[0].From, To: c.Numbers[len(c.Numbers)-1].To}
	_, err := tx.ExecContext(ctx, insert, id, n, int64(c.Batch), c.To, whole.From, whole.To, runs, part, c.By, sizeOf(whole))
	if err != nil {
		return fmt.Errorf("insert cover: %w", err)
	}
	return nil
}

// Covers come in sizes: one of size k spans at most 16^k numbers, so those that may reach
// a run begin at most so far before it. Rows from before there were sizes have the last.
const (
	sizeStep = 4
	sizes    = 60/sizeStep + 1
)

func sizeOf(r batch.Run) int {
	size := 0
	for r.Len() > 1<<(size*sizeStep) {
		size++
	}
	return size
}

// reach are the covers of one size that reach into a run of a batch. The sizes are looked up
// one by one: as one condition SQLite would read all covers of the batch.
const reach = `SELECT * FROM change_covers WHERE batch_first = ? AND size = ? AND from_no BETWEEN ? AND ? AND to_no >= ?`

// reaches are the arguments of reach for each size that a batch can have, and for the last.
func reaches(first ids.Serial, within batch.Run) (args []any, n int) {
	for size := range sizes {
		if 1<<(size*sizeStep) >= batch.BatchMax<<sizeStep && size < sizes-1 {
			continue
		}
		args = append(args, int64(first), size, within.From-1<<(size*sizeStep), within.To, within.From)
		n++
	}
	return args, n
}

// encodeRuns writes each run as the gap before it and its length less one.
func encodeRuns(rs batch.Runs) []byte {
	var out []byte
	end := int64(0)
	for _, r := range rs {
		out = binary.AppendUvarint(out, uint64(r.From-end))
		out = binary.AppendUvarint(out, uint64(r.Len()-1))
		end = r.To
	}
	return out
}

var errDamagedRuns = errors.New("batchsql: damaged runs of a change")

func decodeRuns(raw []byte) (batch.Runs, error) {
	var rs batch.Runs
	end := int64(0)
	for len(raw) > 0 {
		gap, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, errDamagedRuns
		}
		length, m := binary.Uvarint(raw[n:])
		if m <= 0 {
			return nil, errDamagedRuns
		}
		r := batch.Run{From: end + int64(gap)}
		r.To = r.From + int64(length)
		rs, end, raw = append(rs, r), r.To, raw[n+m:]
	}
	return rs, nil
}

const changeColumns = `c.shard, c.seq, c.kind, c.change_id, c.batch_first, c.brand_id, c.to_state, c.reverts, c.reason, c.actor, c.effective_at, c.at, c.place, c.items, c.unchanged, c.refused, c.serial, c.version, c.event, c.event_at`

// scanEntry reads a row of changes; a state change comes without its covers.
func scanEntry(r *sql.Rows) (e batch.Entry, err error) {
	var (
		shard         ids.Shard
		row           feedRow
		effective, at int64
		eventAt       int64
	)
	c := &row.change
	err = r.Scan(&shard, &e.Seq, &row.kind, &row.id, &row.batch, &row.brand, &c.To, &c.Reverts, &row.reason, &row.actor,
		&effective, &at, &c.Place, &c.Items, &c.Unchanged, &row.refused, &row.serial, &row.version, &c.Event, &eventAt)
	if err != nil {
		return e, err
	}
	e.At, e.Kind = sqldb.Time(effective), row.kind
	switch e.Kind {
	case batch.BatchCreated:
		e.Batch = &batch.Batch{ID: ids.BatchID(row.id)}
	case batch.StateChanged:
		c.ID, c.BrandID, c.Seq, c.Effective, c.At = ids.ChangeID(row.id), row.brand, e.Seq, e.At, sqldb.Time(at)
		c.Reason, c.Actor = row.reason, row.actor
		if c.Event != "" {
			c.Effective = sqldb.Time(eventAt)
		}
		if err := json.Unmarshal(row.refused, &c.Refused); err != nil {
			return e, fmt.Errorf("decode refused items of %s: %w", row.id, err)
		}
		e.Change = c
	case batch.SettingsChanged:
		e.Settings = &batch.Settings{BrandID: row.brand}
	case batch.TextsChanged:
		e.Texts = &batch.TextsEntry{BrandID: row.brand, ProductID: ids.ProductID(row.serial)}
	default:
		e.Item = &batch.ItemChange{
			ID: ids.ChangeID(row.id), Batch: row.batch, Serial: row.serial, Version: row.version,
			Actor: row.actor, Reason: row.reason,
		}
	}
	return e, nil
}

// ownedCover is a cover with the change that it belongs to.
type ownedCover struct {
	seq  int64
	id   ids.ChangeID
	n    int // of its covers
	part int
	batch.Cover
}

func scanCover(r *sql.Rows) (o ownedCover, err error) {
	var whole batch.Run
	var runs []byte
	if err := r.Scan(&o.seq, &o.id, &o.n, &o.Batch, &o.To, &whole.From, &whole.To, &runs, &o.part, &o.By); err != nil {
		return o, err
	}
	o.Numbers = batch.Runs{whole}
	if runs != nil {
		o.Numbers, err = decodeRuns(runs)
	}
	return o, err
}

const coverColumns = `c.seq, c.change_id, v.n, v.batch_first, v.to_state, v.from_no, v.to_no, v.runs, v.part, v.by_seq`

// FindChange implements batch.Changes.
func (s *Store) FindChange(ctx context.Context, id ids.ChangeID) (batch.Change, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanEntry,
		`SELECT `+changeColumns+` FROM changes c WHERE c.change_id = ? AND c.kind = ?`, id, batch.StateChanged)
	return s.whole(ctx, all, err)
}

// FindEvent implements batch.Changes.
func (s *Store) FindEvent(ctx context.Context, brand ids.BrandID, event string) (batch.Change, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanEntry,
		`SELECT `+changeColumns+` FROM changes c WHERE c.brand_id = ? AND c.event = ? ORDER BY c.seq DESC LIMIT 1`, brand, event)
	return s.whole(ctx, all, err)
}

// whole adds to a change what it did and asked for.
func (s *Store) whole(ctx context.Context, all []batch.Entry, err error) (batch.Change, error) {
	e, err := first(all, err, batch.ErrUnknownChange)
	if err != nil {
		return batch.Change{}, err
	}
	covers, err := sqldb.Collect(ctx, s.db.Reader(), scanCover,
		`SELECT `+coverColumns+` FROM change_covers v JOIN changes c ON c.change_id = v.change_id WHERE v.change_id = ? ORDER BY v.n`, e.Change.ID)
	for _, o := range covers {
		o.addTo(e.Change)
	}
	return *e.Change, err
}

// Feed implements batch.Changes.
func (s *Store) Feed(ctx context.Context, shard ids.Shard, after int64, limit int) ([]batch.Entry, error) {
	entries, err := sqldb.Collect(ctx, s.db.Reader(), scanEntry,
		`SELECT `+changeColumns+` FROM changes c WHERE c.shard = ? AND c.seq > ? ORDER BY c.seq LIMIT ?`, shard, after, limit)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	last := entries[len(entries)-1].Seq
	covers, err := sqldb.Collect(ctx, s.db.Reader(), scanCover,
		`SELECT `+coverColumns+` FROM changes c JOIN change_covers v ON v.change_id = c.change_id
		WHERE c.shard = ? AND c.seq > ? AND c.seq <= ? AND v.part = 0 ORDER BY c.seq, v.n`, shard, after, last)
	if err != nil {
		return nil, fmt.Errorf("read covers: %w", err)
	}
	for i := range entries {
		e := &entries[i]
		covers = takeCovers(e, covers)
		if e.Kind == batch.BatchCreated {
			b, err := s.Batch(ctx, e.Batch.ID)
			if err != nil {
				return nil, fmt.Errorf("read batch of the feed: %w", err)
			}
			e.Batch = &b
		}
		if e.Kind == batch.SettingsChanged {
			b, err := s.Settings(ctx, e.Settings.BrandID)
			if err != nil {
				return nil, fmt.Errorf("read settings of the feed: %w", err)
			}
			e.Settings = &b
		}
	}
	return entries, nil
}

// takeCovers gives an entry the covers that are its own, which stand first, and
// returns the others.
func takeCovers(e *batch.Entry, covers []ownedCover) []ownedCover {
	for e.Kind == batch.StateChanged && len(covers) > 0 && covers[0].seq == e.Seq {
		covers[0].addTo(e.Change)
		covers = covers[1:]
	}
	return covers
}

func (o *ownedCover) addTo(c *batch.Change) {
	switch o.part {
	case coverGave:
		c.Covers = append(c.Covers, o.Cover)
	case coverAsked:
		c.Asked = append(c.Asked, o.Cover)
	}
}

// Recent implements batch.Changes.
func (s *Store) Recent(ctx context.Context, brand ids.BrandID, before time.Time, seq int64, limit int) ([]batch.Entry, error) {
	return sqldb.ReadRecent(ctx, s.db, func(ctx context.Context, q sqldb.Querier) ([]batch.Entry, error) {
		return recent(ctx, q, brand, before, seq, limit)
	})
}

func recent(ctx context.Context, q sqldb.Querier, brand ids.BrandID, before time.Time, seq int64, limit int) ([]batch.Entry, error) {
	const query = `SELECT ` + changeColumns + ` FROM changes c
		WHERE c.brand_id = ? AND c.kind IN (?, ?, ?) AND (c.effective_at < ? OR (c.effective_at = ? AND c.seq < ?))
		ORDER BY c.effective_at DESC, c.seq DESC LIMIT ?`
	us := sqldb.Micros(before)
	entries, err := sqldb.Collect(ctx, q, scanEntry, query, brand,
		batch.StateChanged, batch.Reissued, batch.InnerChecked, us, us, seq, limit)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	covers, err := sqldb.Collect(ctx, q, scanCover,
		`SELECT `+coverColumns+` FROM changes c JOIN change_covers v ON v.change_id = c.change_id
		WHERE c.brand_id = ? AND c.effective_at >= ? AND c.effective_at <= ? AND v.part = 0 ORDER BY c.effective_at DESC, c.seq DESC, v.n`,
		brand, sqldb.Micros(entries[len(entries)-1].At), us)
	if err != nil {
		return nil, fmt.Errorf("read covers: %w", err)
	}
	for i := range entries {
		for len(covers) > 0 && covers[0].seq > entries[i].Seq {
			covers = covers[1:] // of the changes at the same time that came before this page
		}
		covers = takeCovers(&entries[i], covers)
	}
	return entries, nil
}

// FeedHead implements batch.Changes.
func (s *Store) FeedHead(ctx context.Context, shard ids.Shard) (int64, error) {
	var head sql.NullInt64
	err := s.db.Reader().QueryRowContext(ctx, `SELECT MAX(seq) FROM changes WHERE shard = ?`, shard).Scan(&head)
	return head.Int64, err
}

// FeedHeads implements batch.Changes.
func (s *Store) FeedHeads(ctx context.Context) ([ids.Shards]int64, error) {
	return outbox.Heads(ctx, s.db.Reader())
}

// History implements batch.Changes.
func (s *Store) History(ctx context.Context, b ids.Serial, within batch.Run) ([]batch.Change, error) {
	return history(ctx, s.db.Reader(), b, within)
}

func history(ctx context.Context, q sqldb.Querier, b ids.Serial, within batch.Run) ([]batch.Change, error) {
	args, n := reaches(b, within)
	covers, err := sqldb.Collect(ctx, q, scanCover,
		`SELECT `+coverColumns+` FROM (`+reach+strings.Repeat(` UNION ALL `+reach, n-1)+`) v JOIN changes c ON c.change_id = v.change_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	slices.SortFunc(covers, func(a, b ownedCover) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.n, b.n)) })
	entries, err := changesOf(ctx, q, covers)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	reached := batch.Runs{within}
	covers = slices.DeleteFunc(covers, func(o ownedCover) bool { return len(o.Numbers.Intersect(reached)) == 0 })
	out := make([]batch.Change, 0, len(entries))
	for i := range entries {
		covers = takeCovers(&entries[i], covers)
		c := entries[i].Change
		c.Refused = slices.DeleteFunc(c.Refused, func(r batch.Refused) bool { return r.Batch != b || len(r.Numbers.Intersect(reached)) == 0 })
		if len(c.Covers)+len(c.Asked)+len(c.Refused) > 0 {
			out = append(out, *c)
		}
	}
	return out, nil
}

const changesAtOnce = 256 // that one statement looks for

// changesOf reads the changes that covers, which are in the order of seq, belong to.
func changesOf(ctx context.Context, q sqldb.Querier, covers []ownedCover) (all []batch.Entry, _ error) {
	var keys []ids.ChangeID
	for i := range covers {
		if i == 0 || covers[i].id != covers[i-1].id {
			keys = append(keys, covers[i].id)
		}
	}
	for part := range slices.Chunk(keys, changesAtOnce) {
		args := sqldb.Keys(part)
		some, err := sqldb.Collect(ctx, q, scanEntry, `SELECT `+changeColumns+` FROM changes c WHERE c.change_id IN (?`+strings.Repeat(`,?`, len(args)-1)+`) ORDER BY c.seq`, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// ItemHistory implements batch.Changes.
func (s *Store) ItemHistory(ctx context.Context, b ids.Serial, no int64, serial ids.Serial) (changes []batch.Change, _ []batch.Entry, _ error) {
	entries, err := sqldb.ReadRecent(ctx, s.db, func(ctx context.Context, q sqldb.Querier) (entries []batch.Entry, err error) {
		if changes, err = history(ctx, q, b, batch.Run{From: no, To: no}); err != nil {
			return nil, err
		}
		return sqldb.Collect(ctx, q, scanEntry,
			`SELECT `+changeColumns+` FROM changes c WHERE c.serial = ? AND c.kind IN (?, ?) ORDER BY c.seq`, int64(serial), batch.Reissued, batch.InnerChecked)
	})
	return changes, entries, err
}

// Reissue implements batch.Changes.
func (s *Store) Reissue(ctx context.Context, r ids.Request, i batch.ItemChange, brand ids.BrandID, event batch.Event) (batch.ItemChange, bool, error) {
	effect, replayed, err := s.once(ctx, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if err := ensureRecord(ctx, tx, i.Serial); err != nil {
			return "", err
		}
		ok, err := changed(tx.ExecContext(ctx, `UPDATE item_records SET version = ? WHERE serial = ? AND version = ?`, i.Version, int64(i.Serial), i.Version-1))
		if err != nil {
			return "", err
		}
		if !ok {
			return "", batch.ErrRaced
		}
		stamp, err := announce(ctx, tx, ids.ShardOf(brand), s.clock, event)
		if err != nil {
			return "", err
		}
		return string(i.ID), insertEntry(ctx, tx, stamp, itemRow(batch.Reissued, i, brand))
	})
	if err != nil {
		return i, false, fmt.Errorf("reissue: %w", err)
	}
	all, err := sqldb.Collect(ctx, s.db.Reader(), scanEntry, `SELECT `+changeColumns+` FROM changes c WHERE c.change_id = ?`, effect)
	e, err := first(all, err, batch.ErrUnknownChange)
	if err != nil {
		return i, false, err
	}
	return *e.Item, replayed, nil
}

func itemRow(kind batch.FeedKind, i batch.ItemChange, brand ids.BrandID) feedRow {
	return feedRow{
		kind: kind, id: string(i.ID), batch: i.Batch, brand: brand, serial: i.Serial, version: i.Version,
		actor: i.Actor, reason: i.Reason,
	}
}

// ensureRecord makes the item's record at version 1 when it has none, and locks it.
func ensureRecord(ctx context.Context, tx *sqldb.Tx, serial ids.Serial) error {
	lock := func() (bool, error) {
		return changed(tx.ExecContext(ctx, `UPDATE item_records SET version = version WHERE serial = ?`, int64(serial)))
	}
	there, err := lock()
	if err == nil && !there {
		_, err = tx.ExecContext(ctx, `INSERT INTO item_records (serial, version, inner_tries, inner_at) VALUES (?, 1, 0, 0)`, int64(serial))
		if sqldb.IsDuplicate(err) { // another was faster
			_, err = lock()
		}
	}
	if err != nil {
		return fmt.Errorf("make item record: %w", err)
	}
	return nil
}

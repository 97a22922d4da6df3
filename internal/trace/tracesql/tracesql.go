// Package tracesql keeps EPCIS events in SQL.
//
// An event is one row. It is found by its hash, by its time, by its terms (postings), and by
// its items: runs of serials in bins of their size, so that the events of one item are a
// look-up for each size, however many items an event has.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package tracesql

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

//go:embed schema
var schema embed.FS

// Schema is the tables' definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// Store implements trace.Store.
type Store struct {
	db    *sqldb.DB
	clock clock.Clock
	acts  *sqldb.Combiner[struct{}, *act, trace.Captured]

	mu    sync.Mutex
	words map[int64]bool // terms that trace_words surely has; guarded by mu
}

var _ trace.Store = (*Store)(nil)

const (
	actsMax     = 128     // captures of one group
	waitingMax  = 10_000  // captures that are not answered yet
	togetherMax = 2000    // events from which on a transaction takes no further capture
	wordsMax    = 200_000 // that are remembered as known
)

// New makes the store of a migrated database.
func New(db *sqldb.DB, c clock.Clock) *Store {
	s := &Store{db: db, clock: c, words: map[int64]bool{}}
	s.acts = sqldb.NewCombiner[struct{}](actsMax, waitingMax, s.commit)
	return s
}

// Close answers what was taken up, and refuses the rest.
func (s *Store) Close() error {
	s.acts.Close()
	return nil
}

const jobColumns = `job_id, brand_id, created_at, finished_at, proceeds, events, results`

func scanJob(r *sql.Rows) (j trace.Job, err error) {
	var created, finished int64
	var results []byte
	if err := r.Scan(&j.ID, &j.Brand, &created, &finished, &j.Proceed, &j.Events, &results); err != nil {
		return j, err
	}
	j.CreatedAt, j.FinishedAt = sqldb.Time(created), sqldb.Time(finished)
	if err := json.Unmarshal(results, &j.Results); err != nil {
		return j, fmt.Errorf("decode results of job %s: %w", j.ID, err)
	}
	return j, nil
}

// Job implements trace.Store.
func (s *Store) Job(ctx context.Context, id string) (trace.Job, error) {
	return findJob(ctx, s.db.Reader(), id)
}

func findJob(ctx context.Context, q sqldb.Querier, id string) (trace.Job, error) {
	all, err := sqldb.Collect(ctx, q, scanJob, `SELECT `+jobColumns+` FROM trace_jobs WHERE job_id = ?`, id)
	if err != nil {
		return trace.Job{}, fmt.Errorf("load capture job: %w", err)
	}
	if len(all) == 0 {
		return trace.Job{}, trace.ErrUnknownJob
	}
	return all[0], nil
}

// Jobs implements trace.Store.
func (s *Store) Jobs(ctx context.Context, before time.Time, beforeID string, limit int) ([]trace.Job, error) {
	const query = `SELECT ` + jobColumns + ` FROM trace_jobs WHERE (created_at < ? OR created_at = ? AND job_id < ?) AND job_id < ?
		ORDER BY created_at DESC, job_id DESC LIMIT ?`
	us := sqldb.Micros(before)
	return sqldb.Collect(ctx, s.db.Reader(), scanJob, query, us, us, beforeID, parts, limit)
}

// JobsOf implements trace.Store.
func (s *Store) JobsOf(ctx context.Context, brand ids.BrandID, before time.Time, beforeID string, limit int) ([]trace.Job, error) {
	const query = `SELECT ` + jobColumns + ` FROM trace_jobs WHERE brand_id = ? AND (created_at < ? OR created_at = ? AND job_id < ?) AND job_id < ?
		ORDER BY created_at DESC, job_id DESC LIMIT ?`
	us := sqldb.Micros(before)
	return sqldb.Collect(ctx, s.db.Reader(), scanJob, query, brand, us, us, beforeID, parts, limit)
}

// Brands implements trace.Store.
func (s *Store) Brands(ctx context.Context) ([]ids.BrandID, error) {
	return sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (b ids.BrandID, err error) {
		err = r.Scan(&b)
		return b, err
	}, `SELECT brand_id FROM trace_brands ORDER BY brand_id`)
}

const eventColumns = `e.event_no, e.brand_id, e.hash, e.declared, e.withdrawn, e.event_time, e.record_time, e.body, e.ours`

func scanStored(r *sql.Rows) (e trace.Stored, err error) {
	var hash []byte
	var at, recorded int64
	if err := r.Scan(&e.No, &e.Brand, &hash, &e.Declared, &e.Withdrawn, &at, &recorded, &e.Body, &e.Ours); err != nil {
		return e, err
	}
	copy(e.Hash[:], hash)
	e.Time, e.RecordTime = time.UnixMilli(at).UTC(), sqldb.Time(recorded)
	return e, nil
}

// The stretches. Each order has its two directions; a page goes on behind a time and a
// number.
const (
	timeUp = `SELECT ` + eventColumns + ` FROM trace_events e WHERE e.brand_id = ? AND e.event_time >= ? AND e.event_time < ?
		AND (e.event_time > ? OR e.event_no > ?) ORDER BY e.event_time, e.event_no LIMIT ?`
	timeDown = `SELECT ` + eventColumns + ` FROM trace_events e WHERE e.brand_id = ? AND e.event_time >= ? AND e.event_time <= ?
		AND (e.event_time < ? OR e.event_no < ?) ORDER BY e.event_time DESC, e.event_no DESC LIMIT ?`
	recordUp = `SELECT ` + eventColumns + ` FROM trace_events e WHERE e.brand_id = ? AND e.record_time >= ? AND e.record_time < ?
		AND (e.record_time > ? OR e.event_no > ?) ORDER BY e.record_time, e.event_no LIMIT ?`
	recordDown = `SELECT ` + eventColumns + ` FROM trace_events e WHERE e.brand_id = ? AND e.record_time >= ? AND e.record_time <= ?
		AND (e.record_time < ? OR e.event_no < ?) ORDER BY e.record_time DESC, e.event_no DESC LIMIT ?`
	// of one term, and of several: each gives its first
	termUp = `SELECT event_no, event_time FROM trace_postings WHERE term = ? AND event_time >= ? AND event_time < ? AND (event_time > ? OR event_no > ?)
		ORDER BY event_time, event_no LIMIT ?`
	termDown = `SELECT event_no, event_time FROM trace_postings WHERE term = ? AND event_time >= ? AND event_time <= ? AND (event_time < ? OR event_no < ?)
		ORDER BY event_time DESC, event_no DESC LIMIT ?`
	ofTerms     = `SELECT ` + eventColumns + ` FROM (`
	ofTermsUp   = `) p JOIN trace_events e ON e.event_no = p.event_no ORDER BY p.event_time, p.event_no LIMIT ?`
	ofTermsDown = `) p JOIN trace_events e ON e.event_no = p.event_no ORDER BY p.event_time DESC, p.event_no DESC LIMIT ?`
)

// ofTerms reads the stretch of some terms; bounds are the arguments of each but its term.
func (s *Store) ofTerms(ctx context.Context, terms []int64, desc bool, bounds ...any) ([]trace.Stored, error) {
	var args []any
	for _, term := range terms {
		args = append(append(args, term), bounds...)
	}
	args = append(args, bounds[len(bounds)-1])
	if desc {
		return sqldb.Collect(ctx, s.db.Reader(), scanStored, ofTerms+`SELECT * FROM (`+termDown+`) t`+strings.Repeat(` UNION SELECT * FROM (`+termDown+`) t`, len(terms)-1)+ofTermsDown, args...)
	}
	return sqldb.Collect(ctx, s.db.Reader(), scanStored, ofTerms+`SELECT * FROM (`+termUp+`) t`+strings.Repeat(` UNION SELECT * FROM (`+termUp+`) t`, len(terms)-1)+ofTermsUp, args...)
}

// Scan implements trace.Store.
func (s *Store) Scan(ctx context.Context, st trace.Stretch, limit int) ([]trace.Stored, error) {
	stored := func(t time.Time) int64 { return t.UnixMilli() }
	key := int64(st.Brand)
	switch st.Order {
	case trace.ByRecord:
		stored = sqldb.Micros
	case trace.ByTerm, trace.ByTime:
	}
	from, to := int64(-1<<62), int64(1<<62)
	if !st.From.IsZero() {
		from = stored(st.From)
	}
	if !st.To.IsZero() {
		to = stored(st.To)
	}
	q := s.db.Reader()
	if st.Desc {
		at, no := to-1, int64(1<<62)
		if st.After != (trace.Ref{}) {
			at, no = min(at, stored(st.After.Time)), st.After.No
		}
		switch st.Order {
		case trace.ByRecord:
			return sqldb.Collect(ctx, q, scanStored, recordDown, key, from, at, at, no, limit)
		case trace.ByTerm:
			return s.ofTerms(ctx, st.Terms, true, from, at, at, no, limit)
		case trace.ByTime:
		}
		return sqldb.Collect(ctx, q, scanStored, timeDown, key, from, at, at, no, limit)
	}
	at, no := from, int64(-1)
	if st.After != (trace.Ref{}) {
		at, no = max(at, stored(st.After.Time)), st.After.No
	}
	switch st.Order {
	case trace.ByRecord:
		return sqldb.Collect(ctx, q, scanStored, recordUp, key, at, to, at, no, limit)
	case trace.ByTerm:
		return s.ofTerms(ctx, st.Terms, false, at, to, at, no, limit)
	case trace.ByTime:
	}
	return sqldb.Collect(ctx, q, scanStored, timeUp, key, at, to, at, no, limit)
}

// chunk is how many keys one statement looks for.
const chunk = 256

// OfHashes implements trace.Store.
func (s *Store) OfHashes(ctx context.Context, brand ids.BrandID, hashes []trace.Hash) (all []trace.Stored, _ error) {
	for part := range slices.Chunk(hashes, chunk) {
		keys := make([][]byte, len(part))
		for i := range part {
			keys[i] = part[i][:]
		}
		args := sqldb.Keys(keys)
		found, err := sqldb.Collect(ctx, s.db.Reader(), scanStored,
			`SELECT `+eventColumns+` FROM trace_events e WHERE e.brand_id = ? AND e.hash IN (?`+strings.Repeat(`,?`, len(args)-1)+`) ORDER BY e.declared`,
			append([]any{brand}, args...)...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Events implements trace.Store.
func (s *Store) Events(ctx context.Context, numbers []int64) (all []trace.Stored, _ error) {
	for len(numbers) > 0 {
		part := numbers[:min(chunk, len(numbers))]
		numbers = numbers[len(part):]
		args := sqldb.Keys(part)
		found, err := sqldb.Collect(ctx, s.db.Reader(), scanStored, `SELECT `+eventColumns+` FROM trace_events e WHERE e.event_no IN (?`+strings.Repeat(`,?`, len(args)-1)+`)`, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// Words implements trace.Store.
func (s *Store) Words(ctx context.Context, brand ids.BrandID, kinds []trace.TermKind, after trace.Word, limit int) (all []trace.Word, _ error) {
	const query = `SELECT kind, term, text FROM trace_words WHERE brand_id = ? AND kind = ? AND term > ? ORDER BY term LIMIT ?`
	for _, kind := range kinds {
		from := int64(-1 << 63)
		if kind < after.Kind {
			continue
		}
		if kind == after.Kind {
			from = after.Key
		}
		found, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (w trace.Word, err error) {
			var text []byte
			err = r.Scan(&w.Kind, &w.Key, &text)
			w.Text = string(text)
			return w, err
		}, query, brand, kind, from, limit-len(all))
		if err != nil {
			return nil, err
		}
		if all = append(all, found...); len(all) >= limit {
			break
		}
	}
	return all, nil
}

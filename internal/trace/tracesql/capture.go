package tracesql

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
	"github.com/chopmark/chopmark/internal/trace/traceevent"
)

// act is a capture on its way.
type act struct {
	*trace.Capture
	again bool // it may have had its effect: the answer of its commit was lost
	done  trace.Captured
}

// Capture implements trace.Store. Captures that come at the same time share a transaction.
func (s *Store) Capture(ctx context.Context, c *trace.Capture) (trace.Captured, error) {
	done, err := s.acts.Do(ctx, struct{}{}, &act{Capture: c})
	if err != nil {
		return trace.Captured{}, fmt.Errorf("capture %d events: %w", len(c.Records), err)
	}
	return done, nil
}

// commit brings about a group, in one transaction or, when it holds many events, several.
// An error that is a group's only one is the combiner's to find the culprit of.
func (s *Store) commit(ctx context.Context, acts []*act) ([]sqldb.Outcome[trace.Captured], error) {
	out := make([]sqldb.Outcome[trace.Captured], 0, len(acts))
	for from := 0; from < len(acts); {
		to, events := from, 0
		for to < len(acts) && (to == from || events+len(acts[to].Records) <= togetherMax) {
			events += len(acts[to].Records)
			to++
		}
		part := acts[from:to]
		err := s.write(ctx, part)
		if err != nil && len(part) == len(acts) && !errors.Is(err, sqldb.ErrUnknownOutcome) {
			return nil, err
		}
		for _, a := range part {
			if err != nil {
				out = append(out, s.alone(ctx, a, err))
			} else {
				out = append(out, sqldb.Outcome[trace.Captured]{Value: a.done})
			}
		}
		from = to
	}
	return out, nil
}

// alone runs one act again after its group failed. When the group may stand, only a job tells
// what became of an act.
func (s *Store) alone(ctx context.Context, a *act, why error) sqldb.Outcome[trace.Captured] {
	if a.again = errors.Is(why, sqldb.ErrUnknownOutcome); a.again && a.Job.ID == "" {
		return sqldb.Outcome[trace.Captured]{Err: why}
	}
	err := s.write(ctx, []*act{a})
	return sqldb.Outcome[trace.Captured]{Value: a.done, Err: err}
}

// identity names an event within the store.
type identity struct {
	brand    ids.BrandID
	hash     trace.Hash
	declared bool
}

func identityOf(r *trace.Record) identity { return identity{r.Brand, r.Hash, r.Declared} }

// group is one transaction's captures.
type group struct {
	s     *Store
	tx    *sqldb.Tx
	acts  []*act
	at    time.Time
	known map[identity]bool
	next  map[ids.Shard]int64
	fresh []row
	words []int64
}

// row is a record that is new.
type row struct {
	*trace.Record
	no        int64
	withdrawn bool
}

// write stores captures in one transaction: counters first, so that whoever captures for
// the same brands waits here, and the shards' feed last.
func (s *Store) write(ctx context.Context, acts []*act) error {
	var words []int64
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		g := &group{s: s, tx: tx, acts: acts, known: map[identity]bool{}, next: map[ids.Shard]int64{}}
		err := g.run(ctx)
		words = g.words
		return err
	})
	if err == nil {
		s.remember(words)
	}
	return err
}

func (g *group) run(ctx context.Context) error {
	shards := g.shards()
	if err := g.takeCounters(ctx, shards); err != nil {
		return err
	}
	if err := g.lookUp(ctx); err != nil {
		return err
	}
	for _, a := range g.acts {
		if err := g.settle(ctx, a); err != nil {
			return err
		}
	}
	if err := g.store(ctx); err != nil {
		return err
	}
	return g.tell(ctx, shards)
}

func (g *group) shards() (all []ids.Shard) {
	for _, a := range g.acts {
		for i := range a.Records {
			all = append(all, ids.ShardOf(a.Records[i].Brand))
		}
		if len(a.Masters) > 0 {
			all = append(all, ids.ShardOf(a.MastersOf))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (g *group) takeCounters(ctx context.Context, shards []ids.Shard) error {
	const take = `UPDATE trace_counters SET last = last + ?, at = CASE WHEN at < ? THEN ? ELSE at END WHERE shard = ?`
	now := sqldb.Micros(g.s.clock.Now())
	most := 0
	for _, a := range g.acts {
		most += len(a.Records)
	}
	at := now
	for _, shard := range shards {
		if _, err := g.tx.ExecContext(ctx, take, most, now, now, shard); err != nil {
			return fmt.Errorf("take event numbers: %w", err)
		}
		var last, was int64
		if err := g.tx.QueryRowContext(ctx, `SELECT last, at FROM trace_counters WHERE shard = ?`, shard).Scan(&last, &was); err != nil {
			return fmt.Errorf("take event numbers: %w", err)
		}
		g.next[shard], at = last-int64(most), max(at, was)
	}
	g.at = sqldb.Time(at)
	if at == now {
		return nil
	}
	// one shard is ahead: the others follow, so that in each the order of record is that of commit
	for _, shard := range shards {
		if _, err := g.tx.ExecContext(ctx, `UPDATE trace_counters SET at = ? WHERE shard = ?`, at, shard); err != nil {
			return fmt.Errorf("take event numbers: %w", err)
		}
	}
	return nil
}

// lookUp finds which records are there already, and which error declarations speak of them.
func (g *group) lookUp(ctx context.Context) error {
	byBrand := map[ids.BrandID][]any{}
	for _, a := range g.acts {
		for i := range a.Records {
			r := &a.Records[i]
			byBrand[r.Brand] = append(byBrand[r.Brand], r.Hash[:])
		}
	}
	for brand, hashes := range byBrand {
		for part := range slices.Chunk(hashes, chunk) {
			query := `SELECT hash, declared FROM trace_events WHERE brand_id = ? AND hash IN (?` + strings.Repeat(`,?`, len(part)-1) + `)`
			found, err := sqldb.Collect(ctx, g.tx, func(r *sql.Rows) (id identity, err error) {
				var hash []byte
				err = r.Scan(&hash, &id.declared)
				id.brand = brand
				copy(id.hash[:], hash)
				return id, err
			}, query, append([]any{brand}, part...)...)
			if err != nil {
				return fmt.Errorf("look for events: %w", err)
			}
			for _, id := range found {
				g.known[id] = true
			}
		}
	}
	return nil
}

// settle decides what becomes of one capture's records, and writes its job.
func (g *group) settle(ctx context.Context, a *act) error {
	a.done = trace.Captured{Job: a.Job}
	if replayed, err := g.before(ctx, a); err != nil || replayed {
		return err
	}
	results := slices.Clone(a.Job.Results)
	for i := range a.Records {
		r := &a.Records[i]
		id := identityOf(r)
		if g.known[id] {
			results = slices.DeleteFunc(results, func(x trace.Result) bool { return x.Index == a.At[i] })
			results = append(results, trace.Result{Index: a.At[i], Status: trace.Duplicate, EventID: r.Hash.String()})
			continue
		}
		g.known[id] = true
		shard := ids.ShardOf(r.Brand)
		g.next[shard]++
		g.fresh = append(g.fresh, row{Record: r, no: numberOf(g.next[shard], shard)})
	}
	slices.SortFunc(results, func(x, y trace.Result) int { return x.Index - y.Index })
	a.done.Job.Results, a.done.Job.FinishedAt = results, g.at
	if err := g.storeMasters(ctx, a.Capture); err != nil {
		return err
	}
	return g.writeJob(ctx, a)
}

// numberOf is the number of a shard's n-th event.
func numberOf(n int64, shard ids.Shard) int64 { return n<<4 | int64(shard) }

// shardOf is the shard of an event's number.
func shardOf(no int64) ids.Shard { return ids.Shard(no & (ids.Shards - 1)) }

// before finds the effect that the request had.
func (g *group) before(ctx context.Context, a *act) (had bool, err error) {
	if a.Request.IsZero() && !a.again {
		return false, nil
	}
	job, had, err := replay(ctx, g.tx, a.Job.ID, a.Request)
	if had {
		a.done = trace.Captured{Job: job, Replayed: !a.again}
	}
	return had, err
}

// replay finds the job of a request, if it had its effect.
func replay(ctx context.Context, q sqldb.Querier, id string, r ids.Request) (job trace.Job, had bool, _ error) {
	var body []byte
	err := q.QueryRowContext(ctx, `SELECT request FROM trace_jobs WHERE job_id = ?`, id).Scan(&body)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return job, false, nil
	case err != nil:
		return job, false, fmt.Errorf("look for capture job: %w", err)
	case !bytes.Equal(body, r.Body[:]):
		return job, false, idem.ErrMismatch
	}
	job, err = findJob(ctx, q, id)
	return job, err == nil, err
}

func (g *group) writeJob(ctx context.Context, a *act) error {
	j := &a.done.Job
	if j.ID == "" {
		return nil
	}
	results, err := json.Marshal(j.Results)
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	const insert = `INSERT INTO trace_jobs (` + jobColumns + `, request) VALUES (?,?,?,?,?,?,?,?)`
	_, err = g.tx.ExecContext(ctx, insert, j.ID, j.Brand, sqldb.Micros(j.CreatedAt), sqldb.Micros(j.FinishedAt), j.Proceed, j.Events, results, a.Request.Body[:])
	if sqldb.IsDuplicate(err) {
		// The same request in another process was first. That is a request without new events:
		// any other waits for it at the counters.
		var had bool
		if had, err = g.before(ctx, a); had {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("insert capture job: %w", err)
	}
	return nil
}

// rowsMax is how many rows go with one statement.
const rowsMax = 64

// store writes the new records and what finds them.
func (g *group) store(ctx context.Context) error {
	events := make([]any, 0, 9*len(g.fresh))
	var postings, items []any
	for i := range g.fresh {
		r := &g.fresh[i]
		at := r.Time.UnixMilli()
		if !r.Declared {
			r.withdrawn = g.known[identity{r.Brand, r.Hash, true}]
		}
		events = append(events, r.no, r.Brand, r.Hash[:], r.Declared, r.withdrawn, at, sqldb.Micros(g.at), r.Body, r.Ours)
		for _, t := range r.Terms {
			if t.Kind != trace.PrefixTerm {
				postings = append(postings, t.Key(r.Brand), at, r.no)
			}
		}
		for _, span := range r.Spans {
			for _, b := range binsOf(span.Run) {
				items = append(items, span.Role, b, r.no, int64(span.From), int64(span.To), at)
			}
		}
	}
	const (
		insertEvent   = `INSERT INTO trace_events (event_no, brand_id, hash, declared, withdrawn, event_time, record_time, body, ours) VALUES (?,?,?,?,?,?,?,?,?)`
		insertPosting = `INSERT INTO trace_postings (term, event_time, event_no) VALUES (?,?,?)`
		insertItem    = `INSERT INTO trace_items (role, bin, event_no, from_serial, to_serial, event_time) VALUES (?,?,?,?,?,?)`
	)
	for part := range slices.Chunk(events, 9*rowsMax) {
		query := insertEvent + strings.Repeat(`,(?,?,?,?,?,?,?,?,?)`, len(part)/9-1)
		if _, err := g.tx.ExecContext(ctx, query, part...); err != nil {
			return fmt.Errorf("insert events: %w", err)
		}
	}
	for part := range slices.Chunk(postings, 3*rowsMax) {
		query := insertPosting + strings.Repeat(`,(?,?,?)`, len(part)/3-1)
		if _, err := g.tx.ExecContext(ctx, query, part...); err != nil {
			return fmt.Errorf("insert postings: %w", err)
		}
	}
	for part := range slices.Chunk(items, 6*rowsMax) {
		query := insertItem + strings.Repeat(`,(?,?,?,?,?,?)`, len(part)/6-1)
		if _, err := g.tx.ExecContext(ctx, query, part...); err != nil {
			return fmt.Errorf("insert items of events: %w", err)
		}
	}
	return errors.Join(g.withdraw(ctx), g.storeWords(ctx))
}

// withdraw marks what error declarations speak of.
func (g *group) withdraw(ctx context.Context) error {
	for _, r := range g.fresh {
		if !r.Declared {
			continue
		}
		const mark = `UPDATE trace_events SET withdrawn = 1 WHERE brand_id = ? AND hash = ? AND declared = 0`
		if _, err := g.tx.ExecContext(ctx, mark, r.Brand, r.Hash[:]); err != nil {
			return fmt.Errorf("withdraw an event: %w", err)
		}
	}
	return nil
}

// storeWords writes terms and brands that are seen for the first time.
func (g *group) storeWords(ctx context.Context) error {
	const (
		insert      = `INSERT INTO trace_words (brand_id, kind, term, text) VALUES (?,?,?,?)`
		insertBrand = `INSERT INTO trace_brands (brand_id) VALUES (?)`
	)
	done := map[int64]bool{}
	for _, r := range g.fresh {
		// a brand is remembered as a word of no kind
		if key := (trace.Term{}).Key(r.Brand); !done[key] && !g.s.knows(key) {
			done[key] = true
			if _, err := g.tx.ExecContext(ctx, insertBrand, r.Brand); err != nil && !sqldb.IsDuplicate(err) {
				return fmt.Errorf("note brand: %w", err)
			}
			g.words = append(g.words, key)
		}
		for _, t := range r.Terms {
			key := t.Key(r.Brand)
			if t.Kind == trace.IDTerm || done[key] || g.s.knows(key) {
				continue
			}
			done[key] = true
			if _, err := g.tx.ExecContext(ctx, insert, r.Brand, t.Kind, key, []byte(t.Text)); err != nil && !sqldb.IsDuplicate(err) {
				return fmt.Errorf("note term: %w", err)
			}
			g.words = append(g.words, key)
		}
	}
	return nil
}

func (s *Store) knows(key int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.words[key]
}

func (s *Store) remember(words []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.words)+len(words) > wordsMax {
		clear(s.words)
	}
	for _, key := range words {
		s.words[key] = true
	}
}

// messages name events by their hashes, so many in each.
func messages(topic string, brand ids.BrandID, hashes []trace.Hash, data func(ids []string) any) (all []outbox.Event, _ error) {
	for some := range slices.Chunk(hashes, traceevent.EventIDsMax) {
		names := make([]string, len(some))
		for i := range some {
			names[i] = some[i].String()
		}
		raw, err := json.Marshal(data(names))
		if err != nil {
			return nil, fmt.Errorf("encode event: %w", err)
		}
		all = append(all, outbox.Event{Type: topic, BrandID: brand, Subject: hex.EncodeToString(some[0][:]), Data: raw})
	}
	return all, nil
}

// tell writes one message for each brand that has new events.
func (g *group) tell(ctx context.Context, shards []ids.Shard) error {
	byBrand, ahead := map[ids.BrandID][]trace.Hash{}, map[ids.BrandID][]trace.Hash{}
	for _, r := range g.fresh {
		byBrand[r.Brand] = append(byBrand[r.Brand], r.Hash)
		if r.Ahead {
			ahead[r.Brand] = append(ahead[r.Brand], r.Hash)
		}
	}
	for _, shard := range shards {
		var events []outbox.Event
		for brand, hashes := range byBrand {
			if ids.ShardOf(brand) != shard {
				continue
			}
			captured, err := messages(traceevent.TraceCaptured, brand, hashes, func(ids []string) any {
				return traceevent.Captured{Events: len(ids), EventIDs: ids}
			})
			if err != nil {
				return err
			}
			alerts, err := messages(traceevent.AlertTriggered, brand, ahead[brand], func(ids []string) any {
				return traceevent.Alert{Kind: traceevent.FutureTime, Events: len(ids), EventIDs: ids}
			})
			if err != nil {
				return err
			}
			events = append(append(events, captured...), alerts...)
		}
		if len(events) == 0 {
			continue
		}
		stamp, err := outbox.Commit(ctx, g.tx, shard, g.s.clock.Now())
		if err != nil {
			return err
		}
		if err := outbox.Append(ctx, g.tx, stamp, events...); err != nil {
			return err
		}
	}
	return nil
}

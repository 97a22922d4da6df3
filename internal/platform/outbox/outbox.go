// Package outbox keeps events in the transaction of the facts that they tell, and
// hands out the order of commit.
//
// Invariant: within a shard, seq grows in the order of commit. The shard's one-row
// counter is taken by Stamp and stays locked until the commit, so a reader that
// asks for seq > n can never miss a transaction that commits later with a smaller
// number (TestStampOrderIsCommitOrder).
//
// Nothing is ever deleted: GET /api/v1/events hands out the whole of it.
package outbox

import (
	"context"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/trace"
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

// Stamp is a transaction's place in its shard's order of commit.
type Stamp struct {
	Shard ids.Shard
	Seq   int64
	At    time.Time // never before an earlier stamp's, even when the clock steps back
}

// Event is one fact to tell others. Data is the published JSON schema of its type.
type Event struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	BrandID ids.BrandID     `json:"brand_id"`
	Subject string          `json:"subject"` // what it is about: a batch, a task
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
	Trace   trace.Context   `json:"-"` // of the sampled request that caused it; zero = none
	Shard   ids.Shard       `json:"-"`
	Seq     int64           `json:"-"`
}

// Commit takes the shard's counter. It must be the first write of a transaction's
// tail: what follows it holds up every other commit of the shard.
func Commit(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, now time.Time) (Stamp, error) {
	const bump = `UPDATE feed SET seq = seq + 1, at = CASE WHEN at < ? THEN ? ELSE at END WHERE shard = ?`
	us := sqldb.Micros(now)
	if _, err := tx.ExecContext(ctx, bump, us, us, shard); err != nil {
		return Stamp{}, fmt.Errorf("stamp shard %d: %w", shard, err)
	}
	s := Stamp{Shard: shard}
	if err := tx.QueryRowContext(ctx, `SELECT seq, at FROM feed WHERE shard = ?`, shard).Scan(&s.Seq, &us); err != nil {
		return Stamp{}, fmt.Errorf("read stamp of shard %d: %w", shard, err)
	}
	s.At = sqldb.Time(us)
	tx.Announce(int(shard), s.Seq)
	return s, nil
}

// Heads is where every shard's order of commit stands: a commit after the question
// raises its shard's.
func Heads(ctx context.Context, q sqldb.Querier) (heads [ids.Shards]int64, _ error) {
	type head struct {
		shard ids.Shard
		seq   int64
	}
	all, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (h head, err error) {
		err = r.Scan(&h.shard, &h.seq)
		return h, err
	}, `SELECT shard, seq FROM feed`)
	if err != nil {
		return heads, fmt.Errorf("read heads of the feed: %w", err)
	}
	for _, h := range all {
		if h.shard < ids.Shards {
			heads[h.shard] = h.seq
		}
	}
	return heads, nil
}

// Heads is Heads over all databases: of each shard what its own says.
func (o *Outbox) Heads(ctx context.Context) (c Cursor, _ error) {
	for _, db := range o.dbs.All() {
		heads, err := Heads(ctx, db.Reader())
		if err != nil {
			return c, err
		}
		for shard := range ids.Shard(ids.Shards) {
			if o.dbs.Of(shard) == db {
				c[shard] = heads[shard]
			}
		}
	}
	return c, nil
}

// Append writes events under the transaction's stamp. An event without a trace context
// gets that of ctx.
func Append(ctx context.Context, tx *sqldb.Tx, s Stamp, events ...Event) error {
	const insert = `INSERT INTO outbox (shard, seq, n, event_id, type, brand_id, subject, at, data, traceparent) VALUES (?,?,?,?,?,?,?,?,?,?)`
	if len(events) > eventsPerTxMax {
		return ErrTooManyEvents
	}
	for n, e := range events {
		if e.ID == "" {
			e.ID = ids.New("evt")
		}
		if e.Trace.IsZero() {
			e.Trace = trace.Current(ctx)
		}
		if _, err := tx.ExecContext(ctx, insert, s.Shard, s.Seq, n, e.ID, e.Type, e.BrandID, e.Subject,
			sqldb.Micros(s.At), []byte(e.Data), e.Trace.Traceparent()); err != nil {
			return fmt.Errorf("append event %s: %w", e.Type, err)
		}
	}
	return nil
}

// Skip leaves out so many numbers in each shard. A copy that is older than what was
// told would otherwise tell its news under numbers that readers have passed.
func Skip(ctx context.Context, db *sqldb.DB, numbers int64) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE feed SET seq = seq + ?`, numbers); err != nil {
			return fmt.Errorf("skip numbers of the feed: %w", err)
		}
		return nil
	})
}

// Outbox reads what was told.
type Outbox struct {
	dbs    *sqldb.Shards
	recent bool // replicas may answer
}

// New makes a reader of the databases' outbox. Where relays stand is kept in their home.
func New(dbs *sqldb.Shards) *Outbox { return &Outbox{dbs: dbs} }

// Recent is the outbox as sqldb.ReadRecent gives it: for those who ask, not for relays. A
// replica that is behind gives less; what it gives has no gaps.
func (o *Outbox) Recent() *Outbox { return &Outbox{dbs: o.dbs, recent: true} }

// OnCommit has fn told how far a shard's order of commit has come whenever this process
// has committed, or may have. fn must not wait.
func (o *Outbox) OnCommit(fn func(shard ids.Shard, seq int64)) {
	for _, db := range o.dbs.All() {
		db.Watch(func(key int, value int64) { fn(ids.Shard(key), value) })
	}
}

// Cursor is a place in the feeds of all shards.
type Cursor [ids.Shards]int64

// ErrBadCursor answers a cursor that was not given out by us.
var ErrBadCursor = fault.Field("events.bad_cursor", "cursor", "is not a cursor of this list")

// ParseCursor reads Cursor.String's form; "" is the beginning.
func ParseCursor(s string) (Cursor, error) {
	var c Cursor
	if s == "" {
		return c, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) > binary.MaxVarintLen64*ids.Shards {
		return c, ErrBadCursor
	}
	for i := range c {
		v, n := binary.Uvarint(raw)
		if n <= 0 || v > 1<<62 {
			return Cursor{}, ErrBadCursor
		}
		c[i], raw = int64(v), raw[n:]
	}
	if len(raw) != 0 {
		return Cursor{}, ErrBadCursor
	}
	return c, nil
}

// String is the opaque form that clients send back.
func (c Cursor) String() string {
	var raw []byte
	for _, seq := range c {
		raw = binary.AppendUvarint(raw, uint64(seq))
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Read gives up to limit events after the cursor, each shard in its order of
// commit and the shards merged by time, and the cursor after the last of them.
// All events of one transaction are given together, so a page may be longer than
// limit by one transaction's events.
func (o *Outbox) Read(ctx context.Context, after Cursor, limit int) ([]Event, Cursor, error) {
	const query = `SELECT seq, event_id, type, brand_id, subject, at, data, traceparent FROM outbox WHERE shard = ? AND seq > ? ORDER BY seq, n LIMIT ?`
	var all []Event
	for shard := range ids.Shard(ids.Shards) {
		read := func(ctx context.Context, q sqldb.Querier) ([]Event, error) {
			return sqldb.Collect(ctx, q, scanEvent(shard), query, shard, after[shard], limit+eventsPerTxMax)
		}
		var page []Event
		var err error
		db := o.dbs.Of(shard)
		if o.recent {
			page, err = sqldb.ReadRecent(ctx, db, read)
		} else {
			page, err = read(ctx, db.Reader())
		}
		if err != nil {
			return nil, after, fmt.Errorf("read outbox of shard %d: %w", shard, err)
		}
		if len(page) == limit+eventsPerTxMax { // the last transaction may be cut: leave it for the next page
			last := page[len(page)-1].Seq
			page = slices.DeleteFunc(page, func(e Event) bool { return e.Seq == last })
		}
		all = append(all, page...)
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.Time.Compare(b.Time) })
	next := after
	for i, e := range all {
		if i >= limit && next[e.Shard] != e.Seq {
			all = all[:i]
			break
		}
		next[e.Shard] = e.Seq
	}
	return all, next, nil
}

// eventsPerTxMax bounds how many events one transaction may tell.
const eventsPerTxMax = 200

func scanEvent(shard ids.Shard) func(*sql.Rows) (Event, error) {
	return func(r *sql.Rows) (Event, error) {
		e := Event{Shard: shard}
		var at int64
		var parent string
		err := r.Scan(&e.Seq, &e.ID, &e.Type, &e.BrandID, &e.Subject, &at, (*[]byte)(&e.Data), &parent)
		e.Time, e.Trace = sqldb.Time(at), trace.Parse(parent)
		return e, err
	}
}

// ErrTooManyEvents guards eventsPerTxMax.
var ErrTooManyEvents = errors.New("outbox: too many events in one transaction")

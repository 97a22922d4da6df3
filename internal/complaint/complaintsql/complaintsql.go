// Package complaintsql keeps complaints in SQL, each in the database of its brand.
//
// One engine: SQLite and the MySQL protocol are dialects of this package, told apart by
// platform/sqldb.
package complaintsql

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/complaint/complaintevent"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/idem"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
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

// Store implements complaint.Store.
type Store struct {
	dbs   *sqldb.Shards
	clock clock.Clock
}

var _ complaint.Store = (*Store)(nil)

// New makes the store of migrated databases.
func New(dbs *sqldb.Shards, c clock.Clock) *Store { return &Store{dbs, c} }

const columns = `complaint_id, brand_id, batch_id, code, token, text, place, photo, created_at, closed_at, closed_by, outcome`

func scan(r *sql.Rows) (c complaint.Complaint, err error) {
	var created, closed int64
	err = r.Scan(&c.ID, &c.Brand, &c.Batch, &c.Code, &c.Token, &c.Text, &c.Place, &c.Photo, &created, &closed, &c.ClosedBy, &c.Outcome)
	c.CreatedAt, c.ClosedAt = sqldb.Time(created), sqldb.Time(closed)
	return c, err
}

// Expect implements complaint.Store.
func (s *Store) Expect(ctx context.Context, id complaint.ID, photo picture.Kind, at time.Time) error {
	return s.dbs.Named(string(id)).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO complaint_photos (complaint_id, photo, kept_at) VALUES (?,?,?)`, id, string(photo), sqldb.Micros(at))
		return err
	})
}

// Abandoned implements complaint.Store. What it gives is marked: File takes it for late.
func (s *Store) Abandoned(ctx context.Context, before time.Time, limit int) (all []complaint.Complaint, _ error) {
	for _, db := range s.dbs.All() {
		var some []complaint.Complaint
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			if _, err = tx.ExecContext(ctx, `UPDATE complaint_photos SET kept_at = 0 WHERE kept_at < ?`, sqldb.Micros(before)); err != nil {
				return err
			}
			some, err = sqldb.Collect(ctx, tx, func(r *sql.Rows) (c complaint.Complaint, err error) {
				return c, r.Scan(&c.ID, &c.Photo)
			}, `SELECT complaint_id, photo FROM complaint_photos WHERE kept_at = 0 ORDER BY complaint_id LIMIT ?`, limit)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for abandoned photos: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// Forget implements complaint.Store.
func (s *Store) Forget(ctx context.Context, id complaint.ID) error {
	return s.dbs.Named(string(id)).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM complaint_photos WHERE complaint_id = ?`, id)
		return err
	})
}

// arrived says that a complaint with a photo is not expected any more.
func arrived(ctx context.Context, tx *sqldb.Tx, id complaint.ID) error {
	res, err := tx.ExecContext(ctx, `DELETE FROM complaint_photos WHERE complaint_id = ? AND kept_at > 0`, id)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return complaint.ErrLate
}

// File implements complaint.Store.
func (s *Store) File(ctx context.Context, r ids.Request, c complaint.Complaint) (complaint.Complaint, bool, error) {
	shard := ids.ShardOf(c.Brand)
	const insert = `INSERT INTO complaints (` + columns + `) VALUES (?,?,?,?,?,?,?,?,?,0,'','')`
	effect, replayed, err := idem.Once(ctx, s.dbs.Of(shard), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		if c.Photo != picture.None {
			if err := arrived(ctx, tx, c.ID); err != nil {
				return "", err
			}
		}
		_, err := tx.ExecContext(ctx, insert, c.ID, c.Brand, c.Batch, c.Code, c.Token, c.Text, c.Place, string(c.Photo), sqldb.Micros(c.CreatedAt))
		if err != nil || c.Brand == 0 {
			return string(c.ID), err
		}
		data, err := json.Marshal(complaintevent.Complaint{
			ComplaintID: string(c.ID), BrandID: int32(c.Brand), BatchID: string(c.Batch), Code: c.Code, Photo: c.Photo != picture.None,
		})
		if err != nil {
			return "", err
		}
		stamp, err := outbox.Commit(ctx, tx, shard, s.clock.Now())
		if err != nil {
			return "", err
		}
		return string(c.ID), outbox.Append(ctx, tx, stamp, outbox.Event{Type: complaintevent.Filed, BrandID: c.Brand, Subject: string(c.ID), Data: data})
	})
	if err != nil {
		return complaint.Complaint{}, false, fmt.Errorf("file complaint: %w", err)
	}
	if !replayed {
		return c, false, nil
	}
	c, err = s.Complaint(ctx, complaint.ID(effect))
	return c, true, err
}

// Complaint implements complaint.Store.
func (s *Store) Complaint(ctx context.Context, id complaint.ID) (complaint.Complaint, error) {
	all, err := sqldb.Collect(ctx, s.dbs.Named(string(id)).Reader(), scan, `SELECT `+columns+` FROM complaints WHERE complaint_id = ?`, id)
	if err == nil && len(all) == 0 {
		err = complaint.ErrUnknown
	}
	if err != nil {
		return complaint.Complaint{}, err
	}
	return all[0], nil
}

// List implements complaint.Store.
func (s *Store) List(ctx context.Context, brand ids.BrandID, filter complaint.Filter, before *complaint.Complaint, limit int) ([]complaint.Complaint, error) {
	const query = `SELECT ` + columns + ` FROM complaints
		WHERE brand_id = ? AND (created_at < ? OR (created_at = ? AND complaint_id < ?)) AND (? = '' OR (? = 'open' AND closed_at = 0) OR (? = 'closed' AND closed_at > 0))
		ORDER BY created_at DESC, complaint_id DESC LIMIT ?`
	const farAhead = 1 << 58
	at, id := int64(farAhead), complaint.ID("")
	if before != nil {
		at, id = sqldb.Micros(before.CreatedAt), before.ID
	}
	return sqldb.Collect(ctx, s.dbs.Of(ids.ShardOf(brand)).Reader(), scan, query, brand, at, at, id, string(filter), string(filter), string(filter), limit)
}

// Close implements complaint.Store.
func (s *Store) Close(ctx context.Context, r ids.Request, id complaint.ID, by, outcome string) (complaint.Complaint, bool, error) {
	const update = `UPDATE complaints SET closed_at = ?, closed_by = ?, outcome = ? WHERE complaint_id = ? AND closed_at = 0`
	_, replayed, err := idem.Once(ctx, s.dbs.Named(string(id)), s.clock, r, func(ctx context.Context, tx *sqldb.Tx) (string, error) {
		res, err := tx.ExecContext(ctx, update, sqldb.Micros(s.clock.Now().Truncate(time.Microsecond)), by, outcome, id)
		if err != nil {
			return "", err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return "", closedOr(ctx, tx, id, err)
		}
		return string(id), nil
	})
	if err != nil {
		return complaint.Complaint{}, false, fmt.Errorf("close complaint: %w", err)
	}
	c, err := s.Complaint(ctx, id)
	return c, replayed, err
}

// closedOr says why nothing was changed.
func closedOr(ctx context.Context, tx *sqldb.Tx, id complaint.ID, err error) error {
	if err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM complaints WHERE complaint_id = ?)`, id).Scan(&there); err != nil {
		return err
	}
	if there {
		return complaint.ErrClosed
	}
	return complaint.ErrUnknown
}

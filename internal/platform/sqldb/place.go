package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/chopmark/chopmark/internal/ids"
)

//go:embed schema
var schema embed.FS

func placeSchema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// place says whose database this is. Copies of it say the same.
type place struct {
	installation string // that it belongs to
	id           string // that nothing but its copies has
	shards       string // of the home: the places that the shards were given at the first start
	beat         int64
	readOnly     bool
}

func readPlace(ctx context.Context, q Querier) (place, error) {
	const query = `SELECT installation, place, shards, beat, @@global.read_only FROM sql_place WHERE id = 1`
	all, err := Collect(ctx, q, func(r *sql.Rows) (p place, err error) {
		var readOnly string
		err = r.Scan(&p.installation, &p.id, &p.shards, &p.beat, &readOnly)
		p.readOnly = onOff(readOnly) != "OFF"
		return p, err
	}, query)
	if err != nil {
		return place{}, err
	}
	if len(all) == 0 {
		return place{}, sql.ErrNoRows
	}
	return all[0], nil
}

// noHome stands in place of the shards where a database is no installation's home.
const noHome = "-"

// settle makes the database a place of the installation, or of a new one when that is
// "", unless it is one already. old tells that it has records from before places were
// noted.
func (d *DB) settle(ctx context.Context, installation string) (p place, old bool, _ error) {
	const query = `SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('schema_outbox', 'schema_idem')`
	var tables int
	if err := d.read.QueryRowContext(ctx, query).Scan(&tables); err != nil {
		return p, false, fmt.Errorf("look into %s: %w", d.name, err)
	}
	if err := d.Migrate(ctx, "place", placeSchema()); err != nil {
		return p, false, err
	}
	p, err := readPlace(ctx, d.read)
	if !errors.Is(err, sql.ErrNoRows) {
		return p, false, err
	}
	shards := ""
	if installation == "" {
		installation = ids.New("ins")
	} else if shards = noHome; tables > 0 {
		return p, false, fmt.Errorf("%w: %s has records already", ErrOtherInstallation, d.name)
	}
	err = d.Write(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sql_place (id, installation, place, shards, beat) VALUES (1,?,?,?,0)`, installation, ids.New("plc"), shards)
		return err
	})
	if err != nil && !IsDuplicate(err) { // another process may be first
		return p, false, fmt.Errorf("note whose database %s is: %w", d.name, err)
	}
	p, err = readPlace(ctx, d.read)
	return p, tables > 0, err
}

// keepShards notes once which places the shards were given, and gives what was noted.
func (d *DB) keepShards(ctx context.Context, shards string) (kept string, _ error) {
	err := d.Write(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE sql_place SET shards = ? WHERE id = 1 AND shards = ''`, shards); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT shards FROM sql_place WHERE id = 1`).Scan(&kept)
	})
	if err != nil {
		return "", fmt.Errorf("note the shards in %s: %w", d.name, err)
	}
	return kept, nil
}

// nextBeat writes the next beat, which every copy shows once it has all that was
// committed before.
func (d *DB) nextBeat(ctx context.Context) (beat int64, _ error) {
	err := d.attempt(ctx, &Tx{kept: d.writes}, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE sql_place SET beat = beat + 1 WHERE id = 1`); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT beat FROM sql_place WHERE id = 1`).Scan(&beat)
	})
	return beat, err
}

package keysetsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Vault keeps the keyset in the database, so that every process that shares it finds
// the same keys. With a key to wrap by, what the database holds is of no use alone.
type Vault struct {
	db  *sqldb.DB
	kek *keyset.KEK // nil = stored as it is
}

var _ keyset.Vault = (*Vault)(nil)

// NewVault makes a vault on a migrated database; kek may be nil.
func NewVault(db *sqldb.DB, kek *keyset.KEK) *Vault { return &Vault{db, kek} }

// Name implements keyset.Vault.
func (v *Vault) Name() string { return "database " + v.db.Name() }

// Load implements keyset.Vault.
func (v *Vault) Load(ctx context.Context) (*keyset.Set, error) {
	set, _, err := v.load(ctx, v.db.Reader())
	return set, err
}

func (v *Vault) load(ctx context.Context, q sqldb.Querier) (_ *keyset.Set, revision int64, _ error) {
	var data []byte
	err := q.QueryRowContext(ctx, `SELECT revision, data FROM keyset_vault WHERE id = 1`).Scan(&revision, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, keyset.ErrMissing.Textf("%s holds no keyset", v.Name())
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read keyset: %w", err)
	}
	set, err := v.open(data)
	if f, ok := fault.From(err); ok && errors.Is(err, keyset.ErrDamaged) {
		err = keyset.ErrDamaged.Textf("the keyset in %s cannot be used: %s; restore it with `chopmark keys import`", v.Name(), f.Text)
	}
	return set, revision, err
}

func (v *Vault) open(data []byte) (*keyset.Set, error) {
	switch {
	case !keyset.IsWrapped(data):
		set, err := keyset.Decode(data)
		if err != nil {
			return nil, errors.Join(keyset.ErrDamaged, err)
		}
		return set, nil
	case v.kek == nil:
		return nil, keyset.ErrLocked
	}
	return v.kek.Unwrap(data)
}

func (v *Vault) encode(s *keyset.Set) ([]byte, error) {
	if v.kek == nil {
		return keyset.Encode(s)
	}
	return v.kek.Wrap(s)
}

// Create implements keyset.Vault: the row's key lets one of several win.
func (v *Vault) Create(ctx context.Context, s *keyset.Set) error {
	data, err := v.encode(s)
	if err != nil {
		return err
	}
	err = v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO keyset_vault (id, revision, data) VALUES (1, 1, ?)`, data)
		return err
	})
	if sqldb.IsDuplicate(err) {
		return keyset.ErrExists.Textf("there is a keyset in %s already", v.Name())
	}
	return err
}

// Replace implements keyset.Vault: the revision is compared and set.
func (v *Vault) Replace(ctx context.Context, old, next *keyset.Set) error {
	data, err := v.encode(next)
	if err != nil {
		return err
	}
	return v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if old == nil {
			return overwrite(ctx, tx, data)
		}
		present, revision, err := v.load(ctx, tx)
		if err != nil {
			return err
		}
		if !present.Equal(old) {
			return keyset.ErrChanged
		}
		result, err := tx.ExecContext(ctx, `UPDATE keyset_vault SET data = ?, revision = revision + 1 WHERE id = 1 AND revision = ?`, data, revision)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(keyset.ErrChanged, err)
		}
		return nil
	})
}

// overwrite puts a keyset in the place of whatever is there.
func overwrite(ctx context.Context, tx *sqldb.Tx, data []byte) error {
	update := func() (bool, error) {
		result, err := tx.ExecContext(ctx, `UPDATE keyset_vault SET data = ?, revision = revision + 1 WHERE id = 1`, data)
		if err != nil {
			return false, err
		}
		n, err := result.RowsAffected()
		return n == 1, err
	}
	there, err := update()
	if err != nil || there {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO keyset_vault (id, revision, data) VALUES (1, 1, ?)`, data)
	if sqldb.IsDuplicate(err) { // another was faster
		_, err = update()
	}
	return err
}

// Wrapped reports whether the keyset is stored wrapped; false also when there is none.
func (v *Vault) Wrapped(ctx context.Context) (bool, error) {
	var data []byte
	err := v.db.Reader().QueryRowContext(ctx, `SELECT data FROM keyset_vault WHERE id = 1`).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return keyset.IsWrapped(data), err
}

package identitysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// keeperName names the one key that there is.
const keeperName = "people"

// SealedKey is the key that wraps the data keys of persons, as it was sealed by the server
// that keeps keys; "" = there is none.
func (s *Store) SealedKey(ctx context.Context) (sealed string, _ error) {
	err := s.db.Reader().QueryRowContext(ctx, `SELECT sealed FROM identity_keeper WHERE name = ?`, keeperName).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return sealed, err
}

// KeepSealedKey keeps it, unless another process was first, and gives the one that counts.
func (s *Store) KeepSealedKey(ctx context.Context, sealed string) (string, error) {
	err := s.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO identity_keeper (name, sealed) VALUES (?,?)`, keeperName, []byte(sealed))
		if sqldb.IsDuplicate(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("keep a sealed key: %w", err)
	}
	return s.SealedKey(ctx)
}

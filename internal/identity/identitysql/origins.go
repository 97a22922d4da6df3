package identitysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/chopmark/chopmark/internal/identity"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// BrandOrigins implements identity.Store.
func (s *Store) BrandOrigins(ctx context.Context) ([]identity.BrandOrigin, error) {
	return sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (o identity.BrandOrigin, err error) {
		err = r.Scan(&o.Brand, &o.Origin)
		return o, err
	}, `SELECT brand_id, origin FROM identity_brand_origins ORDER BY brand_id, origin`)
}

// SetBrandOrigins implements identity.Store.
func (s *Store) SetBrandOrigins(ctx context.Context, b ids.BrandID, origins []string) error {
	return s.inTurn(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM identity_brand_origins WHERE brand_id = ?`, b); err != nil {
			return fmt.Errorf("remove origins of brand %d: %w", b, err)
		}
		for _, o := range origins {
			if _, err := tx.ExecContext(ctx, `INSERT INTO identity_brand_origins (brand_id, origin) VALUES (?,?)`, b, o); err != nil {
				return fmt.Errorf("insert origin of brand %d: %w", b, err)
			}
		}
		return tell(ctx, tx, identity.DirectoryNews, "", "")
	})
}

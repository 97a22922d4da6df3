package tracesql

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/trace"
)

var _ trace.MasterData = (*Store)(nil)

// masterKind makes terms of vocabularies and their things.
const masterKind trace.TermKind = 'v'

func vocabularyKey(brand ids.BrandID, name string) int64 {
	return trace.Term{Kind: masterKind, Text: name}.Key(brand)
}

// Masters implements trace.MasterData.
func (s *Store) Masters(ctx context.Context, brand ids.BrandID, vocabulary string) ([]trace.Master, error) {
	all, err := sqldb.Collect(ctx, s.db.Reader(), func(r *sql.Rows) (m trace.Master, err error) {
		var body []byte
		if err := r.Scan(&body); err != nil {
			return m, err
		}
		err = json.Unmarshal(body, &m)
		return m, err
	}, `SELECT body FROM trace_masters WHERE brand_id = ? AND vocabulary = ?`, brand, vocabularyKey(brand, vocabulary))
	if err != nil {
		return nil, fmt.Errorf("read master data: %w", err)
	}
	return slices.DeleteFunc(all, func(m trace.Master) bool { return m.Type != vocabulary }), nil
}

// storeMasters puts a capture's master data in the place of what was known.
func (g *group) storeMasters(ctx context.Context, c *trace.Capture) error {
	last := map[int64]*trace.Master{}
	var terms []any
	for i := range c.Masters {
		m := &c.Masters[i]
		term := vocabularyKey(c.MastersOf, m.Type+"\x00"+m.ID)
		if last[term] == nil {
			terms = append(terms, term)
		}
		last[term] = m
	}
	const insert = `INSERT INTO trace_masters (brand_id, term, vocabulary, body) VALUES (?,?,?,?)`
	for part := range slices.Chunk(terms, rowsMax) {
		remove := `DELETE FROM trace_masters WHERE brand_id = ? AND term IN (?` + strings.Repeat(`,?`, len(part)-1) + `)`
		if _, err := g.tx.ExecContext(ctx, remove, append([]any{c.MastersOf}, part...)...); err != nil {
			return fmt.Errorf("replace master data: %w", err)
		}
		rows := make([]any, 0, 4*len(part))
		for _, term := range part {
			m := last[term.(int64)] //nolint:forcetypeassert // they are put in above
			body, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("encode master data: %w", err)
			}
			rows = append(rows, c.MastersOf, term, vocabularyKey(c.MastersOf, m.Type), body)
		}
		query := insert + strings.Repeat(`,(?,?,?,?)`, len(part)-1)
		if _, err := g.tx.ExecContext(ctx, query, rows...); err != nil {
			return fmt.Errorf("insert master data: %w", err)
		}
	}
	if len(terms) == 0 {
		return nil
	}
	var count int
	if err := g.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM trace_masters WHERE brand_id = ?`, c.MastersOf).Scan(&count); err != nil {
		return fmt.Errorf("count master data: %w", err)
	}
	if count > trace.MastersMax {
		return trace.ErrTooLarge.Textf("the brand's master data would tell of %d things, at most %d are kept", count, trace.MastersMax)
	}
	return nil
}

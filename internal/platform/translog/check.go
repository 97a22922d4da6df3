package translog

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Report is what Check found.
type Report struct {
	Leaves int64
	Erased int64 // whose statement is gone; their commitment still counts
	Heads  int64
	Faults []string // empty = the log is whole; at most faultsMax
}

const faultsMax = 100

func (r *Report) addf(format string, args ...any) {
	if len(r.Faults) < faultsMax {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

type leafRow struct {
	idx                         int64
	salt, statement, commitment []byte
}

// Check computes the whole tree anew from the statements and holds every signed head,
// every tile and every commitment to it. It needs memory for one path only. each, which
// may be nil, is shown every statement.
func (l *Log) Check(ctx context.Context, each func(kind, subject string, statement []byte)) (Report, error) {
	var r Report
	heads, err := sqldb.Collect(ctx, l.db.Reader(), func(rows *sql.Rows) (h Head, err error) {
		err = rows.Scan(&h.Size, &h.Note)
		return h, err
	}, `SELECT size, note FROM translog_checkpoints ORDER BY size`)
	if err != nil {
		return r, fmt.Errorf("read signed heads: %w", err)
	}
	var size int64
	if err := l.db.Reader().QueryRowContext(ctx, `SELECT size FROM translog WHERE one = 1`).Scan(&size); err != nil {
		return r, fmt.Errorf("read size of the transparency log: %w", err)
	}
	whole := &compact{}
	for r.Leaves < size {
		page, err := l.page(ctx, r.Leaves, min(tileWidth, size-r.Leaves), each)
		if err != nil {
			return r, err
		}
		for _, row := range page {
			if row.idx != r.Leaves {
				break
			}
			l.checkLeaf(&r, row)
			whole.add(tlog.RecordHash(row.commitment))
			r.Leaves++
			for len(heads) > 0 && heads[0].Size == r.Leaves {
				l.checkHead(&r, heads[0], whole.root())
				heads = heads[1:]
			}
		}
		if want := min(tileWidth, size-r.Leaves+int64(len(page))); int64(len(page)) != want || page[len(page)-1].idx != r.Leaves-1 {
			r.addf("entry %d is missing", r.Leaves)
			return r, nil
		}
		if err := l.checkTile(ctx, &r, page); err != nil {
			return r, err
		}
	}
	for _, h := range heads {
		r.addf("head %d is signed, but the log has %d entries", h.Size, r.Leaves)
	}
	if r.Leaves > 0 {
		root, err := tlog.TreeHash(size, tiles{ctx, l.db.Reader()})
		if err != nil || root != whole.root() {
			r.addf("the stored tiles give another root than the entries (%v)", err)
		}
	}
	return r, nil
}

func (l *Log) page(ctx context.Context, from, n int64, each func(kind, subject string, statement []byte)) ([]leafRow, error) {
	page, err := sqldb.Collect(ctx, l.db.Reader(), func(rows *sql.Rows) (row leafRow, err error) {
		var kind, subject string
		err = rows.Scan(&row.idx, &kind, &subject, &row.salt, &row.statement, &row.commitment)
		if err == nil && each != nil {
			each(kind, subject, row.statement)
		}
		return row, err
	}, `SELECT idx, kind, subject, salt, statement, commitment FROM translog_leaves WHERE idx >= ? ORDER BY idx LIMIT ?`, from, n)
	if err != nil {
		return nil, fmt.Errorf("read entries from %d: %w", from, err)
	}
	return page, nil
}

func (l *Log) checkLeaf(r *Report, row leafRow) {
	if len(row.salt) == 0 && len(row.statement) == 0 {
		r.Erased++
		return
	}
	if c := Commit(row.salt, row.statement); !bytes.Equal(c[:], row.commitment) {
		r.addf("entry %d: the statement is not the one that was committed to", row.idx)
	}
}

func (l *Log) checkHead(r *Report, h Head, root Hash) {
	r.Heads++
	signed, err := l.open(h)
	switch {
	case err != nil:
		r.addf("%v", err)
	case signed != root:
		r.addf("head %d: the entries give another root than was signed", h.Size)
	}
}

// checkTile compares a page of entries with the hashes of its tile.
func (l *Log) checkTile(ctx context.Context, r *Report, page []leafRow) error {
	n := page[0].idx / tileWidth
	data, err := tileData(ctx, l.db.Reader(), 0, n)
	if err != nil {
		r.addf("%v", err)
		return ctx.Err()
	}
	var want []byte
	for _, row := range page {
		h := tlog.RecordHash(row.commitment)
		want = append(want, h[:]...)
	}
	if !bytes.Equal(data, want) {
		r.addf("tile 0/%d does not have the hashes of its entries", n)
	}
	return nil
}

// compact is the roots of the complete subtrees of a growing tree, the largest first.
type compact struct {
	n     int64
	roots []Hash
}

func (c *compact) add(h Hash) {
	for n := c.n; n&1 == 1; n >>= 1 {
		last := len(c.roots) - 1
		h = tlog.NodeHash(c.roots[last], h)
		c.roots = c.roots[:last]
	}
	c.roots = append(c.roots, h)
	c.n++
}

func (c *compact) root() Hash {
	if len(c.roots) == 0 {
		return Hash{}
	}
	h := c.roots[len(c.roots)-1]
	for i := len(c.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c.roots[i], h)
	}
	return h
}

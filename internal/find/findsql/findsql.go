// Package findsql is the index of words in a file of SQLite (FTS5), one for each process: a
// copy, which is made anew when it is lost, damaged, or of another form or installation.
//
// A word of three letters or more is looked up by its trigrams: what has all of them is read,
// and has the word or not. A shorter one has none: what else the question names is read in the
// order of answers. At most lookedMax documents are read for one page, which may be short for it
// and says where to go on.
//
// The index knows which trigrams a document has and not where: where they stand would be most of
// what is written (BenchmarkApply), and only the document itself can answer for what it is asked.
package findsql

import (
	"context"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

//go:embed schema
var schema embed.FS

// form is of the file: another form is another name, and filled anew.
const form = "2"

// Index implements find.Index.
type Index struct{ db *sqldb.DB }

var _ find.Index = (*Index)(nil)

// Open opens the index under a directory that is its own. What is there of another form, of
// another owner or damaged is removed.
func Open(ctx context.Context, dir, owner string, log *slog.Logger) (*Index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the search index: %w", err)
	}
	name := "words-" + form + "-" + owner + ".db"
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of the search index: %w", err)
	}
	for _, e := range there {
		if !strings.HasPrefix(e.Name(), name) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("remove an older search index: %w", err)
			}
		}
	}
	i, err := open(ctx, filepath.Join(dir, name))
	if err == nil || ctx.Err() != nil {
		return i, err
	}
	log.Warn("the search index is damaged and will be filled anew", "path", dir, "error", err)
	for _, more := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, name+more)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove a damaged search index: %w", err)
		}
	}
	return open(ctx, filepath.Join(dir, name))
}

func open(ctx context.Context, path string) (*Index, error) {
	db, err := sqldb.OpenSQLiteCopy(ctx, path)
	if err != nil {
		return nil, err
	}
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	if err := db.Migrate(ctx, "find", sub); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Index{db}, nil
}

// Close closes the file.
func (i *Index) Close() error { return i.db.Close() }

// The parts of a document's number, from the top: kind, brand, number.
const (
	numberBits = 30
	brandBits  = 31
)

// bottom is the smallest number of a kind's documents of a brand.
func bottom(k find.Kind, brand ids.BrandID) int64 {
	kinds := find.Kinds()
	rank := int64(len(kinds) - 1 - slices.Index(kinds, k))
	return rank<<(brandBits+numberBits) | int64(brand)<<numberBits
}

// Standing implements find.Index.
func (i *Index) Standing(ctx context.Context) (at find.Standing, _ error) {
	err := i.db.Reader().QueryRowContext(ctx, `SELECT cursor_text, filled FROM find_standing WHERE one = 1`).Scan(&at.Cursor, &at.Filled)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return at, fmt.Errorf("read where the search index stands: %w", err)
	}
	return at, nil
}

// Reset implements find.Index.
func (i *Index) Reset(ctx context.Context) error {
	err := i.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM find_words`)
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM find_documents`)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM find_standing`)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("empty the search index: %w", err)
	}
	return nil
}

// lookedMax is how many documents one page looks at.
const lookedMax = 20_000

// span is a stretch of numbers, both ends included.
type span struct{ low, high int64 }

// spans are the stretches of a question, the highest first.
func spans(q *find.Query) (all []span) {
	brands := slices.Clone(q.Brands)
	slices.Sort(brands)
	for _, k := range q.Kinds {
		if q.All {
			all = append(all, span{bottom(k, 0), bottom(k, 0) + 1<<(brandBits+numberBits) - 1})
			continue
		}
		for _, b := range slices.Backward(brands) {
			all = append(all, span{bottom(k, b), bottom(k, b) + 1<<numberBits - 1})
		}
	}
	return all
}

// Find implements find.Index.
func (i *Index) Find(ctx context.Context, q *find.Query) (page find.Page, _ error) {
	below := int64(1<<63 - 1)
	if q.After != "" {
		raw, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || len(raw) != 8 {
			return page, find.ErrBadCursor
		}
		below = int64(binary.BigEndian.Uint64(raw))
	}
	w := walk{q: q, match: matchOf(q.Terms)}
	for _, s := range spans(q) {
		if s.low >= below {
			continue
		}
		s.high = min(s.high, below-1)
		if err := w.through(ctx, i.db.Reader(), s); err != nil {
			return page, fmt.Errorf("search: %w", err)
		}
		if w.full {
			return find.Page{Hits: w.hits, Next: base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(w.at)))}, nil
		}
	}
	return find.Page{Hits: w.hits}, nil
}

// matchOf is what the trigrams can be asked for; "" = nothing.
func matchOf(terms []string) string {
	var b strings.Builder
	for gram := range (grams{}).of(strings.Join(terms, " ")) {
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
		b.WriteString(`"` + strings.ReplaceAll(gram, `"`, `""`) + `"`)
	}
	return b.String()
}

// walk goes through the stretches of a question until a page is full.
type walk struct {
	q      *find.Query
	match  string
	hits   []find.Hit
	looked int
	at     int64 // the number of what was looked at last
	full   bool
}

func (w *walk) through(ctx context.Context, db sqldb.Querier, s span) error {
	const (
		matching = `SELECT d.no, d.kind, d.brand_id, d.id, d.title, d.words, d.at FROM find_words CROSS JOIN find_documents AS d ON d.no = find_words.rowid
			WHERE find_words MATCH ? AND find_words.rowid BETWEEN ? AND ? ORDER BY find_words.rowid DESC`
		every = `SELECT no, kind, brand_id, id, title, words, at FROM find_documents WHERE no BETWEEN ? AND ? AND gone = 0 ORDER BY no DESC`
	)
	var rows *sql.Rows
	var err error
	if w.match != "" {
		rows, err = db.QueryContext(ctx, matching, w.match, s.low, s.high)
	} else {
		rows, err = db.QueryContext(ctx, every, s.low, s.high)
	}
	if err != nil {
		return err
	}
	for !w.full && rows.Next() {
		var h find.Hit
		var kind, words string
		var at int64
		if err := rows.Scan(&w.at, &kind, &h.Brand, &h.ID, &h.Title, &words, &at); err != nil {
			return errors.Join(err, rows.Close())
		}
		w.looked++
		if !slices.ContainsFunc(w.q.Terms, func(t string) bool { return !strings.Contains(words, t) }) {
			h.Kind, h.At = find.Kind(kind), sqldb.Time(at)
			w.hits = append(w.hits, h)
		}
		w.full = len(w.hits) == w.q.Limit || w.looked == lookedMax
	}
	return errors.Join(rows.Err(), rows.Close())
}

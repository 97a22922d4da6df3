package findsql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// identity is what a document is known by.
type identity struct {
	kind  find.Kind
	brand ids.BrandID
	id    string
}

func identityOf(d *find.Document) identity { return identity{d.Kind, d.Brand, d.ID} }

// name is the identity in eight bytes; others may have the same.
func (n identity) name() int64 {
	sum := sha256.Sum256([]byte(string(n.kind) + "/" + strconv.Itoa(int(n.brand)) + "/" + n.id))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// row is what is kept of a document.
type row struct {
	no, version int64
	words       string
}

// Apply implements find.Index.
func (i *Index) Apply(ctx context.Context, all []find.Document, to find.Standing) error {
	all = lasting(all)
	err := i.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		known, err := rowsOf(ctx, tx, all)
		if err != nil {
			return err
		}
		p := putting{tx: tx, known: known, last: map[int64]int64{}, grams: grams{}}
		for n := range all {
			if err := p.put(ctx, &all[n]); err != nil {
				return fmt.Errorf("write %s %s: %w", all[n].Kind, all[n].ID, err)
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM find_standing WHERE one = 1`); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO find_standing (one, cursor_text, filled) VALUES (1, ?, ?)`, to.Cursor, to.Filled)
		return err
	})
	if err != nil {
		return fmt.Errorf("write the search index: %w", err)
	}
	return nil
}

// lasting leaves of each document the one that would be left if they came one by one.
func lasting(all []find.Document) (out []find.Document) {
	at := make(map[identity]int, len(all))
	out = make([]find.Document, 0, len(all))
	for i := range all {
		d := &all[i]
		n, twice := at[identityOf(d)]
		switch {
		case !twice:
			at[identityOf(d)], out = len(out), append(out, *d)
		case out[n].Version <= d.Version:
			out[n] = *d
		}
	}
	return out
}

// chunk is how many documents one statement looks for.
const chunk = 256

// rowsOf finds those of the documents that are there.
func rowsOf(ctx context.Context, q sqldb.Querier, all []find.Document) (map[identity]row, error) {
	known := map[identity]row{}
	for part := range slices.Chunk(all, chunk) {
		names := make([]int64, len(part))
		for i := range part {
			names[i] = identityOf(&part[i]).name()
		}
		args := sqldb.Keys(names)
		query := `SELECT no, version, words, kind, brand_id, id FROM find_documents WHERE name IN (?` + strings.Repeat(`,?`, len(args)-1) + `)`
		_, err := sqldb.Collect(ctx, q, func(r *sql.Rows) (n identity, err error) {
			var one row
			err = r.Scan(&one.no, &one.version, &one.words, &n.kind, &n.brand, &n.id)
			known[n] = one
			return n, err
		}, query, args...)
		if err != nil {
			return nil, err
		}
	}
	return known, nil
}

// putting writes documents of one transaction.
type putting struct {
	tx    *sqldb.Tx
	known map[identity]row
	last  map[int64]int64 // the highest number that is taken, by where those of a kind and brand begin
	grams grams
}

// put writes a document under the number that it has or gets. One that is gone keeps its
// row, so that an older version of it does not come back.
func (p *putting) put(ctx context.Context, d *find.Document) error {
	const (
		insert = `INSERT INTO find_documents (no, name, kind, brand_id, id, title, words, at, version, gone) VALUES (?,?,?,?,?,?,?,?,?,?)`
		update = `UPDATE find_documents SET title = ?, words = ?, at = ?, version = ?, gone = ? WHERE no = ?`
	)
	words := d.Text()
	if d.Gone {
		words = ""
	}
	n := identityOf(d)
	was, known := p.known[n]
	switch {
	case known && was.version > d.Version:
		return nil
	case known:
		if _, err := p.tx.ExecContext(ctx, update, d.Title, words, sqldb.Micros(d.At), d.Version, d.Gone, was.no); err != nil || was.words == words {
			return err
		}
		if was.words != "" {
			if _, err := p.tx.ExecContext(ctx, `DELETE FROM find_words WHERE rowid = ?`, was.no); err != nil {
				return err
			}
		}
	default:
		var err error
		if was.no, err = p.next(ctx, d); err != nil {
			return err
		}
		if _, err := p.tx.ExecContext(ctx, insert, was.no, n.name(), string(d.Kind), d.Brand, d.ID, d.Title, words, sqldb.Micros(d.At), d.Version, d.Gone); err != nil {
			return err
		}
	}
	if words == "" {
		return nil
	}
	_, err := p.tx.ExecContext(ctx, `INSERT INTO find_words (rowid, words) VALUES (?, ?)`, was.no, p.grams.text(words))
	return err
}

// next is the number of a document that is new.
func (p *putting) next(ctx context.Context, d *find.Document) (int64, error) {
	const last = `SELECT COALESCE(MAX(no), ?) FROM find_documents WHERE no BETWEEN ? AND ?`
	low := bottom(d.Kind, d.Brand)
	no, known := p.last[low]
	if !known {
		if err := p.tx.QueryRowContext(ctx, last, low, low, low+1<<numberBits-1).Scan(&no); err != nil {
			return 0, err
		}
	}
	p.last[low] = no + 1
	return no + 1, nil
}

// grams are trigrams of a text that were seen: a map that serves one text after another.
type grams map[string]struct{}

// text is what the index is told of a document.
func (g grams) text(words string) string {
	var b strings.Builder
	b.Grow(len(words))
	for gram := range g.of(words) {
		b.WriteString(gram)
		b.WriteByte(' ')
	}
	return b.String()
}

// of gives every three letters that stand together in a folded text, each once. Those with a
// blank are left out: no word of a question has one.
func (g grams) of(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		clear(g)
		var from [3]int // where the last three letters begin
		letters := 0    // since the last blank
		for i, r := range text {
			if r == ' ' || r == '\n' {
				letters = 0
				continue
			}
			from[0], from[1], from[2] = from[1], from[2], i
			if letters++; letters < len(from) {
				continue
			}
			gram := text[from[0] : i+utf8.RuneLen(r)]
			if _, twice := g[gram]; twice {
				continue
			}
			g[gram] = struct{}{}
			if !yield(gram) {
				return
			}
		}
	}
}

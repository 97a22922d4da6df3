package scansql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// texts are the agents, places and zones of a day, each stored once: a row is then a
// third as long, and so is what the disk and the page tree have to do for it.
type texts struct {
	ids    map[string]int64
	places map[verifyevent.Place]int64
	last   int64
	fresh  []any // id and text of those to be written
}

// textsMax bounds what memory knows: a stranger chooses what an agent is called.
// Beyond it a text is stored again with each row that has it.
const textsMax = 50_000

// texts gives the day's texts. The caller holds Records.settling.
func (f *dayFile) texts(ctx context.Context) (*texts, error) {
	if f.known != nil {
		return f.known, nil
	}
	t := &texts{ids: map[string]int64{}, places: map[verifyevent.Place]int64{}}
	if err := f.db.Reader().QueryRowContext(ctx, `SELECT COALESCE(MAX(id), 0) FROM scan_texts`).Scan(&t.last); err != nil {
		return nil, fmt.Errorf("read texts of scan records of %s: %w", f.day, err)
	}
	_, err := sqldb.Collect(ctx, f.db.Reader(), func(r *sql.Rows) (struct{}, error) {
		var id int64
		var text string
		err := r.Scan(&id, &text)
		t.ids[text] = id
		return struct{}{}, err
	}, `SELECT id, text FROM scan_texts ORDER BY id LIMIT ?`, textsMax)
	if err != nil {
		return nil, fmt.Errorf("read texts of scan records of %s: %w", f.day, err)
	}
	f.known = t
	return t, nil
}

func (t *texts) id(text string) int64 {
	id, ok := t.ids[text]
	if !ok {
		t.last++
		id = t.last
		t.fresh = append(t.fresh, id, text)
		if len(t.ids) < textsMax {
			t.ids[text] = id
		}
	}
	return id
}

// place saves putting a place's parts together for each row.
func (t *texts) place(p verifyevent.Place) int64 {
	id, ok := t.places[p]
	if !ok {
		id = t.id(p.String())
		if len(t.places) < textsMax {
			t.places[p] = id
		}
	}
	return id
}

// write stores the texts that are new. When its transaction fails the texts must be
// read again.
func (t *texts) write(ctx context.Context, tx *sqldb.Tx) error {
	err := insertSingly(ctx, tx, t.fresh, 2, `INSERT INTO scan_texts (id, text) VALUES (?,?)`)
	clear(t.fresh)
	t.fresh = t.fresh[:0]
	return err
}

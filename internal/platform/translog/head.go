package translog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Head is a signed state of the log.
type Head struct {
	Size int64
	Root Hash
	Note []byte // a signed note, the form that is handed out
	At   time.Time
}

// tree reads a checkpoint's text.
func tree(text string) (tlog.Tree, error) {
	// tlog writes its own first line and no origin; C2SP has the origin there instead.
	var size int64
	var root string
	var origin string
	if n, err := fmt.Sscanf(text, "%s\n%d\n%s\n", &origin, &size, &root); err != nil || n != 3 {
		return tlog.Tree{}, errors.New("not a checkpoint")
	}
	h, err := tlog.ParseHash(root)
	return tlog.Tree{N: size, Hash: h}, err
}

// Head gives the newest signed head, or ErrEmpty.
func (l *Log) Head(ctx context.Context) (Head, error) {
	var h Head
	var at int64
	err := l.db.Reader().QueryRowContext(ctx, `SELECT size, note, at FROM translog_checkpoints ORDER BY size DESC LIMIT 1`).
		Scan(&h.Size, &h.Note, &at)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Head{}, ErrEmpty
	case err != nil:
		return Head{}, fmt.Errorf("read head of the transparency log: %w", err)
	}
	h.At = sqldb.Time(at)
	h.Root, err = l.open(h)
	return h, err
}

// open checks a stored head's signature and size.
func (l *Log) open(h Head) (Hash, error) {
	t, err := OpenCheckpoint(h.Note, l.vkey)
	if err != nil || t.N != h.Size {
		return Hash{}, fmt.Errorf("%w: the signature of head %d does not hold", ErrBroken, h.Size)
	}
	return t.Hash, nil
}

// OpenCheckpoint checks a signed checkpoint under the log's public key.
func OpenCheckpoint(signed []byte, vkey string) (tlog.Tree, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return tlog.Tree{}, err
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return tlog.Tree{}, err
	}
	return tree(n.Text)
}

// Sign signs what the log has grown to, unless that is signed already. It refuses with
// ErrBroken when the tree no longer contains the head before it.
func (l *Log) Sign(ctx context.Context) (Head, error) {
	var size int64
	if err := l.db.Reader().QueryRowContext(ctx, `SELECT size FROM translog WHERE one = 1`).Scan(&size); err != nil {
		return Head{}, fmt.Errorf("read size of the transparency log: %w", err)
	}
	last, err := l.Head(ctx)
	switch {
	case errors.Is(err, ErrEmpty) && size == 0:
		return Head{}, ErrEmpty
	case errors.Is(err, ErrEmpty):
	case err != nil:
		return Head{}, err
	case last.Size == size:
		return last, nil
	case last.Size > size:
		return Head{}, fmt.Errorf("%w: %d of %d entries are left", ErrBroken, size, last.Size)
	}
	stored := tiles{ctx, l.db.Reader()}
	if last.Size > 0 {
		root, err := tlog.TreeHash(last.Size, stored)
		if err != nil {
			return Head{}, err
		}
		if root != last.Root {
			return Head{}, fmt.Errorf("%w: entries before %d were altered", ErrBroken, last.Size)
		}
	}
	root, err := tlog.TreeHash(size, stored)
	if err != nil {
		return Head{}, err
	}
	h := Head{Size: size, Root: root, At: l.clock.Now()}
	h.Note, err = note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", l.origin, size, root)}, l.signer)
	if err != nil {
		return Head{}, err
	}
	err = l.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO translog_checkpoints (size, note, at) VALUES (?,?,?)`, h.Size, h.Note, sqldb.Micros(h.At))
		return err
	})
	if err != nil && !sqldb.IsDuplicate(err) { // another process signed the same
		return Head{}, fmt.Errorf("keep head %d of the transparency log: %w", size, err)
	}
	return h, nil
}

// Proof shows that a statement is in the log. It stands by itself: with the public key
// anybody can check it (Proof.Check).
type Proof struct {
	Kind       string `json:"kind"`
	Subject    string `json:"subject"`
	Statement  string `json:"statement"` // exactly the bytes that were committed to
	Salt       []byte `json:"salt"`
	Index      int64  `json:"index"`
	Size       int64  `json:"size"`
	Inclusion  []Hash `json:"inclusion"`
	Checkpoint string `json:"checkpoint"`
	Key        string `json:"key"` // of the checkpoint
}

// Check checks the proof under a key that the reader trusts.
func (p *Proof) Check(vkey string) error {
	t, err := OpenCheckpoint([]byte(p.Checkpoint), vkey)
	switch {
	case err != nil:
		return fmt.Errorf("the checkpoint: %w", err)
	case t.N != p.Size:
		return errors.New("the checkpoint is of another size")
	}
	commitment := Commit(p.Salt, []byte(p.Statement))
	return tlog.CheckRecord(p.Inclusion, t.N, t.Hash, p.Index, tlog.RecordHash(commitment[:]))
}

// Prove proves the first statement about a subject, under the newest head. What was
// appended a moment ago, and erased statements, are ErrUnknown.
func (l *Log) Prove(ctx context.Context, kind, subject string) (Proof, error) {
	p := Proof{Kind: kind, Subject: subject, Key: l.vkey}
	err := l.db.Reader().QueryRowContext(ctx, `SELECT idx, salt, statement FROM translog_leaves WHERE kind = ? AND subject = ? ORDER BY idx LIMIT 1`,
		kind, subject).Scan(&p.Index, &p.Salt, &p.Statement)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Proof{}, ErrUnknown
	case err != nil:
		return Proof{}, fmt.Errorf("look %.80q up in the transparency log: %w", subject, err)
	}
	head, err := l.Head(ctx)
	switch {
	case errors.Is(err, ErrEmpty) || err == nil && head.Size <= p.Index:
		return Proof{}, ErrUnknown
	case err != nil:
		return Proof{}, err
	}
	p.Size, p.Checkpoint = head.Size, string(head.Note)
	p.Inclusion, err = tlog.ProveRecord(head.Size, p.Index, tiles{ctx, l.db.Reader()})
	return p, err
}

// Held tells of which subjects the newest head contains a statement that can be proven.
func (l *Log) Held(ctx context.Context, kind string, subjects []string) (map[string]bool, error) {
	held := map[string]bool{}
	head, err := l.Head(ctx)
	if len(subjects) == 0 || errors.Is(err, ErrEmpty) {
		return held, nil
	}
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(subjects, heldChunk) {
		args := []any{head.Size, kind}
		for _, s := range part {
			args = append(args, s)
		}
		query := `SELECT subject FROM translog_leaves WHERE idx < ? AND kind = ? AND subject IN (?` + strings.Repeat(`,?`, len(part)-1) + `)`
		found, err := sqldb.Collect(ctx, l.db.Reader(), func(r *sql.Rows) (s string, err error) {
			err = r.Scan(&s)
			return s, err
		}, query, args...)
		if err != nil {
			return nil, fmt.Errorf("look subjects up in the transparency log: %w", err)
		}
		for _, s := range found {
			held[s] = true
		}
	}
	return held, nil
}

// heldChunk is how many subjects one statement looks for.
const heldChunk = 256

// Consistency proves that the log of one size goes on into that of another.
func (l *Log) Consistency(ctx context.Context, from, to int64) ([]Hash, error) {
	head, err := l.Head(ctx)
	if err != nil {
		return nil, err
	}
	if from < 1 || from > to || to > head.Size {
		return nil, ErrSizes
	}
	if from == to {
		return []Hash{}, nil
	}
	return tlog.ProveTree(to, from, tiles{ctx, l.db.Reader()})
}

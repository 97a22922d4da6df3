// Package translog keeps a log that nobody can rewrite unseen, its owner included: a
// Merkle tree over salted commitments, whose heads are signed and handed out.
//
// Promise: what Append returned nil for is a leaf, once, for good; each signed head
// contains every head signed before it (TestHeadsAreConsistent); whoever kept a head or a
// proof notices when a leaf is altered, missing or put in later (TestTamperingIsFound).
//
// A leaf tells nothing: it is SHA-256 of 16 random bytes and the statement. The statement
// is shown with its salt to whom it concerns, and both can be erased without harm to the tree.
//
// The tree is that of RFC 6962; tiles, entries and checkpoints have the forms of
// C2SP tlog-tiles and tlog-checkpoint, so that monitors and witnesses of others read them.
package translog

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

//go:embed schema
var schema embed.FS

// Schema is the tables' definition, a directory for each dialect.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the path is embedded above
	}
	return sub
}

// Hash is a hash of the tree.
type Hash = tlog.Hash

// Statement is what a leaf commits to.
type Statement struct {
	Kind    string // ≤ 32 bytes
	Subject string // ≤ 255 bytes: what it is found by
	Text    []byte // ≤ StatementBytesMax; JSON that names kind and subject, so that it speaks for itself
}

// Limits of a statement.
const (
	StatementBytesMax = 16 << 10
	kindBytesMax      = 32
	subjectBytesMax   = 255
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	saltBytes  = 16
)

// What can be wrong about a question.
var (
	ErrUnknown = fault.New(fault.NotFound, "log.unknown", "nothing of that name is in the log")
	ErrSizes   = fault.New(fault.Invalid, "log.bad_sizes", "from and to are sizes of signed heads, the smaller first")
	ErrEmpty   = fault.New(fault.NotFound, "log.empty", "the log has no entry yet")
	// ErrBroken says that the log contradicts what was signed. Nothing is signed any more.
	ErrBroken = errors.New("translog: the log contradicts its last signed head: it was altered, or an older copy was put back")
)

// Commit is what stands in the tree for a statement.
func Commit(salt, text []byte) [sha256.Size]byte {
	return sha256.Sum256(append(append(make([]byte, 0, len(salt)+len(text)), salt...), text...))
}

// Key gives the seed of an Ed25519 key by its name, and false for one that is not known.
type Key func(id string) (seed [ed25519.SeedSize]byte, ok bool)

// Log is the log of one database.
type Log struct {
	db     *sqldb.DB
	clock  clock.Clock
	origin string
	signer note.Signer
	vkey   string
}

// Open opens the log. The first time, it gets its name and its key for good: origin is a
// host and a path without a scheme, keyID the key that is present now.
func Open(ctx context.Context, db *sqldb.DB, c clock.Clock, origin, keyID string, key Key) (*Log, error) {
	l := &Log{db: db, clock: c}
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT origin, key_id FROM translog WHERE one = 1`).Scan(&l.origin, &keyID)
		if errors.Is(err, sql.ErrNoRows) {
			l.origin = origin
			_, err = tx.ExecContext(ctx, `INSERT INTO translog (one, size, origin, key_id) VALUES (1,0,?,?)`, origin, keyID)
		}
		return err
	})
	if sqldb.IsDuplicate(err) { // another process was first
		err = db.Reader().QueryRowContext(ctx, `SELECT origin, key_id FROM translog WHERE one = 1`).Scan(&l.origin, &keyID)
	}
	if err != nil {
		return nil, fmt.Errorf("open the transparency log: %w", err)
	}
	seed, ok := key(keyID)
	if !ok {
		return nil, fmt.Errorf("open the transparency log: its key %s is not in the keyset", keyID)
	}
	if l.vkey, l.signer, err = signer(l.origin, seed); err != nil {
		return nil, fmt.Errorf("open the transparency log: %w", err)
	}
	return l, nil
}

// algEd25519 marks a key of signed notes (golang.org/x/mod/sumdb/note).
const algEd25519 = 1

func signer(origin string, seed [ed25519.SeedSize]byte) (vkey string, _ note.Signer, err error) {
	public, ok := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	if !ok {
		return "", nil, errors.New("not a key of Ed25519")
	}
	if vkey, err = note.NewEd25519VerifierKey(origin, public); err != nil {
		return "", nil, err
	}
	hash := strings.Split(vkey, "+")[1]
	s, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" +
		base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, seed[:]...)))
	return vkey, s, err
}

// VerifierKey is the log's public key in the form of signed notes.
func (l *Log) VerifierKey() string { return l.vkey }

// Append adds leaves in one transaction, together with what also writes, which may be
// nil. It gives the new size.
func (l *Log) Append(ctx context.Context, statements []Statement, also func(context.Context, *sqldb.Tx) error) (size int64, _ error) {
	for i := range statements {
		s := &statements[i]
		if len(s.Kind) > kindBytesMax || len(s.Subject) > subjectBytesMax || len(s.Text) > StatementBytesMax {
			return 0, fmt.Errorf("statement about %.80q is too long for the transparency log", s.Subject)
		}
	}
	err := l.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if also != nil {
			if err := also(ctx, tx); err != nil {
				return err
			}
		}
		if len(statements) == 0 {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `UPDATE translog SET size = size + ? WHERE one = 1`, len(statements)); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT size FROM translog WHERE one = 1`).Scan(&size); err != nil {
			return err
		}
		return l.grow(ctx, tx, size-int64(len(statements)), statements)
	})
	if err != nil {
		return 0, fmt.Errorf("append to the transparency log: %w", err)
	}
	return size, nil
}

// grow writes leaves from old on, and the tiles that they change.
func (l *Log) grow(ctx context.Context, tx *sqldb.Tx, old int64, statements []Statement) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO translog_leaves (idx, kind, subject, salt, statement, commitment, at) VALUES (?,?,?,?,?,?,?)`)
	if err != nil {
		return err
	}
	defer func() { _ = insert.Close() }() // with its transaction at the latest
	at := sqldb.Micros(l.clock.Now())
	edge := &edge{tiles: tiles{ctx, tx}, base: tlog.StoredHashCount(old)}
	for i := range statements {
		s, n := &statements[i], old+int64(i)
		salt := make([]byte, saltBytes)
		rand.Read(salt) // never fails: crypto/rand ends the process first
		commitment := Commit(salt, s.Text)
		hashes, err := tlog.StoredHashesForRecordHash(n, tlog.RecordHash(commitment[:]), edge)
		if err != nil {
			return err
		}
		edge.added = append(edge.added, hashes...)
		if _, err := insert.ExecContext(ctx, n, s.Kind, s.Subject, salt, s.Text, commitment[:], at); err != nil {
			return err
		}
	}
	return edge.save(ctx, tx, old, old+int64(len(statements)))
}

// edge is the right edge of the tree while it grows: hashes that are stored, then those
// that were added.
type edge struct {
	tiles tiles
	base  int64
	added []Hash
}

// ReadHashes implements tlog.HashReader.
func (e *edge) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	for i, idx := range indexes {
		if idx >= e.base {
			out[i] = e.added[idx-e.base]
			continue
		}
		h, err := e.tiles.ReadHashes([]int64{idx})
		if err != nil {
			return nil, err
		}
		out[i] = h[0]
	}
	return out, nil
}

// save writes the tiles between two sizes.
func (e *edge) save(ctx context.Context, tx *sqldb.Tx, from, to int64) error {
	for _, t := range tlog.NewTiles(tileHeight, from, to) {
		data, err := tlog.ReadTileData(t, e)
		if err != nil {
			return err
		}
		// Hashes of this level that were there before: its tile exists when it had some.
		if before := from >> (t.L * tileHeight); before>>tileHeight == t.N && before%tileWidth > 0 {
			_, err = tx.ExecContext(ctx, `UPDATE translog_tiles SET data = ? WHERE level = ? AND n = ?`, data, t.L, t.N)
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO translog_tiles (level, n, data) VALUES (?,?,?)`, t.L, t.N, data)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tiles reads hashes out of stored tiles.
type tiles struct {
	ctx context.Context //nolint:containedctx // of one question; tlog's interface has none
	q   sqldb.Querier
}

// ReadHashes implements tlog.HashReader. Tiles are asked for once.
func (t tiles) ReadHashes(indexes []int64) ([]Hash, error) {
	out := make([]Hash, len(indexes))
	seen := map[tlog.Tile][]byte{}
	for i, idx := range indexes {
		tile := tlog.TileForIndex(tileHeight, idx)
		place := tlog.Tile{H: tile.H, L: tile.L, N: tile.N}
		data, ok := seen[place]
		if !ok {
			var err error
			if data, err = tileData(t.ctx, t.q, tile.L, tile.N); err != nil {
				return nil, err
			}
			seen[place] = data
		}
		tile.W = len(data) / sha256.Size
		h, err := tlog.HashFromTile(tile, data, idx)
		if err != nil {
			return nil, fmt.Errorf("%w: tile %d/%d: %w", ErrBroken, tile.L, tile.N, err)
		}
		out[i] = h
	}
	return out, nil
}

func tileData(ctx context.Context, q sqldb.Querier, level int, n int64) (data []byte, _ error) {
	err := q.QueryRowContext(ctx, `SELECT data FROM translog_tiles WHERE level = ? AND n = ?`, level, n).Scan(&data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("%w: tile %d/%d is missing", ErrBroken, level, n)
	case err != nil:
		return nil, fmt.Errorf("read tile %d/%d: %w", level, n, err)
	}
	return data, nil
}

// Tile gives the first width hashes of a tile, as it is once it has as many.
func (l *Log) Tile(ctx context.Context, level int, n int64, width int) ([]byte, error) {
	data, err := tileData(ctx, l.db.Reader(), level, n)
	if err != nil {
		if errors.Is(err, ErrBroken) {
			err = ErrUnknown
		}
		return nil, err
	}
	if len(data) < width*sha256.Size {
		return nil, ErrUnknown
	}
	return data[:width*sha256.Size], nil
}

// Entries gives the first width entries under a tile, each with its length before it.
func (l *Log) Entries(ctx context.Context, n int64, width int) ([]byte, error) {
	from := n * tileWidth
	all, err := sqldb.Collect(ctx, l.db.Reader(), func(r *sql.Rows) (c []byte, err error) {
		err = r.Scan(&c)
		return c, err
	}, `SELECT commitment FROM translog_leaves WHERE idx >= ? AND idx < ? ORDER BY idx`, from, from+int64(width))
	if err != nil {
		return nil, fmt.Errorf("read entries %d of the transparency log: %w", n, err)
	}
	if len(all) < width {
		return nil, ErrUnknown
	}
	var out []byte
	for _, c := range all {
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(c))), c...)
	}
	return out, nil
}

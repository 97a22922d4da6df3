// Package batchkv is the disk side of the batch projection, on Pebble. Everything
// in it can be rebuilt from the feed, so nothing but a checkpoint is synced.
//
// One engine: the projection is local to its process by design.
package batchkv

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
)

// The first byte of a key tells what it holds.
const (
	keyMeta     = 'm' // where the last checkpoint stands, and whose it is
	keyBatch    = 'b' // first serial → the batch
	keyLabel    = 'l' // product → what a consumer reads of it
	keyGTIN     = 'g' // GTIN → the product that has it, and its brand
	keySegments = 's' // first serial → segments of a batch
	keyPage     = 'p' // first serial, page → bitmaps of a batch
	keyNote     = 'n' // shard, seq → note of a change
	keyItem     = 'i' // serial → seq of the change of a single item
	keyExtra    = 'x' // serial → record of an item
)

const (
	cacheBytes    = 16 << 20
	memTableBytes = 1 << 20
	putItemsBatch = 10_000
)

// Store implements batch.Local.
type Store struct {
	db    *pebble.DB
	owner string // the installation whose feed is followed here
}

var _ batch.Local = (*Store)(nil)

// Open opens the projection of the installation that owner names (the id of its
// codebook key); what belonged to another is forgotten.
func Open(path, owner string, log *slog.Logger) (*Store, error) {
	db, err := kvdb.Open(path, kvdb.Options{CacheBytes: cacheBytes, MemTableBytes: memTableBytes, Log: log})
	if err != nil {
		return nil, err
	}
	return &Store{db, owner}, nil
}

// Close ends the use of the store.
func (s *Store) Close() error { return s.db.Close() }

// format is of what is stored here. What has another is forgotten.
const format = 2

type meta struct {
	Format int    `json:"format"`
	Owner  string `json:"owner"`
	batch.Standing
}

// Load implements batch.Local.
func (s *Store) Load() (_ batch.Standing, fresh bool, _ error) {
	raw, ok, err := kvdb.Get(s.db, []byte{keyMeta})
	if err != nil || !ok {
		return batch.Standing{}, true, err
	}
	var m meta
	if json.Unmarshal(raw, &m) != nil || m.Owner != s.owner || m.Format != format {
		return batch.Standing{}, true, nil //nolint:nilerr // not ours, or unreadable: Reset follows
	}
	return m.Standing, false, nil
}

// PutBatch implements batch.Local.
func (s *Store) PutBatch(b *batch.Batch) error {
	raw, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode batch: %w", err)
	}
	return s.db.Set(serialKey(keyBatch, b.First), raw, pebble.NoSync)
}

// Batches implements batch.Local.
func (s *Store) Batches(from ids.Serial, limit int) (all []batch.Batch, _ error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: serialKey(keyBatch, from), UpperBound: []byte{keyBatch + 1}})
	if err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	for ok := it.First(); ok && len(all) < limit; ok = it.Next() {
		var b batch.Batch
		if err := json.Unmarshal(it.Value(), &b); err != nil {
			return nil, errors.Join(fmt.Errorf("read a batch: %w", err), it.Close())
		}
		all = append(all, b)
	}
	return all, errors.Join(it.Error(), it.Close())
}

func serialKey(kind byte, s ids.Serial) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(s))
}

func pageKey(first ids.Serial, page int64) []byte {
	return binary.BigEndian.AppendUint64(serialKey(keyPage, first), uint64(page))
}

func noteKey(shard ids.Shard, seq int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{keyNote, byte(shard)}, uint64(seq))
}

// LoadBatch implements batch.Local.
func (s *Store) LoadBatch(first ids.Serial) (batch.Snapshot, error) {
	snap := batch.Snapshot{First: first, Pages: map[int64][]byte{}}
	raw, ok, err := kvdb.Get(s.db, serialKey(keySegments, first))
	if err != nil || !ok {
		return snap, err
	}
	if snap.Segments, err = batch.DecodeSegments(raw); err != nil {
		return snap, err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: pageKey(first, 0), UpperBound: pageKey(first, math.MaxInt64)})
	if err != nil {
		return snap, fmt.Errorf("read pages: %w", err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		snap.Pages[int64(binary.BigEndian.Uint64(it.Key()[9:]))] = append([]byte(nil), it.Value()...)
	}
	return snap, errors.Join(it.Error(), it.Close())
}

// PutNote implements batch.Local.
func (s *Store) PutNote(shard ids.Shard, seq int64, n batch.Note) error {
	raw, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	return s.db.Set(noteKey(shard, seq), raw, pebble.NoSync)
}

// PutItems implements batch.Local.
func (s *Store) PutItems(first ids.Serial, singles batch.Runs, seq int64) error {
	if len(singles) == 0 {
		return nil
	}
	value := binary.AppendUvarint(nil, uint64(seq))
	b := s.db.NewBatch()
	for _, r := range singles {
		for no := r.From; no <= r.To; no++ {
			if err := b.Set(serialKey(keyItem, first+ids.Serial(no-1)), value, nil); err != nil {
				return errors.Join(err, b.Close())
			}
			if b.Count() >= putItemsBatch {
				if err := errors.Join(b.Commit(pebble.NoSync), b.Close()); err != nil {
					return fmt.Errorf("store items: %w", err)
				}
				b = s.db.NewBatch()
			}
		}
	}
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}

// PutExtra implements batch.Local.
func (s *Store) PutExtra(serial ids.Serial, e batch.Extra) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode item record: %w", err)
	}
	return s.db.Set(serialKey(keyExtra, serial), raw, pebble.NoSync)
}

// Note implements batch.Local.
func (s *Store) Note(shard ids.Shard, seq int64) (n batch.Note, ok bool, err error) {
	raw, ok, err := kvdb.Get(s.db, noteKey(shard, seq))
	if err != nil || !ok {
		return n, false, err
	}
	err = json.Unmarshal(raw, &n)
	return n, err == nil, err
}

// ItemSeq implements batch.Local.
func (s *Store) ItemSeq(serial ids.Serial) (int64, bool, error) {
	raw, ok, err := kvdb.Get(s.db, serialKey(keyItem, serial))
	if err != nil || !ok {
		return 0, false, err
	}
	seq, n := binary.Uvarint(raw)
	if n <= 0 {
		return 0, false, errors.New("batchkv: damaged record of an item")
	}
	return int64(seq), true, nil
}

// Extra implements batch.Local.
func (s *Store) Extra(serial ids.Serial) (e batch.Extra, ok bool, err error) {
	raw, ok, err := kvdb.Get(s.db, serialKey(keyExtra, serial))
	if err != nil || !ok {
		return e, false, err
	}
	err = json.Unmarshal(raw, &e)
	return e, err == nil, err
}

// Checkpoint implements batch.Local.
func (s *Store) Checkpoint(at batch.Standing, snaps []batch.Snapshot) error {
	raw, err := json.Marshal(meta{format, s.owner, at})
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	b := s.db.NewBatch()
	err = b.Set([]byte{keyMeta}, raw, nil)
	for _, snap := range snaps {
		err = errors.Join(err, b.Set(serialKey(keySegments, snap.First), batch.EncodeSegments(snap.Segments), nil))
		for page, bits := range snap.Pages {
			if len(bits) == 0 {
				err = errors.Join(err, b.Delete(pageKey(snap.First, page), nil))
				continue
			}
			err = errors.Join(err, b.Set(pageKey(snap.First, page), bits, nil))
		}
	}
	// one synced commit also makes durable all that was put before it
	return errors.Join(err, b.Commit(pebble.Sync), b.Close())
}

// Reset implements batch.Local.
func (s *Store) Reset() error {
	return s.db.DeleteRange([]byte{0}, []byte{0xff}, pebble.Sync)
}

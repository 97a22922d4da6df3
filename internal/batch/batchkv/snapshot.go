package batchkv

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/kvdb"
)

// Snapshot makes a copy of the store in a directory that does not exist yet: files
// that Open opens. They are links where the file system has them, so it costs little
// time and room.
func (s *Store) Snapshot(dir string) error {
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("copy projection: %w", err)
	}
	return nil
}

func labelKey(id ids.ProductID) []byte {
	return binary.BigEndian.AppendUint32([]byte{keyLabel}, uint32(id))
}

// PutLabels keeps what consumers read of products, for a process that has no SQL.
func (s *Store) PutLabels(labels []batch.Label) error {
	b := s.db.NewIndexedBatch()
	for _, l := range labels {
		err := putGTIN(b, &l)
		raw, err2 := json.Marshal(l)
		if err = errors.Join(err, err2); err == nil {
			err = b.Set(labelKey(l.Product), raw, nil)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("store label: %w", err), b.Close())
		}
	}
	return errors.Join(b.Commit(pebble.NoSync), b.Close())
}

// Label finds a product's; ok is false when it is not here.
func (s *Store) Label(id ids.ProductID) (l batch.Label, ok bool, err error) {
	raw, ok, err := kvdb.Get(s.db, labelKey(id))
	if err != nil || !ok {
		return l, false, err
	}
	err = json.Unmarshal(raw, &l)
	return l, err == nil, err
}

// BrandOf is the brand whose product has a GTIN; of several products the first that was
// made. ok is false when no label here has it.
func (s *Store) BrandOf(gtin gs1.GTIN) (brand ids.BrandID, ok bool, _ error) {
	_, brand, err := readGTIN(s.db, gtin)
	return brand, brand != 0, err
}

func gtinKey(gtin gs1.GTIN) []byte { return append([]byte{keyGTIN}, gtin...) }

func readGTIN(from pebble.Reader, gtin gs1.GTIN) (product ids.ProductID, brand ids.BrandID, err error) {
	raw, closer, err := from.Get(gtinKey(gtin))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read a GTIN: %w", err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if len(raw) != 8 {
		return 0, 0, errors.New("the entry of a GTIN is damaged")
	}
	return ids.ProductID(binary.BigEndian.Uint32(raw)), ids.BrandID(binary.BigEndian.Uint32(raw[4:])), nil
}

// putGTIN keeps whose the label's GTIN is, and forgets the one that the product had.
func putGTIN(b *pebble.Batch, l *batch.Label) error {
	if raw, closer, err := b.Get(labelKey(l.Product)); err == nil {
		var old batch.Label
		err = errors.Join(json.Unmarshal(raw, &old), closer.Close())
		if err == nil && old.GTIN != "" && old.GTIN != l.GTIN {
			var of ids.ProductID
			if of, _, err = readGTIN(b, old.GTIN); err == nil && of == l.Product {
				err = b.Delete(gtinKey(old.GTIN), nil)
			}
		}
		if err != nil {
			return err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	if l.GTIN == "" || l.BrandID == 0 {
		return nil
	}
	if of, _, err := readGTIN(b, l.GTIN); err != nil || of != 0 && of < l.Product {
		return err
	}
	value := binary.BigEndian.AppendUint32(nil, uint32(l.Product))
	return b.Set(gtinKey(l.GTIN), binary.BigEndian.AppendUint32(value, uint32(l.BrandID)), nil)
}

// Restorer takes a snapshot of another process, file by file, then labels, and puts
// it into its place when it is whole.
type Restorer struct {
	path, owner string
	log         *slog.Logger
	store       *Store // once files are complete
}

// newSuffix is of a snapshot that is not whole yet.
const newSuffix = ".new"

// Restore begins to take a snapshot for path. What is there stays until Done.
func Restore(path, owner string, log *slog.Logger) (*Restorer, error) {
	r := &Restorer{path: path, owner: owner, log: log}
	if err := errors.Join(os.RemoveAll(path+newSuffix), os.MkdirAll(path+newSuffix, 0o700)); err != nil {
		return nil, fmt.Errorf("begin a snapshot: %w", err)
	}
	return r, nil
}

var errFileName = errors.New("batchkv: a snapshot's file has no plain name")

// File opens a file of the snapshot; the caller writes and closes it.
func (r *Restorer) File(name string) (io.WriteCloser, error) {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, errFileName
	}
	f, err := os.OpenFile(filepath.Join(r.path+newSuffix, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store a snapshot: %w", err)
	}
	return synced{f}, nil
}

// synced is a file whose Close makes it durable.
type synced struct{ *os.File }

// Close implements io.Closer.
func (f synced) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// PutLabels keeps labels; the files are complete.
func (r *Restorer) PutLabels(labels []batch.Label) (err error) {
	if r.store == nil {
		if r.store, err = Open(r.path+newSuffix, r.owner, r.log); err != nil {
			return err
		}
	}
	return r.store.PutLabels(labels)
}

// Done puts the snapshot in its place. It must be whole and the owner's.
func (r *Restorer) Done() error {
	if err := r.PutLabels(nil); err != nil { // opens it where there were no labels
		return errors.Join(err, r.Cancel())
	}
	at, fresh, err := r.store.Load()
	if err == nil && fresh {
		err = errors.New("batchkv: the snapshot is of another installation or version")
	}
	if err == nil {
		err = r.store.Checkpoint(at, nil) // synced, and the labels with it
	}
	err = errors.Join(err, r.store.Close())
	r.store = nil
	if err != nil {
		return errors.Join(err, r.Cancel())
	}
	return errors.Join(os.RemoveAll(r.path), os.Rename(r.path+newSuffix, r.path))
}

// Cancel forgets what was taken so far.
func (r *Restorer) Cancel() error {
	var err error
	if r.store != nil {
		err = r.store.Close()
		r.store = nil
	}
	return errors.Join(err, os.RemoveAll(r.path+newSuffix))
}

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/archive"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/scan/scansql"
)

// backupManifest is what a backup tells of itself. Members are the beginnings of the
// names of its files; how they end is known only when they are written.
type backupManifest struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"`
	CreatedAt time.Time `json:"created_at"`
	Region    int       `json:"region"`
	KeyID     string    `json:"codebook_key_id"`
	KeyCheck  string    `json:"codebook_check"`
	Members   []string  `json:"members"`
}

const (
	backupFormat      = 1
	backupKeys        = "keyset.txt" // never plain
	backupRequestMax  = 16 << 10
	backupStallMax    = 2 * time.Minute
	backupContentType = "application/zstd"
)

// Why a backup is not made now, or not here.
var (
	ErrBackupRunning   = fault.New(fault.Conflict, "backup.running", "a backup is being made; ask again when it has ended")
	ErrBackupElsewhere = fault.New(fault.Conflict, "backup.elsewhere",
		"the records of this installation are on a server (--sql): back them up there, and the keys with `chopmark keys export`")
)

// Backup is a backup that is about to be written.
type Backup struct {
	app   *App
	keys  []byte // the keyset, under the passphrase
	files bool
	tmp   string
}

// BeginBackup prepares a backup; End must be called. It fails before anything is
// written when the passphrase is no good or a backup is under way.
func (a *App) BeginBackup(passphrase string, files bool) (*Backup, error) {
	if a.SQL != "" {
		return nil, ErrBackupElsewhere
	}
	if files && a.Blob != "" {
		return nil, ErrBackupElsewhere.Textf("the files of this installation are at --blob: back them up there, and here without files")
	}
	if !a.backingUp.CompareAndSwap(false, true) {
		return nil, ErrBackupRunning
	}
	keys, err := keyset.Export(a.keys.present(), passphrase)
	if err != nil {
		a.backingUp.Store(false)
		return nil, err
	}
	return &Backup{a, keys, files, filepath.Join(a.Data, dirCopies)}, nil
}

// End allows the next backup.
func (b *Backup) End() { b.app.backingUp.Store(false) }

func (b *Backup) manifest() backupManifest {
	key := b.app.keys.present().Current(keyset.Codebook)
	m := backupManifest{
		Format: backupFormat, Version: b.app.Version, CreatedAt: b.app.clock.Now().UTC(), Region: b.app.Region,
		KeyID: key.ID, KeyCheck: keyset.Check(key), Members: []string{backupKeys, fileSQL, dirScans, dirSightings},
	}
	if b.files {
		m.Members = append(m.Members, dirBlobs)
	}
	return m
}

// Write writes the archive while everything goes on. Nothing is copied at one moment,
// so the order is what makes the copies fit together:
//
//  1. How far consumers have come is noted, and the log keeps all that it has.
//  2. SQL, before the counts and the log: what was decided upon scans (numbers that
//     nobody scanned went back to the pool) has these scans behind it. The reverse, a
//     scan of an item that is not in the copy, harms nobody: no other item ever gets
//     that serial (see Restore).
//  3. What consumers made of the scans. It may be ahead of the note: what is given
//     again is known by its key or the inbox. Behind the note it would be lost.
//  4. The counts, then the log: it has all that the counts lack, and every scan that
//     step 3 has. With its groups where they were in step 1.
//  5. Files, on request. Those that are not whole are begun anew by their tasks.
func (b *Backup) Write(ctx context.Context, w io.Writer) (err error) {
	if err := errors.Join(os.RemoveAll(b.tmp), os.Mkdir(b.tmp, 0o700)); err != nil {
		return fmt.Errorf("make room for copies: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.tmp)) }()
	sightings, err := b.app.sightings.BeginCopy()
	if err != nil {
		return err
	}
	defer sightings.End()
	out, err := archive.Create(ctx, w, b.manifest())
	if err != nil {
		return err
	}
	if err := out.AddBytes(backupKeys, b.keys); err != nil {
		return err
	}
	if err := b.addSQL(ctx, out); err != nil {
		return err
	}
	engine, ok := b.app.scans.(*scansql.Engine)
	if !ok {
		return ErrBackupElsewhere
	}
	err = engine.Copy(ctx, b.tmp, func(name, file string) error { return out.AddFile(dirScans+"/"+name, file) })
	if err != nil {
		return err
	}
	log := filepath.Join(b.tmp, dirSightings)
	if err := sightings.Write(log); err != nil {
		return err
	}
	if err := addFolder(out, dirSightings, log); err != nil {
		return err
	}
	if b.files {
		if err := b.addFiles(ctx, out); err != nil {
			return err
		}
	}
	return out.Close()
}

func (b *Backup) addSQL(ctx context.Context, out *archive.Writer) error {
	file := filepath.Join(b.tmp, fileSQL)
	err := b.app.db.CopyTo(ctx, file)
	if err == nil {
		err = out.AddFile(fileSQL, file)
	}
	return errors.Join(err, os.RemoveAll(file))
}

// addFolder adds all that is below a folder which nobody writes to.
func addFolder(out *archive.Writer, name, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("back up %s: %w", name, err)
	}
	for _, e := range entries {
		add := out.AddFile
		if e.IsDir() {
			add = func(name, path string) error { return addFolder(out, name, path) }
		}
		if err := add(name+"/"+e.Name(), filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backup) addFiles(ctx context.Context, out *archive.Writer) error {
	files, err := blob.OpenDir(filepath.Join(b.app.Data, dirBlobs))
	if err != nil {
		return err
	}
	defer func() { _ = files.Close() }() // it was only read
	names, err := files.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !backupName.MatchString(dirBlobs + "/" + name) {
			b.app.log.WarnContext(ctx, "a file that no task made stays out of the backup", "file", name)
			continue
		}
		f, err := files.Open(ctx, name)
		if errors.Is(err, blob.ErrUnknown) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return err
		}
		err = out.Add(dirBlobs+"/"+name, f.Size, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

type backupAsk struct {
	Passphrase string `json:"passphrase"`
	Files      bool   `json:"files"`
}

// postBackup answers POST /api/v1/backup with the archive. It changes nothing, so a
// repeat needs no key of its own. A backup that cannot be ended is cut off: its
// connection breaks, and what came of it lacks its end.
func (a *App) postBackup(stopping context.Context) httpx.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var ask backupAsk
		if _, err := httpx.Decode(w, r, backupRequestMax, &ask); err != nil {
			return err
		}
		b, err := a.BeginBackup(ask.Passphrase, ask.Files)
		if err != nil {
			return err
		}
		defer b.End()
		a.work.Add(1) // Close waits; stopping ends it before
		defer a.work.Done()
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopping, cancel)()
		log, begun := a.log.With("request_id", httpx.RequestID(w), "by", httpx.Caller(r).Name), a.clock.Now()
		log.InfoContext(ctx, "backup begun", "files", ask.Files)
		h := w.Header()
		h.Set("Content-Type", backupContentType)
		h.Set("Content-Disposition", `attachment; filename="chopmark-`+begun.UTC().Format("20060102-150405")+`.tar.zst"`)
		h.Set("Cache-Control", "no-store")
		to := &steady{w: w, conn: http.NewResponseController(w), clock: a.clock}
		err = b.Write(ctx, to)
		took := a.clock.Now().Sub(begun).String()
		if err == nil {
			log.InfoContext(ctx, "backup done", "bytes", to.bytes, "took", took)
			return nil
		}
		log.ErrorContext(ctx, "backup was cut off", "bytes", to.bytes, "took", took, "error", err)
		if to.bytes == 0 {
			h.Del("Content-Disposition")
			return fault.New(fault.Unavailable, "backup.failed", "the backup could not be made; the log says why").Because(err)
		}
		panic(http.ErrAbortHandler)
	}
}

// steady lets an answer take as long as it will, but not a reader that stands still.
type steady struct {
	w     io.Writer
	conn  *http.ResponseController
	clock clock.Clock
	bytes int64
}

// Write implements io.Writer.
func (s *steady) Write(p []byte) (int, error) {
	_ = s.conn.SetWriteDeadline(s.clock.Now().Add(backupStallMax)) // where there is no connection, nothing stands still
	n, err := s.w.Write(p)
	s.bytes += int64(n)
	_ = s.conn.SetWriteDeadline(time.Time{}) // likewise
	return n, err
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchsql"
	"github.com/chopmark/chopmark/internal/identity/identitysql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/archive"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/outbox"
)

// ErrBackupForeign answers an archive that is whole and not for this version.
var ErrBackupForeign = fault.New(fault.Invalid, "backup.foreign", "this version does not read this backup")

const (
	// SkipUsual has Restore leave out a hundredth of what a shard may issue.
	SkipUsual        = -1
	skipShare        = 100
	skipEvents       = 1 << 40 // of a shard; a cursor holds 2^62
	restoreClaimant  = "restore"
	partialSuffix    = ".partial"
	restoreListen    = "127.0.0.1:8080" // codes are not written by a restore
	exportedBytesMax = 4 << 20
)

// backupName is what a member may be called, but for the first and the last. None
// leads anywhere: at most two folders of ours, and a name without a separator.
var backupName = regexp.MustCompile(`^(?:keyset\.txt|chopmark\.db|scans/(?:scans|statistics)\.db|scans/records/\d{4}-\d\d-\d\d\.db` +
	`|sightings/(?:counts|stream)/[A-Za-z0-9][A-Za-z0-9._-]{0,127}|files/[A-Za-z0-9][A-Za-z0-9._-]{0,127})$`)

// backupReader takes an archive apart.
type backupReader struct {
	passphrase string   // "" = the keyset is not opened
	to         *os.Root // nil = nothing is unpacked
	manifest   backupManifest
	set        *keyset.Set
}

// read reads the whole archive, and fails when something of it is not as it was
// written or is missing.
func (r *backupReader) read(ctx context.Context, file string) (members []archive.Member, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	members, err = archive.Read(ctx, f, archive.Consumer{Manifest: r.readManifest, Knows: backupName.MatchString, Member: r.member})
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	for _, want := range r.manifest.Members {
		begins := func(m archive.Member) bool { return m.Name == want || strings.HasPrefix(m.Name, want+"/") }
		if want != dirBlobs && !slices.ContainsFunc(members, begins) {
			return nil, archive.ErrDamaged.Textf("the backup is damaged: it has no %s", want)
		}
	}
	return members, nil
}

func (r *backupReader) readManifest(raw []byte) error {
	if err := json.Unmarshal(raw, &r.manifest); err != nil {
		return archive.ErrDamaged.Textf("the backup's manifest is damaged").Because(err)
	}
	if r.manifest.Format != backupFormat {
		return ErrBackupForeign.Textf("the backup has format %d, and this version reads %d: it was made by chopmark %s",
			r.manifest.Format, backupFormat, r.manifest.Version)
	}
	for _, want := range []string{backupKeys, fileSQL, dirScans, dirSightings} {
		if !slices.Contains(r.manifest.Members, want) {
			return archive.ErrDamaged.Textf("the backup has no %s", want)
		}
	}
	return nil
}

func (r *backupReader) member(m archive.Member, in io.Reader) error {
	if m.Name == backupKeys {
		return r.keys(m, in)
	}
	if r.to == nil {
		return nil
	}
	if err := r.to.MkdirAll(path.Dir(m.Name), 0o700); err != nil {
		return fmt.Errorf("unpack %s: %w", m.Name, err)
	}
	f, err := r.to.OpenFile(m.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("unpack %s: %w", m.Name, err)
	}
	if _, err = io.Copy(f, in); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("unpack %s: %w", m.Name, err)
	}
	return nil
}

// keys opens the keyset, which comes early: a wrong passphrase is told before much is
// unpacked.
func (r *backupReader) keys(m archive.Member, in io.Reader) error {
	if r.passphrase == "" {
		return nil
	}
	if m.Bytes > exportedBytesMax {
		return archive.ErrDamaged.Textf("the backup's keyset has %d bytes", m.Bytes)
	}
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if r.set, err = keyset.Import(raw, r.passphrase); err != nil {
		return err
	}
	key := r.set.Current(keyset.Codebook)
	if key.ID != r.manifest.KeyID || keyset.Check(key) != r.manifest.KeyCheck {
		return archive.ErrDamaged.Textf("the backup's keyset is not the one that its manifest names")
	}
	return nil
}

// VerifyBackup reads an archive through and tells what it is. With a passphrase it
// opens the keyset too.
func VerifyBackup(ctx context.Context, file, passphrase string, out io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	r := backupReader{passphrase: passphrase}
	members, err := r.read(ctx, file)
	if err != nil {
		return err
	}
	var bytes int64
	for _, m := range members {
		bytes += m.Bytes
	}
	say("ok    backup of %s by chopmark %s, region %d", r.manifest.CreatedAt.Format("2006-01-02 15:04:05 UTC"), r.manifest.Version, r.manifest.Region)
	say("ok    %d files of %d bytes, each with the SHA-256 that it was written with", len(members), bytes)
	if r.set == nil {
		say("--    codebook key %s with check value %s; whether a passphrase opens it was not tried", r.manifest.KeyID, r.manifest.KeyCheck)
	} else {
		say("ok    keyset: opened, codebook key %s with check value %s", r.manifest.KeyID, r.manifest.KeyCheck)
	}
	return nil
}

// Restoration is what is to be restored, and how.
type Restoration struct {
	File, Passphrase string
	// Skip is how many serials each shard leaves out; SkipUsual, or 0 when nothing was
	// issued, claimed or told after the backup.
	Skip int64
}

// Restore makes a data directory of a backup. The directory must be absent or empty,
// and is there only when everything was unpacked, settled and opened as a start would:
// until then it has another name, and what fails leaves nothing behind.
func Restore(ctx context.Context, cfg Config, log *slog.Logger, o Restoration, out io.Writer) (err error) {
	dir := filepath.Clean(cfg.Data)
	if err := vacant(dir); err != nil {
		return err
	}
	partial := dir + partialSuffix
	err = os.MkdirAll(filepath.Dir(partial), 0o700)
	if err == nil {
		err = os.Mkdir(partial, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: a restore is under way, or was cut off; when none is, remove it", partial)
	}
	if err != nil {
		return fmt.Errorf("make room to restore: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	r := backupReader{passphrase: o.Passphrase}
	if r.to, err = os.OpenRoot(partial); err != nil {
		return fmt.Errorf("make room to restore: %w", err)
	}
	_, err = r.read(ctx, o.File)
	if err := errors.Join(err, r.to.Close()); err != nil {
		return err
	}
	if r.set == nil {
		return keyset.ErrPassphraseShort
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	cfg.Data, cfg.Region, cfg.Listen = partial, r.manifest.Region, restoreListen
	if err := r.settle(ctx, cfg, log, o.Skip, say); err != nil {
		return err
	}
	if err := reopen(ctx, cfg, log, say); err != nil {
		return err
	}
	if err := moveInto(partial, dir); err != nil {
		return err
	}
	say("ok    restored into %s, from the backup of %s", dir, r.manifest.CreatedAt.Format("2006-01-02 15:04:05 UTC"))
	return nil
}

// vacant refuses a directory that has anything in it.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%s is not empty: name a directory that is absent or empty, or move this one away", dir)
	}
	return err
}

// settle puts the keyset into its place, and sees to it that nothing is given out
// again that was given out after the backup.
func (r *backupReader) settle(ctx context.Context, cfg Config, log *slog.Logger, skip int64, say func(string, ...any)) error {
	limit := batch.ShardLimit(cfg.Region)
	if skip == SkipUsual {
		skip = max(limit/skipShare, 1)
	}
	if skip < 0 || skip > limit {
		return usage("skip", "must be between 0 and %d, what a shard of region %d may issue", limit, cfg.Region)
	}
	a, err := openBare(ctx, cfg, log)
	if err != nil {
		return err
	}
	work := func() error {
		o, err := a.keyOptions(ctx)
		if err != nil {
			return err
		}
		if err := keyset.Restore(ctx, o, r.set); err != nil {
			return err
		}
		if err := identitysql.New(a.db, a.clock).EndSignIns(ctx, a.clock.Now()); err != nil {
			return err
		}
		if skip == 0 {
			say("--    nothing was issued, claimed or told after the backup, as --skip 0 says: numbers go on where it ends")
			return nil
		}
		w, err := batchsql.New(a.db, a.clock).SkipIssued(ctx, skip, limit, restoreClaimant)
		if err != nil {
			return err
		}
		say("ok    %d serials left out in each of %d shards: what was issued after the backup is not issued again", skip, ids.Shards)
		say("ok    %d numbers that were free are claimed by %q, in %d claims: who has them since the backup is not known", w.Numbers, restoreClaimant, w.Claims)
		return outbox.Skip(ctx, a.db, skipEvents)
	}
	return errors.Join(work(), a.Close())
}

// reopen opens everything as a start would, but for open tasks: what they write
// depends on the flags of the server.
func reopen(ctx context.Context, cfg Config, log *slog.Logger, say func(string, ...any)) error {
	a, err := openIdle(ctx, cfg, log)
	if err != nil {
		return fmt.Errorf("open what was restored: %w", err)
	}
	return errors.Join(a.examine(ctx, say), a.Close())
}

// moveInto gives what is whole its name, durably.
func moveInto(partial, dir string) error {
	err := filepath.WalkDir(partial, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncDir(name)
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("take the place of %s (a mount point? then name a directory below it): %w", dir, err)
	}
	if err := os.Rename(partial, dir); err != nil {
		return fmt.Errorf("restore %s: %w", dir, err)
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
